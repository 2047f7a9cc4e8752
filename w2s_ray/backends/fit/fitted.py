"""The result of a fit: it predicts, embeds, and can be written to a folder and read again.

Shapes: N rows, D features, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from w2s_ray.backends.devices.device import autocast, pick_device
from w2s_ray.backends.fit.fit_file import read_fit_file, write_fit_file
from w2s_ray.backends.inference.hf import HuggingFaceModel
from w2s_ray.backends.inference.rows import OneDevice, OverRows
from w2s_ray.backends.models.adapters import load_adapter, save_adapter
from w2s_ray.backends.models.classifier import load_head
from w2s_ray.backends.models.load import load_tokenizer, pad_id, quiet
from w2s_ray.backends.models.readers import Reader, build_reader
from w2s_ray.config.recipe import Layer, Recipe
from w2s_ray.core.answers import Answers
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.features import Features
from w2s_ray.core.labels import LabelSet
from w2s_ray.core.resources import Resources

HEAD_FILE = "head.safetensors"


@dataclass
class Fitted:
    """A finetuned transformer: all its weights, or adapters beside a base model."""

    reader: Reader
    tokenizer: Any
    recipe: Recipe
    classes: tuple[str, ...]
    device: torch.device
    resources: Resources
    cache: Path | None
    log: list[dict[str, float]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> OverRows:
        """What runs the model over many rows."""
        return OneDevice(pad_id(self.tokenizer), self.resources.tokens_at_once, self.device)

    @property
    def model(self) -> HuggingFaceModel:
        """The model, for inference."""
        return HuggingFaceModel(self.reader, self.tokenizer, self.recipe, self.classes, self.rows, self.cache)

    def predict(self, data: Dataset) -> LabelSet | Answers:
        """Class probabilities; for generation, answers."""
        return self.model.answer(data)

    def embed(self, data: Dataset, layer: Layer = -1) -> Features:
        """A vector for each row."""
        return self.model.features(data, layer)

    def save(self, folder: Path) -> None:
        """A Hugging Face folder (all weights, or the adapter alone), the head, and `fit.json`."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        if self.recipe.way.adapters:
            save_adapter(self.reader.backbone, folder)
        else:
            self.save_pretrained(folder)
        if self.reader.head is not None:
            save_file(
                {name: p.detach().cpu().contiguous() for name, p in self.reader.head.named_parameters()},
                folder / HEAD_FILE,
            )
        write_fit_file(folder, self.recipe, self.classes, self.reader.kind)

    def save_pretrained(self, folder: Path, *, half: bool = False) -> None:
        """The backbone and the tokenizer alone, as a pretrained model is published; `half`: in half precision, to which
        this model itself is converted."""
        with quiet():
            model = self.reader.backbone.half() if half else self.reader.backbone
            model.save_pretrained(folder, safe_serialization=True)
            self.tokenizer.save_pretrained(folder)

    def save_whole(self, folder: Path) -> None:
        """As a pretrained model that other fits start from: adapters become part of the weights, also of this model,
        which can then no longer be saved as a fit, and whose last digits differ."""
        if self.recipe.way.adapters:
            self.reader.backbone = self.reader.backbone.merge_and_unload().float()
            replace(self, recipe=self.recipe.model_copy(update={"adapt": "full"})).save(folder)
        else:
            self.save(folder)


def load_fitted(folder: Path, base_path: str, resources: Resources | None = None, cache: Path | None = None) -> Fitted:
    """What `save` wrote. The base model is needed for adapters; a fully finetuned one is complete in itself."""
    from safetensors.torch import load_file

    resources = resources or Resources()
    recipe, classes, kind = read_fit_file(folder)
    device = pick_device(resources)
    home = base_path if recipe.way.adapters else str(folder)
    reader = build_reader(home, recipe, kind, len(classes), autocast(device, recipe.precision))
    if recipe.way.adapters:
        load_adapter(reader.backbone, folder)
    if reader.head is not None:
        load_head(reader.head, load_file(folder / HEAD_FILE))
    return Fitted(reader.to(device), load_tokenizer(home), recipe, classes, device, resources, cache)
