"""Several fits of one kind as one computation: the weights that train are stacked, and one vectorised pass computes the
gradients of all members.

Every member keeps its own rows, order, learning rate, optimizer and checkpoint, which are those of the fit alone: its
weights are views of the stack. So a member that was begun here can be finished alone, and the other way round. Frozen
weights (the base of adapters) are held once.

Shapes: M members that are not done, B rows of the longest batch, T tokens, K classes, P numbers that train.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, grad_and_value, vmap

from w2s_ray.backends.batch.order import Rows, drawn_batches, id_hashes
from w2s_ray.backends.batch.padded import Padded
from w2s_ray.backends.devices.device import pick_device
from w2s_ray.backends.fit.fitted import Fitted
from w2s_ray.backends.fit.job import Job
from w2s_ray.backends.fit.loop import Loop, as_tensor
from w2s_ray.backends.fit.single import ReadyFit, fit, share_frozen
from w2s_ray.backends.models.classifier import Classifier, build_classifier, square_mask, training_mode
from w2s_ray.backends.models.load import load_tokenizer, shape_of
from w2s_ray.core.errors import FitError, InputError, ResourceError, W2SError

# On a CPU a stack saves what each operation costs beside its arithmetic, which is little where a step has many numbers
# (tokens times width; benchmarks/ensemble.md).
MOST_NUMBERS_ON_CPU = 25_000
MOST_PADDING = {"cpu": 1.25, "cuda": 2.0}  # a step is as long as the longest row of all members


def fit_many(jobs: Sequence[Job]) -> Iterator[Fitted | W2SError]:
    """The result of `fit` for each job, in their order, each as soon as it is made. Together where that is faster and
    there is memory for it, else in two halves, or one by one.

    A job that is left alone is computed in the same way too, so that its last digits do not depend on the other
    members.
    """
    half = len(jobs) // 2
    try:
        stacked = bool(jobs) and jobs[0].data.kind.stacked and (jobs[0].resources.fuse is True or _pays(jobs))
        made = _fit_stacked(jobs) if stacked else None
    except InputError:
        half, made = 0, None  # one job's rows are invalid: it must fail alone
    except (torch.OutOfMemoryError, ResourceError):
        stacked, made = True, None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    if made is not None:
        yield from made
    elif half and stacked:
        yield from (one for some in (jobs[:half], jobs[half:]) for one in fit_many(some))
    else:
        yield from map(_alone, jobs)


def _alone(job: Job) -> Fitted | W2SError:
    try:
        return fit(job)
    except W2SError as error:
        return error


def _pays(jobs: Sequence[Job]) -> bool:
    """Whether the stack is faster than one after another."""
    first = jobs[0]
    tokenizer, device = load_tokenizer(first.model_path), pick_device(first.resources).type
    longest, sizes = [], []
    for job in jobs:
        tokens = job.tokens(tokenizer)
        labelled = job.targets(tokens).labelled
        lengths = tokens.lengths_N[labelled]
        batches = drawn_batches(job.recipe, id_hashes(tokens.ids[labelled]), lengths, 0)
        longest.append([int(lengths[rows].max()) for rows in batches])
        sizes.append(lengths.sum() / len(batches))
    if device == "cpu" and np.mean(sizes) * shape_of(first.model_path).width > MOST_NUMBERS_ON_CPU:
        return False
    steps = list(zip(*longest, strict=False))
    return bool(sum(max(step) * len(step) for step in steps) <= MOST_PADDING[device] * sum(map(sum, steps)))


def _fit_stacked(jobs: Sequence[Job]) -> list[Fitted | W2SError]:
    device = pick_device(jobs[0].resources)
    prepared: list[ReadyFit] = []
    for job in jobs:
        prepared.append(ReadyFit.of(job, device, prepared[0].reader if prepared else None, share=1 / len(jobs)))
    if any(one.loop.resources.activation_checkpointing is True for one in prepared):
        raise ResourceError("a stack keeps its activations, and there is no room for them")
    stacked = StackedLoops([one.loop for one in prepared], _vectorisable(jobs[0], prepared[0]))
    stacked.run(jobs)
    made: list[Fitted | W2SError] = [
        stacked.failed.get(n) or one.fitted({"halvings": [], "fused": len(jobs)}) for n, one in enumerate(prepared)
    ]
    for one in made:
        if isinstance(one, Fitted):
            one.facts["seconds"]["train"] /= len(jobs)
    return made


@dataclass
class StackedLoops:
    """The loops of several fits, one step of all at a time."""

    loops: list[Loop]
    model: Classifier  # whose code computes with the members' weights
    failed: dict[int, FitError] = field(default_factory=dict)

    def run(self, jobs: Sequence[Job]) -> None:
        """Every loop to its last step, or to the one at which its loss is not a number."""
        for loop, job in zip(self.loops, jobs, strict=True):
            loop.resume(job.place, job.digest)
        stacked = _stack(self.loops)
        pending: list[list[Tensor]] = [[] for _ in self.loops]
        saved = started = time.monotonic()
        warned = False
        while active := [n for n, loop in enumerate(self.loops) if not loop.done and n not in self.failed]:
            losses_M = self._step(active, stacked)
            for n, loss in zip(active, losses_M.unbind(), strict=True):
                self.loops[n].training.step += 1
                pending[n].append(loss)
            now = time.monotonic()
            for n in active:
                self.loops[n].training.counters["seconds"] += (now - started) / len(active)
            started = now
            due = now - saved >= min(job.resources.checkpoint_every_s for job in jobs)
            if not due and not warned and jobs[0].watch.leaving():  # they share a process
                warned = due = True
            for n in active:
                if len(pending[n]) >= self.loops[n].most_pending or due or self.loops[n].done:
                    self._note(n, pending[n], jobs[n])
            if due:
                self._save(active, jobs)
                saved = time.monotonic()

    def _save(self, active: list[int], jobs: Sequence[Job]) -> None:
        for n in active:
            if not self.loops[n].done and n not in self.failed:
                self.loops[n].save(jobs[n].place, jobs[n].digest)

    def _note(self, n: int, losses: list[Tensor], job: Job) -> None:
        loop = self.loops[n]
        try:
            loop.note(losses)
            loop.report(job.progress)
            if loop.done:
                loop.check_weights()
        except FitError as error:
            self.failed[n] = error

    def _step(self, active: list[int], stacked: dict[str, Tensor]) -> Tensor:
        """One optimizer step of each active member; returns their losses."""
        loops = [self.loops[n] for n in active]
        everyone = len(active) == len(self.loops)
        chosen = stacked if everyone else {name: values[active] for name, values in stacked.items()}
        trained = {name: values for name, values in chosen.items() if name in loops[0].training.weights}
        buffers = {name: values for name, values in chosen.items() if name not in trained}
        total_M: Tensor | None = None
        for batch in self._batches(loops):
            gradients, losses_M = self._gradients(loops[0], trained, buffers, batch)
            # The fused AdamW reads memory in its order.
            gradients = {name: values.contiguous() for name, values in gradients.items()}
            for m, loop in enumerate(loops):
                for name, weight in loop.training.weights.items():
                    weight.grad = gradients[name][m] if weight.grad is None else weight.grad + gradients[name][m]
            total_M = losses_M if total_M is None else total_M + losses_M
        for loop in loops:
            loop.set_lr()
            loop.update()
        assert total_M is not None
        return total_M

    def _gradients(
        self, first: Loop, trained: dict[str, Tensor], buffers: dict[str, Tensor], batch: tuple[Tensor, ...]
    ) -> tuple[dict[str, Tensor], Tensor]:
        def loss_of(weights: dict[str, Tensor], fixed: dict[str, Tensor], *inputs: Tensor) -> Tensor:
            ids_BT, lengths_B, second_B, targets_BMK, weights_B, share = inputs
            logits_BK = functional_call(
                self.model, {**weights, **fixed}, (Padded(ids_BT, lengths_B, second_B, full=False),)
            )
            return first.loss_fn(logits_BK, targets_BMK, weights_B, 0.0) * share

        gradients, losses_M = vmap(grad_and_value(loss_of))(trained, buffers, *batch)
        return gradients, losses_M.detach()

    def _batches(self, loops: list[Loop]) -> list[tuple[Tensor, ...]]:
        """The batches of one step: the members' next rows side by side, cut where they are too many tokens. A row that
        fills a gap has no weight."""
        rows = [loop.next_rows() for loop in loops]
        rows = [
            each[np.argsort(loop.tokens.lengths_N[each], kind="stable")] for each, loop in zip(rows, loops, strict=True)
        ]
        most = max(map(len, rows))
        longest = max(int(loop.tokens.lengths_N[each].max()) for each, loop in zip(rows, loops, strict=True))
        at_once = max(1, min(loop.resources.tokens_at_once for loop in self.loops) // longest)
        whole = [float(loop.targets.weight_N[each].sum()) for each, loop in zip(rows, loops, strict=True)]
        cuts = range(0, most, -(-most // -(-most // at_once)))
        size = -(-most // len(cuts))
        return [
            self._batch(loops, [each[start : start + size] for each in rows], whole, min(size, most - start))
            for start in cuts
        ]

    def _batch(self, loops: list[Loop], rows: list[Rows], whole: list[float], size: int) -> tuple[Tensor, ...]:
        device = loops[0].training.device
        longest = max(int(loop.tokens.lengths_N[each].max(initial=1)) for each, loop in zip(rows, loops, strict=True))
        teachers, classes = loops[0].targets.probs_NMK.shape[1:]
        members = len(loops)
        ids = np.full((members, size, longest), loops[0].fill, dtype=np.int64)
        lengths, second = np.ones((members, size), dtype=np.int64), np.ones((members, size), dtype=np.int64)
        targets, weights = np.full((members, size, teachers, classes), 1.0 / classes), np.zeros((members, size))
        for m, (loop, each) in enumerate(zip(loops, rows, strict=True)):
            if len(each):
                loop.count([each])
                padded = loop.tokens.padded(each, loop.fill)
                ids[m, : len(each), : padded.shape[1]] = padded
                lengths[m, : len(each)] = loop.tokens.lengths_N[each]
                second[m, : len(each)] = loop.tokens.second_Q[each]
                targets[m, : len(each)] = loop.targets.probs_NMK[each]
                weights[m, : len(each)] = loop.targets.weight_N[each]
        shares = weights.sum(axis=1) / whole
        whole_numbers = [torch.from_numpy(array).to(device, non_blocking=True) for array in (ids, lengths, second)]
        return (*whole_numbers, as_tensor(targets, device), as_tensor(weights, device), as_tensor(shares, device))


def _vectorisable(job: Job, first: ReadyFit) -> Classifier:
    """The same model with attention in plain operations: the fast kernels cannot be vectorised over members."""
    model = build_classifier(
        job.model_path, job.recipe, job.data.num_classes, first.reader.autocast, kind=job.data.kind, attention="eager"
    )
    model.mask = square_mask
    share_frozen(model, first.reader)
    training_mode(model, job.recipe, activation_checkpointing=False)
    return model.to(first.loop.training.device)


def _stack(loops: list[Loop]) -> dict[str, Tensor]:
    """The weights that train and the buffers, by name, with a dimension for the members in front. Each member's weights
    become views of them."""
    stacked: dict[str, Tensor] = {}
    for name in loops[0].training.weights:
        whole = torch.stack([loop.training.weights[name].detach() for loop in loops])
        for m, loop in enumerate(loops):
            loop.training.weights[name].data = whole[m]
        stacked[name] = whole
    for name, buffer in loops[0].model.named_buffers():
        others = [dict(loop.model.named_buffers())[name] for loop in loops[1:]]
        if any(not torch.equal(buffer, other) for other in others):  # which of the hidden dimensions the head reads
            stacked[name] = torch.stack([buffer, *others])
    return stacked
