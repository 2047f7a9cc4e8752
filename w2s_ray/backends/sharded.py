"""One fit by a gang: the same rows in the same order as on one device, dealt to the processes, with a model that DeepSpeed shards.

Each process calls the same functions; what is returned is the same in all of them, and only the leader writes. Runs under plain Python (a gang of one),
torchrun, or Ray Train.

Shapes: N rows in the order of their ids.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from w2s_ray.backends.batches import Rows, micro_batches
from w2s_ray.backends.checkpoint import CheckpointPlace
from w2s_ray.backends.classifier import Padded, build_classifier, training_mode
from w2s_ray.backends.devices import autocast, device_name, peak_memory_mb
from w2s_ray.backends.fit import Loop, Progress, as_tensor, check_finite, fit_digest
from w2s_ray.backends.fit_file import read_fit_file, write_fit_file
from w2s_ray.backends.fitted import HEAD_FILE, Fitted, load_adapter
from w2s_ray.backends.gang import join_gang, own_device
from w2s_ray.backends.gradients import Micro
from w2s_ray.backends.inference import Floats32, length_batches
from w2s_ray.backends.models import is_causal, load_tokenizer, pad_id, quiet
from w2s_ray.backends.optimizer import build_adamw
from w2s_ray.backends.targets import join
from w2s_ray.backends.tokens import Tokens, tokenise
from w2s_ray.backends.zero import Sharded, loading, zero_config
from w2s_ray.blocks.losses.contract import LossFn, Stateful
from w2s_ray.config.recipe import Recipe
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.errors import ConfigError
from w2s_ray.core.labels import LabelSet
from w2s_ray.core.resources import Resources
from w2s_ray.core.seeds import derive_seed

MANIFEST = "gang.json"
FORMAT = 1


@dataclass
class ShardedLoop(Loop):
    """The steps of a gang. Every process draws the same batches and takes its share of each."""

    sharded: Sharded = field(kw_only=True)
    _left: int = field(default=0, init=False)  # backward passes until the step is whole

    def _micros(self, rows: Rows) -> list[Micro]:
        """This process's micro-batches, as many as any process has: the gaps are filled with rows without weight, for all must call alike."""
        whole = float(self.targets.weight_N[rows].sum())
        dealt = [micro_batches(part, self.tokens.lengths_N, self.resources.micro_tokens) for part in deal(rows, self.tokens.lengths_N, self.gang.size)]
        mine = [self._micro(part, whole) for part in dealt[self.gang.rank]]
        most = max(len(parts) for parts in dealt)
        self._left = most
        return [*mine, *(self._gap(rows[:1]) for _ in range(most - len(mine)))]

    def _gap(self, rows: Rows) -> Micro:
        device = self.training.device
        inputs = Padded.of(self.tokens, rows, self.fill, device)
        self.training.counters["padded"] += inputs.ids_BT.numel()
        return Micro(inputs, as_tensor(self.targets.probs_NMK[rows], device), torch.zeros(len(rows), device=device), 0.0)

    def _agree(self, due: bool) -> bool:
        return self.gang.leaders(due, self.training.device)

    def _backward(self, loss: Tensor) -> None:
        self._left -= 1
        self.sharded.backward(loss, last=self._left == 0)

    def _update(self) -> None:
        self.sharded.step()

    def _save(self, place: CheckpointPlace, digest: str) -> None:
        save_pieces(place, self, digest)

    def _restore(self, place: CheckpointPlace, digest: str) -> bool:
        return restore_pieces(place, self, digest)

    def _check_weights(self) -> None:
        check_finite(self.sharded.finite(self.training.weights), self.total, self.recipe)


def deal(rows: Rows, lengths_N: Rows, size: int) -> list[Rows]:
    """Rows by length, one to each process in turn."""
    ordered = rows[np.argsort(lengths_N[rows], kind="stable")]
    return [ordered[rank::size] for rank in range(size)]


def fit_sharded(
    data: Dataset,
    labels: Sequence[LabelSet],
    model_path: str,
    recipe: Recipe,
    resources: Resources,
    place: CheckpointPlace,
    cache: Path,
    progress: Progress | None = None,
) -> ShardedFitted:
    """`fit` by all processes of the gang. A checkpoint of the same fit is continued, whatever the gang that wrote it."""
    started = time.monotonic()
    device = own_device(resources)
    gang = join_gang(device)
    targets = join(data.ids, labels, data.num_classes)
    loss_fn: LossFn = recipe.loss.build(targets.probs_NMK.shape[1], data.num_classes)  # type: ignore[attr-defined]  # every loss config builds
    if isinstance(loss_fn, torch.nn.Module):
        raise ConfigError(f"loss: {getattr(recipe.loss, 'type', '')!r} has parameters of its own, which are not sharded; set resources.strong.workers: 1")
    tokenizer = load_tokenizer(model_path)
    tokens = tokenise(data, tokenizer, cache)
    config = zero_config(recipe, _stage(resources), resources.offload)
    torch.manual_seed(derive_seed(recipe.seed, "dropout", gang.rank))
    with loading(config):
        classifier = build_classifier(model_path, recipe, data.num_classes, autocast(device, recipe.precision), ask_causal=False).to(device)
    tokens.check_lengths(classifier.positions, model_path)
    training_mode(classifier, recipe, activation_checkpointing=resources.activation_checkpointing)
    loop = Loop.build(classifier, _whole_batch(loss_fn), tokens, targets, recipe, resources, pad_id(tokenizer), device)
    sharded = Sharded.start(classifier, loop.training.optimizer, config, gang)
    classifier.causal = is_causal(classifier.backbone)  # a forward pass, which under stage 3 needs DeepSpeed's hooks
    loop.training.optimizer = sharded.optimizer
    gang_loop = ShardedLoop(**{**vars(loop), "model": sharded.engine, "gang": gang}, sharded=sharded)
    loaded = time.monotonic()
    gang_loop.run(place, fit_digest(data, labels, recipe), progress)
    seconds = {"load": loaded - started, "train": time.monotonic() - loaded}
    facts = gang_loop.facts() | {
        "seconds": seconds, "peak_memory_mb": peak_memory_mb(device), "device": device_name(device),
        "workers": gang.size, "zero": sharded.stage, "offload": resources.offload,
    }  # fmt: skip
    return ShardedFitted(classifier, tokenizer, recipe, data.classes, device, resources, cache, sharded=sharded, log=gang_loop.log(), facts=facts)


def load_sharded(folder: Path, base_path: str, resources: Resources, cache: Path | None = None) -> ShardedFitted:
    """What `save` wrote, spread over the gang again, to predict and embed."""
    from safetensors.torch import load_file

    recipe, classes = read_fit_file(folder)
    device = own_device(resources)
    gang = join_gang(device)
    home = base_path if recipe.adapt == "lora" else str(folder)
    config = zero_config(recipe, _stage(resources), "none")
    with loading(config):
        classifier = build_classifier(home, recipe, len(classes), autocast(device, recipe.precision), ask_causal=False)
    if recipe.adapt == "lora":
        load_adapter(classifier.backbone, folder)
    with torch.no_grad():
        classifier.head.weight.copy_(load_file(folder / HEAD_FILE)["weight"])
    classifier = classifier.to(device)
    sharded = Sharded.start(classifier, build_adamw(classifier.named_parameters(), recipe), config, gang)
    classifier.causal = is_causal(classifier.backbone)
    return ShardedFitted(classifier, load_tokenizer(home), recipe, classes, device, resources, cache, sharded=sharded)


def _stage(resources: Resources) -> int:
    return 2 if resources.zero == "auto" else int(resources.zero)


def _whole_batch(loss_fn: LossFn) -> LossFn:
    """A loss with a memory sees all rows of the gang, so that its memory is the same everywhere."""
    if isinstance(loss_fn, Stateful):
        loss_fn.rowwise = False
    return loss_fn


@dataclass
class ShardedFitted(Fitted):
    """What a gang's fit gives back. Every process must call."""

    sharded: Sharded = field(kw_only=True)

    def _classify(self, tokens: Tokens) -> Floats32:
        return self._over_rows(lambda batch: self.classifier(batch).softmax(dim=-1), tokens, len(self.classes))

    def _features(self, tokens: Tokens, layer: int) -> Floats32:
        width = int(self.classifier.backbone.config.get_text_config().hidden_size)
        return self._over_rows(lambda batch: self.classifier.pooled(batch, layer), tokens, width)

    def save(self, folder: Path) -> None:
        """The same files as one device writes. The leader alone holds the weights, once."""
        from safetensors.torch import save_file

        head = self.sharded.whole(self.classifier.head.weight)
        backbone = self.classifier.backbone
        wanted = [(name, p) for name, p in backbone.named_parameters() if self.recipe.adapt == "full" or p.requires_grad]
        state: dict[str, Tensor] = {}
        for name, parameter in wanted:
            value = self.sharded.whole(parameter)
            if self.sharded.gang.leads:
                state[name] = value
        if self.sharded.gang.leads:
            folder.mkdir(parents=True, exist_ok=True)
            with quiet():
                if self.recipe.adapt == "lora":
                    backbone.peft_config["default"].base_model_name_or_path = ""
                    backbone.save_pretrained(folder, safe_serialization=True, save_embedding_layers=False, state_dict=state)
                    (folder / "README.md").unlink(missing_ok=True)
                else:
                    backbone.save_pretrained(folder, safe_serialization=True, state_dict=state)
                    self.tokenizer.save_pretrained(folder)
            save_file({"weight": head.contiguous()}, folder / HEAD_FILE)
            write_fit_file(folder, self.recipe, self.classes)
        self.sharded.gang.wait()

    def _over_rows(self, compute: Callable[[Padded], Tensor], tokens: Tokens, width: int) -> Floats32:
        """compute(batch) of every row, each by one process, added up over the gang; all make as many passes, for under stage 3 each pass is made by all."""
        gang = self.sharded.gang
        self.classifier.eval()
        everyone = np.arange(len(tokens))
        dealt = [length_batches(tokens.lengths_N, part, self.resources.micro_tokens) for part in deal(everyone, tokens.lengths_N, gang.size)]
        mine = dealt[gang.rank]
        most = max(len(batches) for batches in dealt)
        out = torch.zeros(len(tokens), width, device=self.device)
        fill = pad_id(self.tokenizer)
        with torch.no_grad():
            for turn in range(most):
                rows = mine[turn] if turn < len(mine) else everyone[:1]
                values = compute(Padded.of(tokens, rows, fill, self.device)).float()
                if turn < len(mine):
                    out[torch.from_numpy(rows).to(self.device)] = values
        values_ND: Floats32 = gang.sum(out).cpu().numpy()
        return values_ND


def save_pieces(place: CheckpointPlace, loop: ShardedLoop, digest: str) -> None:
    """Each process writes every n-th tensor, whole; the leader's manifest, written when all are there, makes them a checkpoint.

    Two slots take turns, so that the last whole checkpoint stays until the next one is whole.
    """
    from safetensors.torch import save_file

    gang, training = loop.gang, loop.training
    slot = 1 - _manifest(place).get("slot", 1)
    tensors: dict[str, Tensor] = {"rng": torch.get_rng_state()}
    for index, (name, parameter) in enumerate(training.weights.items()):
        values = {"weight": loop.sharded.whole(parameter), **loop.sharded.moments(parameter)}
        if index % gang.size == gang.rank:
            tensors |= {f"{what}/{name}": value.contiguous() for what, value in values.items()}
    if gang.leads:
        tensors["losses"] = torch.tensor(training.losses, dtype=torch.float64)
        if isinstance(training.loss_fn, Stateful):
            tensors |= {f"loss/{name}": value for name, value in training.loss_fn.state_dict().items()}
    place.keep(_piece(slot, gang.rank), _written(place, lambda name: save_file(tensors, name)))
    gang.wait()
    if gang.leads:
        manifest = {"format": FORMAT, "slot": slot, "pieces": gang.size, "step": training.step, "digest": digest, "counters": training.counters}
        place.keep(MANIFEST, _written(place, lambda name: Path(name).write_text(json.dumps(manifest), encoding="utf-8")))
    gang.wait()


def restore_pieces(place: CheckpointPlace, loop: ShardedLoop, digest: str) -> bool:
    """Continue from the manifest's checkpoint if it is one of this very fit, by whatever gang."""
    from safetensors import safe_open

    manifest, training, gang = _manifest(place), loop.training, loop.gang
    if manifest.get("digest") != digest or manifest.get("format") != FORMAT:
        return False
    paths = [place.fetch(_piece(manifest["slot"], rank)) for rank in range(manifest["pieces"])]
    found = gang.sum(torch.tensor(float(all(paths)), device=training.device))
    if int(found) < gang.size:
        return False
    files = [safe_open(path, framework="pt") for path in paths if path]
    where = {name: file for file in files for name in file.keys()}  # noqa: SIM118  # not a dict
    loop.sharded.restore(training.weights, lambda name, what: where[f"{what}/{name}"].get_tensor(f"{what}/{name}"), manifest["step"])
    if isinstance(training.loss_fn, Stateful):
        names = [name for name in where if name.startswith("loss/")]
        training.loss_fn.load_state_dict({name.removeprefix("loss/"): where[name].get_tensor(name) for name in names})
    training.losses = where["losses"].get_tensor("losses").tolist()
    training.step, training.counters = manifest["step"], manifest["counters"]
    if manifest["pieces"] == gang.size:
        torch.set_rng_state(files[gang.rank].get_tensor("rng"))
    return True


def _manifest(place: CheckpointPlace) -> dict[str, Any]:
    path = place.fetch(MANIFEST)
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path else {}
    return found


def _piece(slot: int, rank: int) -> str:
    return f"gang-{slot}-{rank}.safetensors"


def _written(place: CheckpointPlace, write: Callable[[str], object]) -> Path:
    """A finished, durable temporary file."""
    place.scratch.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=place.scratch, suffix=".part")
    os.close(handle)
    write(name)
    with open(name, "rb") as file:
        os.fsync(file.fileno())
    return Path(name)
