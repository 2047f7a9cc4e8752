"""`Verbs`: what a method sees as `ctx`. Each verb returns a handle at once; only looking into a result waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from w2s_ray.blocks.combiners.contract import Combiner
from w2s_ray.config.adapt import ASK
from w2s_ray.config.adapt import EMBED as EMBED_USE
from w2s_ray.config.recipe import Layer, Recipe
from w2s_ray.core.answers import Answers, load_labels
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.diagnostics import Diagnostic
from w2s_ray.core.errors import ConfigError, DataError
from w2s_ray.core.features import Features
from w2s_ray.core.identity import identity
from w2s_ray.core.labels import LabelSet
from w2s_ray.core.resources import one_process
from w2s_ray.core.seeds import derive_seed
from w2s_ray.engine.context import Context
from w2s_ray.engine.fingerprint import Key
from w2s_ray.engine.handle import Handle, RiderSpec
from w2s_ray.engine.step import Handling, Stack
from w2s_ray.ops.combine import submit_combine
from w2s_ray.ops.contents import put
from w2s_ray.ops.embed import EMBED
from w2s_ray.ops.join_labels import is_external, knows_any, submit_join
from w2s_ray.ops.predict import PREDICT
from w2s_ray.ops.probe import PROBE
from w2s_ray.ops.read import READ
from w2s_ray.ops.task import Learner, Member, Task, Trained
from w2s_ray.ops.train import EMBED_TRAINED, TRAIN, WEIGHTS, stack_of

Labels = Handle | Sequence[Handle]

SEEDS = 2**31  # members' seeds stay readable in slugs and YAMLs


@dataclass(frozen=True)
class Verbs:
    """The verbs of one cell. `seed` trains every model of the cell; `always_on` are the rows that every trained model
    predicts (the test inputs)."""

    _context: Context
    seed: int
    always_on: tuple[Handle, ...] = ()

    def train(
        self,
        learner: Learner,
        data: Handle,
        labels: Labels,
        *,
        predict_on: Sequence[Handle] = (),
        keep_weights: bool | None = None,
        check: tuple[Handle, Handle] | None = None,
        head: Trained | None = None,
    ) -> Trained:
        """Finetune on rows and labels (several label sets: several teachers).

        Rows in `predict_on` are predicted while the model is loaded. Weights are kept when it is empty, since a later
        verb must then need them. `check`: rows and labels by which the recipe's `check` stops early. `head`: a probe on
        the model's own features that the head starts as.
        """
        more = {} if check is None else {"check": check[0], "check_labels": check[1]}
        if head is not None:
            check_head(head, learner)
            more["head"] = head.handle
        return self._train(learner.with_recipe(seed=self.seed), data, labels, predict_on, keep_weights, more=more)

    def read(self, learner: Learner, rows: Sequence[Handle]) -> Learner:
        """The learner after continued pretraining of its model on the texts of rows, without labels."""
        if not rows:
            raise DataError("read: [] names no rows to read; give at least one handle of rows")
        recipe = learner.recipe.model_copy(update={"seed": self.seed})
        params = {"model": learner.model.identity, "recipe": recipe.reading_identity()}
        inputs: dict[str, Any] = {"data": tuple(rows), **learner.start}
        handling = Handling({"model": learner.model.path})
        return replace(
            learner, base=self._context.submit(READ, params, inputs, resources=learner.resources, handling=handling)
        )

    def train_many(self, members: Sequence[Member], *, predict_on: Sequence[Handle], first: int = 0) -> list[Trained]:
        """An ensemble's members at once, from place `first` on. Each has a seed of its own that depends on its place
        alone, so a larger ensemble begins with the members of a smaller one, and methods that train the same members
        share them."""
        many = len(members) > 1
        trained = [
            self._train(
                m.learner.with_recipe(seed=member_seed(self.seed, n)),
                m.data,
                m.labels,
                predict_on,
                keep_weights=False,
                member=many,
            )
            for n, m in enumerate(members, start=first)
        ]
        places: dict[Key, int] = {}
        for n, one in enumerate(trained, start=first):
            if (twin := places.setdefault(one.handle.key, n)) != n:
                raise ConfigError(
                    f"members {twin + 1} and {n + 1} of the ensemble are the same fit ({one.handle.key}), so they would"
                    " count one opinion twice; let them differ in rows (sample), features, layers or models"
                )
        return trained

    def heldout(self, task: Task) -> tuple[Handle, Handle]:
        """Rows of the labelled half that no model trains on, and their labels."""
        if task.heldout is None or task.heldout_labels is None:
            raise ConfigError(
                "task.heldout is 0, but the method needs held-out rows of the labelled half; set it to a share above 0,"
                " such as 0.1"
            )
        return task.heldout, task.heldout_labels

    def votes_on(self, task: Task, combiner: Combiner) -> list[Handle]:
        """The rows that members must predict for a combiner: the pool, and the held-out ones where it learns from
        them."""
        return [task.pool, *([self.heldout(task)[0]] if combiner.learns else [])]

    def combine(self, combiner: Combiner, members: Sequence[Trained], task: Task) -> tuple[Handle, Diagnostic]:
        """The combined labels of the pool, and a table of their quality by number of members. Waits for the
        predictions."""
        votes = [self.predict(member, task.pool) for member in members]
        if not combiner.learns:
            return submit_combine(self._context, combiner, votes, (), None)
        rows, truth = self.heldout(task)
        return submit_combine(self._context, combiner, votes, [self.predict(one, rows) for one in members], truth)

    def _train(
        self,
        learner: Learner,
        data: Handle,
        labels: Labels,
        predict_on: Sequence[Handle],
        keep_weights: bool | None,
        member: bool = False,
        more: Mapping[str, Handle] = MappingProxyType({}),
    ) -> Trained:
        if is_external(learner.model):
            return Trained(learner, self._joined(learner, predict_on[0] if predict_on else data))
        solved = learner.recipe.way.solved
        if solved:
            check_solvable(learner.recipe, more)
        taught = labels if isinstance(labels, Handle) else tuple(labels)
        check_taught(taught, data)
        inputs = {"features": self.embed(learner, data)} if solved else {"data": data, **learner.start, **more}
        stack = (_stack_of_probes if solved else _stack_of_fits)(learner, inputs, taught) if member else None
        handle = self._context.submit(
            PROBE if solved else TRAIN,
            {"model": learner.model.identity, "recipe": learner.recipe.identity()},
            {**inputs, "labels": taught},
            resources=one_process(learner.resources) if solved else learner.resources,
            handling=Handling(
                {"model": learner.model.path}, not predict_on if keep_weights is None else keep_weights, member, stack
            ),
            riders=[self._prediction(learner, rows) for rows in dict.fromkeys((*predict_on, *self.always_on))],
        )
        return Trained(learner, handle)

    def predict(self, model: Learner | Trained, data: Handle) -> Handle:
        """Class probabilities (for generation, answers). For a trained model, made by the step that trains it; a
        pretrained model predicts as it is."""
        learner = model if isinstance(model, Learner) else model.learner
        if is_external(learner.model):
            return self._joined(learner, data)
        if isinstance(model, Trained):
            return self._context.ride(model.handle, self._prediction(learner, data))
        params = {"model": learner.model.identity, "recipe": identity(learner.recipe, ASK)}
        handling = Handling({"model": learner.model.path})
        return self._context.submit(
            PREDICT, params, {"data": data, **learner.start}, resources=learner.resources, handling=handling
        )

    def embed(self, model: Learner | Trained, data: Handle, *, layer: Layer | None = None) -> Handle:
        """Features of a pretrained or of a trained model; equal requests share one result."""
        recipe = model.recipe if isinstance(model, Learner) else model.learner.recipe
        wanted = recipe.layer if layer is None else layer
        if isinstance(model, Trained) and not recipe.way.solved:
            return self._context.ride(model.handle, RiderSpec(EMBED_TRAINED, {"layer": wanted}, {"data": data}))
        base = model if isinstance(model, Learner) else model.learner  # a probe changes no weights
        params = {
            "model": base.model.identity,
            "recipe": identity(recipe.model_copy(update={"layer": wanted}), EMBED_USE),
        }
        handling = Handling({"model": base.model.path})
        return self._context.submit(
            EMBED, params, {"data": data, **base.start}, resources=base.resources, handling=handling
        )

    def put(self, content: Dataset | LabelSet | Answers) -> Handle:
        """Store rows or labels that the method made, for use in a verb. Their identity is their content, so the code
        that made them needs none."""
        return put(self._context, content)

    def labels(self, handle: Handle) -> LabelSet:
        """Read labels or predictions of classes; waits for them."""
        found = self.outputs(handle)
        if isinstance(found, LabelSet):
            return found
        raise ConfigError(
            "the labels are generated texts where class probabilities are wanted; use a task whose answers are chosen"
            " (task.format: choice)"
        )

    def outputs(self, handle: Handle) -> LabelSet | Answers:
        """Read labels or predictions of any kind; waits for them."""
        return load_labels(handle.artifact().path)

    def features(self, handle: Handle) -> Features:
        """Read features; waits for them."""
        return Features.load(handle.artifact().path)

    def rows(self, handle: Handle) -> Dataset:
        """Read a data set; waits for it."""
        return Dataset.load(handle.artifact().path)

    def start_from(self, model: Trained) -> Learner:
        """A learner that starts from a trained model's weights; from the pretrained ones after a probe, which changes
        none."""
        learner = model.learner
        if learner.recipe.way.solved:
            return learner
        return replace(learner, base=self._context.ride(model.handle, RiderSpec(WEIGHTS, {}, {})))

    def covers(self, model: Trained, data: Handle) -> bool:
        """Whether the model has predictions for any of these rows: labels from a file may have none."""
        return not is_external(model.learner.model) or knows_any(model.learner.model, self.rows(data).ids.tolist())

    def _joined(self, learner: Learner, data: Handle) -> Handle:
        return submit_join(self._context, learner.model, data)

    def _prediction(self, learner: Learner, data: Handle) -> RiderSpec:
        if learner.recipe.way.solved:
            return RiderSpec(PREDICT, {}, {"features": self.embed(learner, data)})
        return RiderSpec(PREDICT, {}, {"data": data})


def _stack_of_probes(learner: Learner, inputs: Mapping[str, Any], labels: Any) -> Stack | None:
    """Probes on the same features are solved as one."""
    if learner.resources.fuse is False:
        return None
    return Stack(inputs["features"].key.digest, "w2s_ray.ops.probe:probe_many")


def _stack_of_fits(learner: Learner, inputs: Mapping[str, Any], labels: Any) -> Stack | None:
    if learner.base is not None:
        return None
    teachers = 1 if isinstance(labels, Handle) else len(labels)
    return stack_of(learner.model.identity, learner.recipe, learner.resources, inputs["data"].key.digest, teachers)


def check_solvable(recipe: Recipe, more: Mapping[str, Handle]) -> None:
    """Refuse settings that a probe cannot use."""
    loss = getattr(recipe.loss, "type", "")
    if loss != "xent":
        raise ConfigError(
            f"loss: {loss!r} with adapt: probe; a probe is solved for"
            " cross-entropy: leave the loss out, or use adapt: full or lora"
        )
    if recipe.check is not None:
        raise ConfigError(
            "check is set with adapt: probe; a probe is solved exactly, so there is nothing to stop early: use"
            " adapt: full or lora, or leave check out"
        )
    if "head" in more:
        raise ConfigError(
            "hands_on is head with adapt: probe; a probe is solved, so it starts from nothing: use adapt: full or"
            " lora, or hands_on: labels"
        )


def check_taught(labels: Labels, data: Handle) -> None:
    """Refuse to learn from nobody: without labels it is texts that are learned (`read`)."""
    if not isinstance(labels, Handle) and not labels:
        raise DataError(
            f"labels: [] names no labels of {data.key} to learn from; give the handle of labels, or of a prediction"
            " (predict)"
        )


def check_head(head: Trained, learner: Learner) -> None:
    """Refuse what a head cannot start as: it starts as a probe of the fit's own model."""
    if head.handle.key.step != PROBE.name:
        raise ConfigError(
            f"head: {head.handle.key} is no probe; give one of the fit's own model (train with learner.as_probe())"
        )
    if head.learner.model.identity != learner.model.identity:
        raise ConfigError(
            f"head: {head.handle.key} is a probe of {head.learner.model}, and the fit is of {learner.model}; give a"
            " probe of the fit's own model"
        )


def member_seed(seed: int, place: int) -> int:
    """The seed of the member at a place of an ensemble."""
    return derive_seed(seed, "member", place) % SEEDS
