"""One fit by a gang: the same rows in the same order as on one device, dealt to the processes, with a model that
DeepSpeed shards.

Each process calls the same functions; what is returned is the same in all of them, and only the leader writes. Runs
under plain Python (a gang of one), torchrun, or Ray Train.

Shapes: N rows in the order of their ids.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from w2s_ray.backends.batch.order import Rows
from w2s_ray.backends.batch.padded import Padded
from w2s_ray.backends.batch.tokens import Tokens
from w2s_ray.backends.devices.device import autocast
from w2s_ray.backends.devices.gang import join_gang, own_device
from w2s_ray.backends.fit.checkpoint import CheckpointPlace
from w2s_ray.backends.fit.fit_file import read_fit_file, write_fit_file
from w2s_ray.backends.fit.fitted import HEAD_FILE, Fitted
from w2s_ray.backends.fit.gradients import Micro
from w2s_ray.backends.fit.job import Job
from w2s_ray.backends.fit.loop import Loop, as_tensor, check_finite
from w2s_ray.backends.fit.optimizer import build_adamw
from w2s_ray.backends.fit.placement import device_bytes, settled
from w2s_ray.backends.inference.embed import check_vectors
from w2s_ray.backends.inference.rows import Arrays, Compute, OverRows, length_batches
from w2s_ray.backends.models.adapters import load_adapter, save_adapter
from w2s_ray.backends.models.classifier import load_head, training_mode
from w2s_ray.backends.models.load import load_tokenizer, pad_id, quiet, shape_of
from w2s_ray.backends.models.readers import build_reader
from w2s_ray.backends.sharded.pieces import restore_pieces, save_pieces
from w2s_ray.backends.sharded.zero import Sharded, full_shape, loading, zero_config
from w2s_ray.blocks.losses.contract import LossFn, Stateful
from w2s_ray.config.recipe import Recipe
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.errors import ConfigError
from w2s_ray.core.features import Features
from w2s_ray.core.kinds import TEXT, Kind
from w2s_ray.core.resources import Resources
from w2s_ray.core.seeds import derive_seed
from w2s_ray.core.watch import Watch

BINARY = ("0", "1")  # classes of a head that is not used
LOOK_EVERY_S = 2.0  # whether a process must leave its machine; asking costs a round of messages
SHARD_GB = 4.0  # of a written model's files


@dataclass
class ShardedLoop(Loop):
    """The steps of a gang. Every process draws the same batches and takes its share of each."""

    sharded: Sharded = field(kw_only=True)
    _left: int = field(default=0, init=False)  # backward passes until the step is whole
    _looked: float = field(default_factory=time.monotonic, init=False)

    def _micros(self, rows: Rows) -> list[Micro]:
        """This process's micro-batches, as many as any process has: the gaps are filled with rows without weight, for
        all must call alike."""
        dealt = [self._cut(part) for part in deal(rows, self.tokens.lengths_N, self.gang.size)]
        most = max(len(parts) for parts in dealt)
        self.count(part for parts in dealt for part in parts)
        self.training.counters["padded"] += sum(most - len(parts) for parts in dealt) * int(
            self.tokens.lengths_N[rows[0]]
        )
        whole = float(self.targets.weight_N[rows].sum())
        mine = [self._micro(part, whole) for part in dealt[self.gang.rank]]
        self._left = most
        return [*mine, *(self._gap(rows[:1]) for _ in range(most - len(mine)))]

    def _gap(self, rows: Rows) -> Micro:
        device = self.training.device
        inputs = Padded.of(self.tokens, rows, self.fill, device)
        return Micro(
            inputs, as_tensor(self.targets.probs_NMK[rows], device), torch.zeros(len(rows), device=device), 0.0
        )

    def _agree(self, due: bool) -> bool:
        """The leader's clock decides. Every `LOOK_EVERY_S` all processes check whether one of them must leave its
        machine, which causes one checkpoint at once."""
        now = time.monotonic()
        due, look = (
            bool(flag) for flag in self.gang.leaders([due, now - self._looked >= LOOK_EVERY_S], self.training.device)
        )
        if look:
            self._looked = now
            if not self._warned and self.watch.leaving():
                self._warned = True
                return True
        return due

    def _backward(self, loss: Tensor) -> None:
        self._left -= 1
        self.sharded.backward(loss, last=self._left == 0)

    def update(self) -> None:
        assert self._left == 0, "DeepSpeed would average a part of the batch"
        self.sharded.step()

    def save(self, place: CheckpointPlace, digest: str) -> None:
        save_pieces(place, self.training, self.sharded, self.gang, digest, self.resources.checkpoints_kept)

    def _restore(self, place: CheckpointPlace, digest: str) -> bool:
        return restore_pieces(place, self.training, self.sharded, self.gang, digest)

    def check_weights(self) -> None:
        check_finite(self.sharded.finite(self.training.weights), self.total, self.recipe)


def deal(rows: Rows, lengths_N: Rows, size: int) -> list[Rows]:
    """Rows by length, one to each process in turn."""
    ordered = rows[np.argsort(lengths_N[rows], kind="stable")]
    return [ordered[rank::size] for rank in range(size)]


def fit_sharded(job: Job) -> ShardedFitted:
    """`fit` by all processes of the gang. A checkpoint of the same fit is continued, whatever the gang that wrote
    it."""
    started = time.monotonic()
    data, recipe = job.data, job.recipe
    device = own_device(job.resources)
    gang = join_gang(device)
    tokenizer = load_tokenizer(job.model_path)
    tokens = job.tokens(tokenizer)
    targets = job.targets(tokens)
    loss_fn = job.loss_fn(targets)
    if isinstance(loss_fn, torch.nn.Module):
        raise ConfigError(
            f"loss: {getattr(recipe.loss, 'type', '')!r} has parameters of its own, which are not sharded; use one"
            " process without DeepSpeed (workers: 1, zero: auto, offload: none)"
        )
    resources = settled(job.model_path, recipe, tokens, job.resources, device, gang, speaks=data.kind.by_words)
    config = zero_config(recipe, int(resources.zero), resources.offload)
    torch.manual_seed(derive_seed(recipe.seed, "dropout", gang.rank))
    with loading(config):
        reader = job.reader(autocast(device, recipe.precision), ask_causal=False).to(device)
    tokens.check_lengths(reader.positions, job.model_path)
    training_mode(reader, recipe, activation_checkpointing=resources.activation_checkpointing is True)
    loop = Loop.build(reader, _whole_batch(loss_fn), tokens, targets, recipe, resources, pad_id(tokenizer), device)
    sharded = Sharded.start(reader, loop.training.optimizer, config, gang)
    reader.ask_causal()  # a forward pass, which under stage 3 needs DeepSpeed's hooks
    loop.training.optimizer = sharded.optimizer
    gang_loop = ShardedLoop(
        **{**vars(loop), "model": sharded.engine, "gang": gang, "watch": job.watch}, sharded=sharded
    )
    fitted = ShardedFitted(
        reader, tokenizer, recipe, data.classes, device, resources, job.cache, sharded=sharded, watch=job.watch
    )
    gang_loop.checks = job.checks(fitted, gang_loop.total, resources.activation_checkpointing is True)
    loaded = time.monotonic()
    gang_loop.run(job.place, job.digest, job.progress)
    facts = gang_loop.facts(job.model_path) | {
        "seconds": {"load": loaded - started, "train": time.monotonic() - loaded}
    }
    return replace(fitted, log=gang_loop.log(), facts=facts)


def load_sharded(
    folder: Path, base_path: str, resources: Resources, cache: Path | None = None, watch: Watch | None = None
) -> ShardedFitted:
    """What `save` wrote, spread over the gang again, to predict and embed."""
    from safetensors.torch import load_file

    recipe, classes, kind = read_fit_file(folder)
    home = base_path if recipe.way.adapters else str(folder)
    fitted = open_sharded(home, recipe, resources, kind, classes, cache, watch)
    if recipe.way.adapters:
        with fitted.sharded.all_at_once(fitted.reader.backbone):
            load_adapter(fitted.reader.backbone, folder)
    if fitted.reader.head is not None:
        with fitted.sharded.all_at_once(fitted.reader.head):
            load_head(fitted.reader.head, load_file(folder / HEAD_FILE))
    return fitted


def embed_sharded(
    model_path: str, data: Dataset, recipe: Recipe, resources: Resources, cache: Path, watch: Watch | None = None
) -> Features:
    """`embed_base` by all processes of the gang, each with its share of the rows."""
    check_vectors(data)
    kind = TEXT if data.kind.generated else data.kind
    whole = recipe.model_copy(update={"adapt": "probe"})
    fitted = open_sharded(model_path, whole, resources, kind, data.classes or BINARY, cache, watch)
    return fitted.embed(data, recipe.layer)


def open_sharded(
    model_path: str,
    recipe: Recipe,
    resources: Resources,
    kind: Kind,
    classes: tuple[str, ...],
    cache: Path | None,
    watch: Watch | None,
) -> ShardedFitted:
    """A model for inference: whole in each process, or sharded where that is requested or one device is too small."""
    device = own_device(resources)
    gang = join_gang(device)
    shape = shape_of(model_path)
    stage = resources.zero
    if stage == "auto":
        stage = 0 if shape.at_rest(recipe) < 0.7 * gang.least(device_bytes(resources, device), device) else 3
    config = zero_config(recipe, stage, "none")
    with loading(config):
        reader = build_reader(
            model_path, recipe, kind, len(classes), autocast(device, recipe.precision), ask_causal=False
        )
    for parameter in reader.backbone.parameters():
        parameter.requires_grad_(False)
    last = [(name, p) for name, p in reader.named_parameters()][
        -1:
    ]  # DeepSpeed wants something that could be trained; nothing is
    last[0][1].requires_grad_(True)
    reader = reader.to(device)
    sharded = Sharded.start(reader, build_adamw(last, recipe), config, gang)
    reader.ask_causal()
    return ShardedFitted(
        reader,
        load_tokenizer(model_path),
        recipe,
        classes,
        device,
        resources,
        cache,
        sharded=sharded,
        watch=watch or Watch(),
    )


def _whole_batch(loss_fn: LossFn) -> LossFn:
    """A stateful loss is given all rows of the gang, so that its state is the same in all processes."""
    if isinstance(loss_fn, Stateful):
        loss_fn.rowwise = False
    return loss_fn


def files_of(sizes: Mapping[str, float], most: float) -> dict[str, list[str]]:
    """Which tensors go into which file, none above `most` bytes but for a single tensor's sake."""
    groups: list[list[str]] = []
    room = 0.0
    for name, size in sizes.items():
        if not groups or size > room:
            groups.append([])
            room = most
        groups[-1].append(name)
        room -= size
    if len(groups) == 1:
        return {"model.safetensors": groups[0]}
    return {f"model-{i:05d}-of-{len(groups):05d}.safetensors": names for i, names in enumerate(groups, start=1)}


@dataclass
class ShardedFitted(Fitted):
    """The result of a gang's fit. Every process must make the same calls."""

    sharded: Sharded = field(kw_only=True)
    watch: Watch = field(kw_only=True)

    @property
    def rows(self) -> OverRows:
        return Spread(self.sharded, self.watch, pad_id(self.tokenizer), self.resources.tokens_at_once, self.device)

    def save(self, folder: Path) -> None:
        """The same files as one device writes. Only the leader collects the weights of others, no more at a time than
        one file has."""
        from safetensors.torch import save_file

        backbone, leads = self.reader.backbone, self.sharded.gang.leads
        if leads:
            folder.mkdir(parents=True, exist_ok=True)
        if self.reader.head is not None:
            head = {name: self.sharded.whole(p).contiguous() for name, p in self.reader.head.named_parameters()}
            if leads:
                save_file(head, folder / HEAD_FILE)
        if self.recipe.way.adapters:
            adapters = {name: self.sharded.whole(p) for name, p in backbone.named_parameters() if p.requires_grad}
            if leads:
                save_adapter(backbone, folder, adapters)
        else:
            self._write_weights(folder)
        if leads:
            write_fit_file(folder, self.recipe, self.classes, self.reader.kind)
        self.sharded.gang.wait()
        self.watch.rest()

    def _write_weights(self, folder: Path) -> None:
        """Hugging Face's files, one at a time: numbered ones with an index where there are several."""
        from safetensors.torch import save_file

        backbone, leads = self.reader.backbone, self.sharded.gang.leads
        files = files_of({name: 4 * full_shape(p).numel() for name, p in backbone.named_parameters()}, SHARD_GB * 2**30)
        named = dict(backbone.named_parameters())
        for file, names in files.items():
            tensors: dict[str, Tensor] = {}
            for name in names:
                value = self.sharded.whole(named[name])
                if leads:
                    tensors[name] = value
                self.watch.beat()
            if leads:
                save_file(tensors, folder / file, metadata={"format": "pt"})
        if leads:
            if len(files) > 1:
                index = {"metadata": {}, "weight_map": {name: file for file, names in files.items() for name in names}}
                (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1), encoding="utf-8")
            backbone.config.architectures = [type(backbone).__name__]
            with quiet():
                backbone.config.save_pretrained(folder)
                self.tokenizer.save_pretrained(folder)


@dataclass(frozen=True)
class Spread:
    """Computes over rows that are dealt to the processes of a gang."""

    sharded: Sharded
    watch: Watch
    fill: int
    tokens_at_once: int
    device: torch.device
    alike = True

    def over(self, compute: Compute, tokens: Tokens, *, more: int = 0) -> Arrays:
        """Each row by one process, added up over the gang; all make as many passes, for under stage 3 each pass is made
        by all."""
        gang, everyone = self.sharded.gang, np.arange(len(tokens))
        dealt = [
            length_batches(tokens, part, self.tokens_at_once, more)
            for part in deal(everyone, tokens.lengths_N, gang.size)
        ]
        mine, most = dealt[gang.rank], max(len(batches) for batches in dealt)
        out: list[Tensor] = []
        self.watch.beat()
        with torch.no_grad():
            for turn in range(most):
                rows = mine[turn] if turn < len(mine) else everyone[:1]
                values = compute(Padded.of(tokens, rows, self.fill, self.device))
                out = out or [_zeros(value, len(tokens)) for value in values]
                for whole, value in zip(out if turn < len(mine) else (), values, strict=False):
                    whole[torch.from_numpy(rows).to(self.device)] = value.to(whole.dtype)
                self.watch.beat()
        found = tuple(gang.sum(whole).cpu().numpy() for whole in out)
        self.watch.rest()
        return found


def _zeros(value: Tensor, rows: int) -> Tensor:
    dtype = torch.float32 if value.is_floating_point() else value.dtype
    return torch.zeros(rows, *value.shape[1:], dtype=dtype, device=value.device)
