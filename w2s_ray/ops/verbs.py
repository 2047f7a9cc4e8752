"""`Verbs`: what a method sees as `ctx`. Each verb returns a handle at once; only looking into a result waits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from w2s_ray.core.dataset import Dataset
from w2s_ray.core.errors import ConfigError
from w2s_ray.core.features import Features
from w2s_ray.core.labels import LabelSet
from w2s_ray.core.resources import one_process
from w2s_ray.engine.context import Context, Handle, RiderSpec
from w2s_ray.engine.execute import put_content
from w2s_ray.ops.embed import EMBED, PROBE
from w2s_ray.ops.prepare import CONTENT_VERSION, labels_key
from w2s_ray.ops.task import Learner, Trained
from w2s_ray.ops.train import EMBED_TRAINED, PREDICT, TRAIN, recipe_identity

Labels = Handle | Sequence[Handle]


@dataclass(frozen=True)
class Verbs:
    """The verbs of one cell. `seed` trains every model of the cell; `always_on` are the rows that every trained model predicts (the test inputs)."""

    context: Context
    seed: int
    always_on: tuple[Handle, ...] = ()

    def train(self, learner: Learner, data: Handle, labels: Labels, *, predict_on: Sequence[Handle] = (), keep_weights: bool | None = None) -> Trained:
        """Finetune on rows and labels (several label sets: several teachers).

        What `predict_on` names is predicted while the model is at hand. Weights are kept when nothing is named, for then a later verb must want them.
        """
        learner = learner.with_recipe(seed=self.seed)
        probe = learner.recipe.adapt == "probe"
        if probe and getattr(learner.recipe.loss, "type", "") != "xent":
            raise ConfigError(
                f"loss: {getattr(learner.recipe.loss, 'type', '')!r} with adapt: probe; a probe is solved for cross-entropy: leave the loss out, or use adapt: full or lora"
            )
        taught = labels if isinstance(labels, Handle) else tuple(labels)
        handle = self.context.submit(
            PROBE if probe else TRAIN,
            {"model": learner.model.identity, "recipe": recipe_identity(learner.recipe)},
            {"features": self.embed(learner, data), "labels": taught} if probe else {"data": data, "labels": taught},
            resources=one_process(learner.resources) if probe else learner.resources,
            hints={"model_path": learner.model.path, "keep_weights": not predict_on if keep_weights is None else keep_weights},
            riders=[self._prediction(learner, rows) for rows in dict.fromkeys((*predict_on, *self.always_on))],
        )
        return Trained(learner, handle)

    def predict(self, model: Trained, data: Handle) -> Handle:
        """Class probabilities, made by the step that holds the model."""
        return self.context.ride(model.handle, self._prediction(model.learner, data))

    def embed(self, model: Learner | Trained, data: Handle, *, layer: int | None = None) -> Handle:
        """Features of a pretrained or of a trained model; cached for all who ask for the same ones."""
        recipe = model.recipe if isinstance(model, Learner) else model.learner.recipe
        wanted = recipe.layer if layer is None else layer
        if isinstance(model, Trained) and recipe.adapt != "probe":
            return self.context.ride(model.handle, RiderSpec(EMBED_TRAINED, {"layer": wanted}, {"data": data}))
        base = model if isinstance(model, Learner) else model.learner  # a probe leaves the features as they were
        params = {"model": base.model.identity, "layer": wanted, "pooling": recipe.pooling, "precision": recipe.precision}
        return self.context.submit(EMBED, params, {"data": data}, resources=base.resources, hints={"model_path": base.model.path})

    def put(self, labels: LabelSet) -> Handle:
        """Labels that a block made here, for a verb to use. Their identity is their content, so the block's code needs none."""
        key = labels_key(labels)
        put_content(self.context.store, key, CONTENT_VERSION, {"digest": labels.digest}, labels.save, {"rows": len(labels), "source": labels.source})
        return self.context.adopt(key)

    def labels(self, handle: Handle) -> LabelSet:
        """Look into labels or predictions; waits for them."""
        return LabelSet.load(handle.artifact().path)

    def features(self, handle: Handle) -> Features:
        """Look into features; waits for them."""
        return Features.load(handle.artifact().path)

    def rows(self, handle: Handle) -> Dataset:
        """Look into a data set."""
        return Dataset.load(handle.artifact().path)

    def _prediction(self, learner: Learner, data: Handle) -> RiderSpec:
        if learner.recipe.adapt == "probe":
            return RiderSpec(PREDICT, {}, {"features": self.embed(learner, data)})
        return RiderSpec(PREDICT, {}, {"data": data})
