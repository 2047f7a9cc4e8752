"""One fit on one device: rows, labels and a recipe in, something that predicts out.

Shapes: N rows in the order of their ids, M teachers, K classes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from w2s_ray.backends.answerer import AnswerSurprise
from w2s_ray.backends.batches import Hashes, Rows, epoch_batches, id_hashes, micro_batches, num_batches
from w2s_ray.backends.check import Best, Checks, apart, every_steps, judge
from w2s_ray.backends.checkpoint import CheckpointPlace, Training, restore_checkpoint, save_checkpoint
from w2s_ray.backends.classifier import Padded, training_mode
from w2s_ray.backends.devices import Autocast, autocast, device_name, peak_memory_mb, pick_device, synchronise
from w2s_ray.backends.fitted import Fitted
from w2s_ray.backends.gang import ALONE, Gang
from w2s_ray.backends.gradients import Micro, step_loss
from w2s_ray.backends.models import load_tokenizer, pad_id, shape_of
from w2s_ray.backends.optimizer import build_adamw, clip, lr_factor, set_lr
from w2s_ray.backends.placement import halving, out_of_memory, settled
from w2s_ray.backends.readers import Reader, build_reader
from w2s_ray.backends.speed import utilisation
from w2s_ray.backends.targets import Targets, join
from w2s_ray.backends.tokens import Tokens, tokenise, tokenise_answered, tokenise_texts
from w2s_ray.blocks.linear import Probe
from w2s_ray.blocks.losses.contract import LossFn
from w2s_ray.config.recipe import Recipe
from w2s_ray.core.answers import Answers
from w2s_ray.core.dataset import SAID, Dataset
from w2s_ray.core.errors import FitError, Interrupted
from w2s_ray.core.ids import Ids, content_digest
from w2s_ray.core.labels import LabelSet
from w2s_ray.core.resources import Resources
from w2s_ray.core.seeds import derive_seed
from w2s_ray.core.watch import Watch

Progress = Callable[[dict[str, Any]], None]

LOG_POINTS = 200  # of the loss curve, whatever the number of steps
GPU_LOSSES_IN_FLIGHT = 16  # reading a loss waits for the device, so on a GPU it is done for several steps at once


@dataclass(frozen=True)
class Job:
    """What is fitted, and where that may run. Without labels the texts themselves are learned."""

    data: Dataset
    labels: Sequence[LabelSet | Answers]
    model_path: str
    recipe: Recipe
    resources: Resources
    place: CheckpointPlace
    cache: Path
    progress: Progress | None = None
    watch: Watch = field(default_factory=Watch)
    head: Probe | None = None  # what the head starts as
    check: tuple[Dataset, Sequence[LabelSet | Answers]] | None = None  # rows to look at; where the recipe looks and there are none, some of its own

    @property
    def digest(self) -> str:
        """What a checkpoint must have in common with the fit that continues it; where the fit runs is not part of it."""
        looked_at = [self.check[0].digest, *(teacher.digest for teacher in self.check[1])] if self.check else []
        started = [] if self.head is None else [self.head.weight_DC.tobytes().hex(), self.head.bias_C.tobytes().hex()]
        return content_digest([self.data.digest, *(teacher.digest for teacher in self.labels), self.recipe.model_dump_json(), *looked_at, *started])

    def targets(self, tokens: Tokens) -> Targets:
        """The rows' labels, by all teachers; rows that are only looked at are not learned from. A text without labels weighs as many words as are predicted in it."""
        if not self.labels:
            weight_N = (tokens.lengths_N - 1).astype(np.float64)
            return Targets(np.ones((len(tokens), 1, 1)), weight_N, np.flatnonzero(weight_N > 0))
        targets = join(self.data.ids, self.labels, self.data.num_classes)
        out = self.looked_at()[2] if self.recipe.check else ()
        return replace(targets, labelled=targets.labelled[~np.isin(np.sort(self.data.ids)[targets.labelled], out)]) if len(out) else targets

    def looked_at(self) -> tuple[Dataset, Sequence[LabelSet | Answers], Ids]:
        assert self.recipe.check is not None
        return apart(self.data, self.labels, self.check, self.recipe.check)

    def checks(self, fitted: Fitted, total: int, activation_checkpointing: bool) -> Checks | None:
        """How the fit looks at rows that it does not learn from, with a model that is still being trained."""
        check = self.recipe.check
        if check is None:
            return None
        rows, teachers, _ = self.looked_at()

        def look() -> float:
            found = judge(check, fitted.predict(rows), teachers)
            training_mode(fitted.reader, self.recipe, activation_checkpointing=activation_checkpointing)
            return found

        return Checks(every_steps(check, total), look)

    def tokens(self, tokenizer: Any) -> Tokens:
        """What is read; of a generation the teachers' answers too."""
        data = self.data.prompted(self.recipe.prompt)
        if not self.labels:
            return tokenise_texts(data, tokenizer, self.cache)
        if data.kind == "generation":
            return tokenise_answered(data, [labels for labels in self.labels if isinstance(labels, Answers)], tokenizer)
        return tokenise(data, tokenizer, self.cache)

    def loss_fn(self) -> LossFn:
        if self.data.kind == "generation":
            return AnswerSurprise()
        made: LossFn = self.recipe.loss.build(len(self.labels), self.data.num_classes)  # type: ignore[attr-defined]  # every loss config builds
        return made

    def reader(self, cast: Autocast, *, ask_causal: bool = True) -> Reader:
        """The model before the first step."""
        return build_reader(
            self.model_path, self.recipe, self.data.kind, self.data.num_classes, cast, teachers=max(len(self.labels), 1), head=self.head, ask_causal=ask_causal
        )


def fit(job: Job) -> Fitted:
    """Train on the rows that at least one teacher labels. A checkpoint of the same fit in the job's place is continued; so is a fit that ran out of memory, with less at once."""
    return halving(lambda resources, halvings: _fit(replace(job, resources=resources), halvings), job.resources)


def _fit(job: Job, halvings: list[int]) -> Fitted:
    device = pick_device(job.resources)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(derive_seed(job.recipe.seed, "dropout"))
        prepared = Prepared.of(job, device)
        prepared.loop.run(job.place, job.digest, job.progress)
    return prepared.fitted({"halvings": halvings})


@dataclass(frozen=True)
class Prepared:
    """A fit that is about to begin."""

    job: Job
    reader: Reader
    made: Fitted
    loop: Loop
    clock: Clock

    @staticmethod
    def of(job: Job, device: torch.device, base: Reader | None = None, share: float = 1.0) -> Prepared:
        """Load and tokenise. What is frozen is shared with `base`, a model of the same kind; of the device's memory this fit has a share."""
        recipe = job.recipe
        cast = autocast(device, recipe.precision)
        clock = Clock(device)
        tokenizer = load_tokenizer(job.model_path)
        tokens = job.tokens(tokenizer)
        targets = job.targets(tokens)
        resources = settled(job.model_path, recipe, tokens, job.resources, device, share=share, speaks=job.data.kind in SAID)
        clock.lap("tokenise")
        reader = job.reader(cast)
        if base is not None:
            share_frozen(reader, base)
        reader.to(device)
        tokens.check_lengths(reader.positions, job.model_path)
        clock.lap("load")
        training_mode(reader, recipe, activation_checkpointing=resources.activation_checkpointing is True)
        loop = Loop.build(reader, job.loss_fn(), tokens, targets, recipe, resources, pad_id(tokenizer), device)
        fitted = Fitted(reader, tokenizer, recipe, job.data.classes, device, resources, job.cache)
        loop.checks = job.checks(fitted, loop.total, resources.activation_checkpointing is True)
        return Prepared(job, reader, fitted, loop, clock)

    def fitted(self, facts: dict[str, Any]) -> Fitted:
        """After the last step."""
        self.clock.lap("train")
        loop, job = self.loop, self.job
        facts = loop.facts(job.model_path) | {"seconds": self.clock.seconds} | facts
        return replace(self.made, log=loop.log(), facts=facts)


def share_frozen(model: nn.Module, base: nn.Module) -> None:
    """Let a model's frozen weights be those of another one of its kind."""
    for mine, other in zip(model.parameters(), base.parameters(), strict=True):
        if not mine.requires_grad:
            mine.data = other.data


@dataclass
class Loop:
    """The steps of one fit. What is trained maps padded rows to values that the loss compares with the targets; a classifier's are logits."""

    model: nn.Module
    loss_fn: LossFn
    training: Training
    tokens: Tokens
    targets: Targets
    rows: Rows  # those with a label
    hashes: Hashes
    recipe: Recipe
    resources: Resources
    fill: int
    gang: Gang = ALONE
    watch: Watch = field(default_factory=Watch)
    checks: Checks | None = None
    _batches: tuple[int, list[Rows]] | None = None  # of an epoch

    @staticmethod
    def build(
        model: nn.Module, loss_fn: LossFn, tokens: Tokens, targets: Targets, recipe: Recipe, resources: Resources, fill: int, device: torch.device
    ) -> Loop:
        named = dict(model.named_parameters())
        if isinstance(loss_fn, nn.Module):
            named |= {f"loss.{name}": p for name, p in loss_fn.to(device).named_parameters()}
        trained = {name: p for name, p in named.items() if p.requires_grad}
        training = Training(trained, build_adamw(trained.items(), recipe), loss_fn, device, counters={"tokens": 0, "padded": 0, "rows": 0, "seconds": 0.0})
        return Loop(model, loss_fn, training, tokens, targets, targets.labelled, id_hashes(tokens.ids[targets.labelled]), recipe, resources, fill)

    @property
    def steps_per_epoch(self) -> int:
        return num_batches(len(self.rows), self.recipe.batch)

    @property
    def total(self) -> int:
        return self.steps_per_epoch * self.recipe.epochs

    @property
    def done(self) -> bool:
        return self.training.step == self.total

    @property
    def most_pending(self) -> int:
        """Losses that may wait on the device."""
        return GPU_LOSSES_IN_FLIGHT if self.training.device.type == "cuda" else 1

    def resume(self, place: CheckpointPlace, digest: str) -> None:
        """From a checkpoint of this fit, if there is one."""
        training = self.training
        if self._restore(place, digest):
            training.resumed.append({"step": training.step, "workers": self.gang.size, "since_checkpoint_s": round(time.time() - training.saved_at, 3)})

    def next_rows(self) -> Rows:
        """Of the step that comes."""
        epoch, index = divmod(self.training.step, self.steps_per_epoch)
        if self._batches is None or self._batches[0] != epoch:
            self._batches = epoch, self.epoch(epoch)
        return self._batches[1][index]

    def run(self, place: CheckpointPlace, digest: str, progress: Progress | None) -> None:
        """Steps from where the checkpoint ends to the last one."""
        training = self.training
        self.watch.beat()
        self.resume(place, digest)
        pending: list[Tensor] = []
        started = saved = time.monotonic()
        while not self.done:
            with self._halved_if_full():
                pending.append(self._step(self.next_rows()))
            training.step += 1
            self.watch.beat()
            look = self.checks is not None and self.checks.due(training.step, self.total)
            every = self.resources.checkpoint_every_steps
            due = self._agree(time.monotonic() - saved >= self.resources.checkpoint_every_s or (every > 0 and training.step % every == 0))
            if len(pending) >= self.most_pending or due or self.done or look:
                self.note(pending)
                training.counters["seconds"] += time.monotonic() - started
                if look:
                    self._look(place, digest)  # before any checkpoint of this step, which knows all looks up to it
                started = time.monotonic()
                try:
                    self._report(progress)
                except Interrupted:
                    self.save(place, digest)
                    raise
            if due and not self.done:
                self.watch.rest()
                self.save(place, digest)
                self.watch.beat()
                saved = time.monotonic()
        self.watch.rest()
        self.check_weights()
        if training.looks:
            self._return_to_best(place, digest)

    def _look(self, place: CheckpointPlace, digest: str) -> None:
        """Keep what is better than all before."""
        assert self.checks is not None
        training = self.training
        self.watch.rest()
        with self._halved_if_full():
            found = self.checks.look()
        better = all(found > look["score"] for look in training.looks)
        training.looks.append({"step": training.step, "score": found})
        if better:
            # By turns in two places, and the newest checkpoint then knows of it: so the best that a checkpoint knows of is never written over before a later one does.
            self.save(Best.of(place, training.looks), digest)
            self.save(place, digest)
        self.watch.beat()

    def _return_to_best(self, place: CheckpointPlace, digest: str) -> None:
        """The weights of the best look; what is told of the fit is of all its steps."""
        training = self.training
        told = {name: getattr(training, name) for name in ("step", "losses", "counters", "resumed", "looks")}
        best = max(training.looks, key=lambda look: look["score"])
        if best["step"] < training.step and not (self._restore(Best.of(place, training.looks), digest) and training.step == best["step"]):
            raise FitError(
                f"the weights of step {best['step']:g}, the best look of {len(training.looks)}, are no longer where they were kept; run the fit again"
            )
        for name, value in told.items():
            setattr(training, name, value)

    @contextmanager
    def _halved_if_full(self) -> Iterator[None]:
        """Where memory runs out, say with how much it did."""
        try:
            yield
        except torch.OutOfMemoryError as error:
            raise out_of_memory(error, self.tokens, self.resources) from error

    def epoch(self, epoch: int) -> list[Rows]:
        lengths = self.tokens.lengths_N[self.rows]
        drawn = epoch if self.recipe.order == "each" else 0
        batches = epoch_batches(self.hashes, lengths, batch=self.recipe.batch, bucket=self.recipe.bucket, seed=self.recipe.seed, epoch=drawn)
        return [self.rows[batch] for batch in batches]

    def _step(self, rows: Rows) -> Tensor:
        training = self.training
        self.set_lr()
        loss = step_loss(self.model, self._micros(rows), self.loss_fn, training.step / self.total, self._backward, self.gang)
        self.update()
        return loss

    def set_lr(self) -> None:
        set_lr(self.training.optimizer, self._lr(self.training.step))

    def _agree(self, due: bool) -> bool:
        """Processes of one fit do the same things in the same order."""
        return due

    def _backward(self, loss: Tensor) -> None:
        loss.backward()

    def update(self) -> None:
        clip(list(self.training.weights.values()), self.recipe.clip)
        self.training.optimizer.step()
        self.training.optimizer.zero_grad(set_to_none=True)

    def save(self, place: CheckpointPlace, digest: str) -> None:
        save_checkpoint(place, self.training, digest)

    def _restore(self, place: CheckpointPlace, digest: str) -> bool:
        return restore_checkpoint(place, self.training, digest)

    def _micros(self, rows: Rows) -> list[Micro]:
        parts = self._cut(rows)
        self.count(parts)
        whole = float(self.targets.weight_N[rows].sum())
        return [self._micro(part, whole) for part in parts]

    def _cut(self, rows: Rows) -> list[Rows]:
        return micro_batches(rows, self.tokens.lengths_N, self.resources.tokens_at_once)

    def count(self, parts: Iterable[Rows]) -> None:
        """What goes through the model, of all processes."""
        counters = self.training.counters
        for rows in parts:
            counters["rows"] += len(rows)
            counters["tokens"] += int(self.tokens.real_N[rows].sum())
            counters["padded"] += len(rows) * int(self.tokens.lengths_N[rows].max())

    def _micro(self, rows: Rows, whole: float) -> Micro:
        device = self.training.device
        inputs = Padded.of(self.tokens, rows, self.fill, device)
        weights = self.targets.weight_N[rows]
        return Micro(inputs, as_tensor(self.targets.probs_NMK[rows], device), as_tensor(weights, device), float(weights.sum()) / whole)

    def note(self, pending: list[Tensor]) -> None:
        """Read the losses that were left on the device."""
        losses = torch.stack(pending).tolist()
        pending.clear()
        first = self.training.step - len(losses)
        for step, loss in enumerate(losses, start=first):
            if not np.isfinite(loss):
                raise FitError(
                    f"the loss is {loss} at step {step + 1} of {self.total} (lr {self.recipe.lr:g}, {self.recipe.precision}); lower train.lr, set train.clip, or use precision: fp32"
                )
        self.training.losses += losses

    def check_weights(self) -> None:
        """The last step has no loss after it that would show a weight that is not finite."""
        check_finite(all(bool(torch.isfinite(weight).all()) for weight in self.training.weights.values()), self.total, self.recipe)

    def _report(self, progress: Progress | None) -> None:
        if progress is not None:
            step = self.training.step
            progress(
                {"step": step, "steps": self.total, "epoch": (step - 1) // self.steps_per_epoch, "loss": self.training.losses[-1], "lr": self._lr(step - 1)}
            )

    def _lr(self, step: int) -> float:
        return self.recipe.lr * lr_factor(self.recipe, step, self.total)

    def log(self) -> list[dict[str, float]]:
        """The loss curve, thinned."""
        every = -(-self.total // LOG_POINTS)
        steps = sorted({*range(0, self.total, every), self.total - 1})
        return [{"step": step + 1, "loss": self.training.losses[step], "lr": self._lr(step)} for step in steps]

    def facts(self, model_path: str) -> dict[str, Any]:
        """What the fit did and how fast; tokens, rows and padding are those of all its processes."""
        counters, device, resources = self.training.counters, device_name(self.training.device), self.resources
        speed = counters["tokens"] / max(counters["seconds"], 1e-9)
        mean_length = counters["tokens"] / max(counters["rows"], 1)
        frozen = self.recipe.adapt != "full"
        return {
            "rows": int(counters["rows"]),
            "tokens": int(counters["tokens"]),
            "padding": 1 - counters["tokens"] / counters["padded"],
            "steps": self.total,
            "resumed": self.training.resumed,
            "tokens_per_s": speed,
            "mfu": utilisation(shape_of(model_path), speed, mean_length, 1.0, device, self.recipe.precision, self.gang.size, frozen=frozen),
            "device": device,
            "peak_memory_mb": self.gang.each(peak_memory_mb(self.training.device), self.training.device),
            "workers": self.gang.size,
            "zero": resources.zero if resources.sharded else None,
            "offload": resources.offload,
            "micro_tokens": resources.tokens_at_once,
            "activation_checkpointing": resources.activation_checkpointing is True,
            **({"looks": self.training.looks} if self.training.looks else {}),
        }


def check_finite(finite: bool, steps: int, recipe: Recipe) -> None:
    if not finite:
        raise FitError(
            f"weights are not finite after step {steps} (lr {recipe.lr:g}, {recipe.precision}); lower train.lr, set train.clip, or use precision: fp32"
        )


def as_tensor(array: npt.NDArray[np.float64], device: torch.device) -> Tensor:
    return torch.from_numpy(array.astype(np.float32)).to(device, non_blocking=True)


class Clock:
    """Seconds of each phase."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.seconds, self._since = device, dict[str, float](), time.monotonic()

    def lap(self, phase: str) -> None:
        synchronise(self.device)
        now = time.monotonic()
        self.seconds[phase], self._since = now - self._since, now
