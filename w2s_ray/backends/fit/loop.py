"""The steps of one fit: batches, losses, checkpoints, evaluations on rows that are not learned from.

Shapes: N rows in the order of their ids, M teachers, K classes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from w2s_ray.backends.batch.order import Hashes, Rows, drawn_batches, id_hashes, micro_batches, num_batches
from w2s_ray.backends.batch.padded import Padded
from w2s_ray.backends.batch.targets import Targets
from w2s_ray.backends.batch.tokens import Tokens
from w2s_ray.backends.devices.device import device_name, peak_memory_mb
from w2s_ray.backends.devices.gang import ALONE, Gang
from w2s_ray.backends.devices.speed import utilisation
from w2s_ray.backends.fit.checkpoint import CheckpointPlace, Training, restore_checkpoint, save_checkpoint
from w2s_ray.backends.fit.early_stopping import Best, Checks
from w2s_ray.backends.fit.gradients import Micro, step_loss
from w2s_ray.backends.fit.optimizer import build_adamw, clip, lr_factor, set_lr
from w2s_ray.backends.fit.placement import out_of_memory
from w2s_ray.backends.models.load import shape_of
from w2s_ray.blocks.losses.contract import LossFn
from w2s_ray.config.recipe import Recipe
from w2s_ray.core.errors import FitError, Interrupted
from w2s_ray.core.resources import Resources
from w2s_ray.core.watch import Watch

Progress = Callable[[dict[str, Any], Callable[[], list[dict[str, float]]]], None]

LOG_POINTS = 200  # of the loss curve, whatever the number of steps
GPU_LOSSES_IN_FLIGHT = 16  # reading a loss waits for the device, so on a GPU it is done for several steps at once


@dataclass
class Loop:
    """The steps of one fit. The model maps padded rows to values that the loss compares with the targets; a
    classifier's are logits."""

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
    _warned: bool = field(default=False, init=False)  # that its machine will be taken away

    @staticmethod
    def build(
        model: nn.Module,
        loss_fn: LossFn,
        tokens: Tokens,
        targets: Targets,
        recipe: Recipe,
        resources: Resources,
        fill: int,
        device: torch.device,
    ) -> Loop:
        named = dict(model.named_parameters())
        if isinstance(loss_fn, nn.Module):
            named |= {f"loss.{name}": p for name, p in loss_fn.to(device).named_parameters()}
        trained = {name: p for name, p in named.items() if p.requires_grad}
        training = Training(
            trained,
            build_adamw(trained.items(), recipe),
            loss_fn,
            device,
            counters={"tokens": 0, "padded": 0, "rows": 0, "seconds": 0.0},
        )
        return Loop(
            model,
            loss_fn,
            training,
            tokens,
            targets,
            targets.labelled,
            id_hashes(tokens.ids[targets.labelled]),
            recipe,
            resources,
            fill,
        )

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
        """How many losses may stay unread on the device."""
        return GPU_LOSSES_IN_FLIGHT if self.training.device.type == "cuda" else 1

    def resume(self, place: CheckpointPlace, digest: str) -> None:
        """Continue from a checkpoint of this fit, if there is one."""
        training = self.training
        if self._restore(place, digest):
            training.resumed.append(
                {
                    "step": training.step,
                    "workers": self.gang.size,
                    "since_checkpoint_s": round(time.time() - training.saved_at, 3),
                }
            )

    def next_rows(self) -> Rows:
        """The rows of the next step."""
        epoch, index = divmod(self.training.step, self.steps_per_epoch)
        if self._batches is None or self._batches[0] != epoch:
            self._batches = epoch, self.epoch(epoch)
        return self._batches[1][index]

    def run(self, place: CheckpointPlace, digest: str, progress: Progress | None) -> None:
        """Run the steps from the checkpoint's to the last one."""
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
            evaluate = self.checks is not None and self.checks.due(training.step, self.total)
            every = self.resources.checkpoint_every_steps
            due = self._agree(
                time.monotonic() - saved >= self.resources.checkpoint_every_s
                or (every > 0 and training.step % every == 0)
            )
            if len(pending) >= self.most_pending or due or self.done or evaluate:
                self.note(pending)
                training.counters["seconds"] += time.monotonic() - started
                if evaluate:
                    # Before any checkpoint of this step, which holds all evaluations up to it.
                    self._evaluate(place, digest)
                started = time.monotonic()
                try:
                    self.report(progress)
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
        if training.evaluations:
            self._return_to_best(place, digest)

    def _evaluate(self, place: CheckpointPlace, digest: str) -> None:
        """Evaluate, and save what is better than all before."""
        assert self.checks is not None
        training = self.training
        self.watch.rest()
        with self._halved_if_full():
            found = self.checks.evaluate()
        better = all(found > one["score"] for one in training.evaluations)
        training.evaluations.append({"step": training.step, "score": found})
        if better:
            # The best alternates between two places, and the newest checkpoint then records it: so the best that a
            # checkpoint refers to is not overwritten before a newer checkpoint exists.
            self.save(Best.of(place, training.evaluations), digest)
            self.save(place, digest)
        self.watch.beat()

    def _return_to_best(self, place: CheckpointPlace, digest: str) -> None:
        """Restore the weights of the best evaluation; the recorded facts stay those of all steps."""
        training = self.training
        kept = {name: getattr(training, name) for name in ("step", "losses", "counters", "resumed", "evaluations")}
        best = max(training.evaluations, key=lambda one: one["score"])
        if best["step"] < training.step and not (
            self._restore(Best.of(place, training.evaluations), digest) and training.step == best["step"]
        ):
            raise FitError(
                f"the weights of step {best['step']:g}, the best of {len(training.evaluations)} evaluations, are no"
                " longer where they were kept; run the fit again"
            )
        for name, value in kept.items():
            setattr(training, name, value)

    @contextmanager
    def _halved_if_full(self) -> Iterator[None]:
        """Turn torch's out-of-memory error into `OutOfMemory`, with the tokens at once; the caller halves them."""
        try:
            yield
        except torch.OutOfMemoryError as error:
            raise out_of_memory(error, self.tokens, self.resources) from error

    def epoch(self, epoch: int) -> list[Rows]:
        batches = drawn_batches(self.recipe, self.hashes, self.tokens.lengths_N[self.rows], epoch)
        return [self.rows[batch] for batch in batches]

    def _step(self, rows: Rows) -> Tensor:
        training = self.training
        self.set_lr()
        loss = step_loss(
            self.model, self._micros(rows), self.loss_fn, training.step / self.total, self._backward, self.gang
        )
        self.update()
        return loss

    def set_lr(self) -> None:
        set_lr(self.training.optimizer, self._lr(self.training.step))

    def _agree(self, due: bool) -> bool:
        """Whether to checkpoint, which the processes of one fit must decide alike: by the clock, and once when the
        machine is about to be taken away."""
        if not due and not self._warned and self.watch.leaving():
            self._warned = due = True
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
        """Count what goes through the model, over all processes."""
        counters = self.training.counters
        for rows in parts:
            counters["rows"] += len(rows)
            counters["tokens"] += int(self.tokens.real_N[rows].sum())
            counters["padded"] += len(rows) * int(self.tokens.lengths_N[rows].max())

    def _micro(self, rows: Rows, whole: float) -> Micro:
        device = self.training.device
        inputs = Padded.of(self.tokens, rows, self.fill, device)
        weights = self.targets.weight_N[rows]
        return Micro(
            inputs,
            as_tensor(self.targets.probs_NMK[rows], device),
            as_tensor(weights, device),
            float(weights.sum()) / whole,
        )

    def note(self, pending: list[Tensor]) -> None:
        """Read the losses that were left on the device."""
        losses = torch.stack(pending).tolist()
        pending.clear()
        first = self.training.step - len(losses)
        for step, loss in enumerate(losses, start=first):
            if not np.isfinite(loss):
                raise FitError(
                    f"the loss is {loss} at step {step + 1} of {self.total} (lr {self.recipe.lr:g},"
                    f" {self.recipe.precision}); lower train.lr, set train.clip, or use precision: fp32"
                )
        self.training.losses += losses

    def check_weights(self) -> None:
        """Check the weights after the last step: no later loss would show one that is not finite."""
        check_finite(
            all(bool(torch.isfinite(weight).all()) for weight in self.training.weights.values()),
            self.total,
            self.recipe,
        )

    def report(self, progress: Progress | None) -> None:
        """Report the fit's progress."""
        if progress is not None:
            step = self.training.step
            progress(
                {
                    "step": step,
                    "steps": self.total,
                    "epoch": (step - 1) // self.steps_per_epoch,
                    "loss": self.training.losses[-1],
                    "lr": self._lr(step - 1),
                },
                self.log,
            )

    def _lr(self, step: int) -> float:
        return self.recipe.lr * lr_factor(self.recipe, step, self.total)

    def log(self) -> list[dict[str, float]]:
        """The loss curve so far, thinned: of a fit under way, the beginning of what it will be."""
        every, done = -(-self.total // LOG_POINTS), len(self.training.losses)
        steps = sorted(step for step in {*range(0, self.total, every), self.total - 1} if step < done)
        return [{"step": step + 1, "loss": self.training.losses[step], "lr": self._lr(step)} for step in steps]

    def facts(self, model_path: str) -> dict[str, Any]:
        """What the fit did and how fast; tokens, rows and padding are those of all its processes."""
        counters, device, resources = self.training.counters, device_name(self.training.device), self.resources
        speed = counters["tokens"] / max(counters["seconds"], 1e-9)
        mean_length = counters["tokens"] / max(counters["rows"], 1)
        frozen = self.recipe.way.frozen
        return {
            "rows": int(counters["rows"]),
            "tokens": int(counters["tokens"]),
            "padding": 1 - counters["tokens"] / counters["padded"],
            "steps": self.total,
            "resumed": self.training.resumed,
            "tokens_per_s": speed,
            "mfu": utilisation(
                shape_of(model_path),
                speed,
                mean_length,
                1.0,
                device,
                self.recipe.precision,
                self.gang.size,
                frozen=frozen,
            ),
            "device": device,
            "peak_memory_mb": self.gang.each(peak_memory_mb(self.training.device), self.training.device),
            "workers": self.gang.size,
            "zero": resources.zero if resources.sharded else None,
            "offload": resources.offload,
            "micro_tokens": resources.tokens_at_once,
            "activation_checkpointing": resources.activation_checkpointing is True,
            **({"evaluations": self.training.evaluations} if self.training.evaluations else {}),
        }


def check_finite(finite: bool, steps: int, recipe: Recipe) -> None:
    if not finite:
        raise FitError(
            f"weights are not finite after step {steps} (lr {recipe.lr:g}, {recipe.precision}); lower train.lr, set"
            " train.clip, or use precision: fp32"
        )


def as_tensor(array: npt.NDArray[np.float64], device: torch.device) -> Tensor:
    return torch.from_numpy(array.astype(np.float32)).to(device, non_blocking=True)
