"""Toy rows whose class shows in their words, a place for checkpoints, and how a tiny model becomes a folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from w2s_ray.backends.scratch import word_tokenizer
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.labels import LabelSet

WORDS = [f"w{i}" for i in range(60)]


@dataclass
class Place:
    """A checkpoint place in a folder."""

    folder: Path

    @property
    def scratch(self) -> Path:
        return self.folder / "scratch"

    def fetch(self, name: str) -> Path | None:
        path = self.folder / name
        return path if path.exists() else None

    def keep(self, name: str, file: Path) -> None:
        os.replace(file, self.folder / name)


def toy(count: int, classes: int = 2, seed: int = 0) -> tuple[Dataset, LabelSet]:
    """Rows of 2 to 12 words; three words in four come from the class's own part of the vocabulary."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, count)
    part = len(WORDS) // classes
    texts = [
        " ".join(WORDS[rng.integers(part) + part * (c if rng.random() < 0.75 else rng.integers(classes))] for _ in range(rng.integers(2, 13))) for c in truth
    ]
    data = Dataset.of("toy", "train", "text", [str(c) for c in range(classes)], [f"r{i}" for i in range(count)], text=texts)
    return data, LabelSet.hard(data.ids, truth, classes)


def shuffled(data: Dataset, seed: int = 1) -> Dataset:
    return data.select(np.random.default_rng(seed).permutation(data.ids))


def write_model(folder: Path, model: Any) -> str:
    model.save_pretrained(folder)
    word_tokenizer(WORDS, 64).save_pretrained(folder)
    return str(folder)
