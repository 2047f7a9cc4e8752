"""Features of a pretrained model."""

from __future__ import annotations

from pathlib import Path

import torch

from w2s_ray.backends.batch.tokens import tokenise
from w2s_ray.backends.devices.device import autocast, pick_device
from w2s_ray.backends.inference.rows import OneDevice
from w2s_ray.backends.models.classifier import Classifier
from w2s_ray.backends.models.load import load_backbone, load_tokenizer, pad_id
from w2s_ray.config.recipe import Recipe
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.errors import DataError
from w2s_ray.core.features import Features
from w2s_ray.core.resources import Resources


def embed_base(model_path: str, data: Dataset, recipe: Recipe, resources: Resources, cache: Path | None) -> Features:
    """Pooled hidden states. It uses the recipe's `layer` (-1 is the last, 0 the embeddings), `pooling`, `precision` and
    `prompt`."""
    device = pick_device(resources)
    tokenizer = load_tokenizer(model_path)
    cast = autocast(device, recipe.precision)
    backbone = load_backbone(model_path, dtype=torch.bfloat16 if recipe.precision == "bf16" else torch.float32)
    tokens = tokenise(data.prompted(recipe.prompt), tokenizer, cache)
    tokens.check_lengths(backbone.positions, model_path)
    no_head = torch.nn.Linear(1, 1)
    check_vectors(data)
    classifier = Classifier(backbone, no_head, recipe, cast, kind=data.kind).to(device)
    classifier.eval()
    over = OneDevice(pad_id(tokenizer), resources.tokens_at_once, device).over
    (array_ND,) = over(lambda batch: (classifier.features(batch, recipe.layer),), tokens)
    return Features.of(tokens.ids, array_ND, layer=recipe.layer, signed=data.kind.signed).align(data.ids)


def check_vectors(data: Dataset) -> None:
    """Refuse rows that have no single vector."""
    if not data.kind.one_vector:
        raise DataError(
            f"{data.name} has rows of kind choice, whose candidates are read apart, so a row has no vector of its own;"
            " use task.format: choices"
        )
