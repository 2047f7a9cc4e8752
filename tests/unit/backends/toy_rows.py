"""Toy rows whose class shows in their words, a place for checkpoints, and how a tiny model becomes a folder."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from w2s_ray.backends.models.scratch import word_tokenizer
from w2s_ray.core.answers import Answers
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
        " ".join(
            WORDS[rng.integers(part) + part * (c if rng.random() < 0.75 else rng.integers(classes))]
            for _ in range(rng.integers(2, 13))
        )
        for c in truth
    ]
    data = Dataset.of(
        "toy", "train", "text", [str(c) for c in range(classes)], [f"r{i}" for i in range(count)], text=texts
    )
    return data, LabelSet.hard(data.ids, truth, classes)


def toy_preferences(count: int, seed: int = 0) -> tuple[Dataset, LabelSet]:
    """Which of two texts has more words of the vocabulary's second half?"""
    first, second = toy(count, seed=seed)[0], toy(count, seed=seed + 1)[0]
    late = [
        [sum(int(word[1:]) >= 30 for word in text.split()) / len(text.split()) for text in rows.inputs["text"]]
        for rows in (first, second)
    ]
    data = Dataset.of(
        "toy", "train", "preference", ("0", "1"), first.ids, first=first.inputs["text"], second=second.inputs["text"]
    )
    return data, LabelSet.hard(data.ids, np.argmax(late, axis=0), 2)


def toy_choices(count: int, choices: int = 3, seed: int = 0) -> tuple[Dataset, LabelSet]:
    """Which of the words, one or two at a time, is the first of the prompt?"""
    rows, _ = toy(count, seed=seed)
    rng = np.random.default_rng(seed)
    right = rng.integers(choices, size=count)
    offered = [
        [text.split()[0] if c == r else " ".join(rng.choice(WORDS, rng.integers(1, 3))) for c in range(choices)]
        for text, r in zip(rows.inputs["text"], right, strict=True)
    ]
    data = Dataset.of(
        "toy",
        "train",
        "choice",
        [str(c) for c in range(choices)],
        rows.ids,
        prompt=rows.inputs["text"],
        choices=[json.dumps(o) for o in offered],
    )
    return data, LabelSet.hard(data.ids, right, choices)


def toy_answers(count: int, seed: int = 0) -> tuple[Dataset, Answers]:
    """The class's name, of one word or of two."""
    rows, truth = toy(count, seed=seed)
    data = Dataset.of("toy", "train", "generation", (), rows.ids, prompt=rows.inputs["text"])
    return data, Answers.of(rows.ids, [["w7", "w8 w9"][c] for c in truth.hard_N])


TOYS: dict[str, Any] = {"text": toy, "preference": toy_preferences, "choice": toy_choices, "generation": toy_answers}


def numbers(said: LabelSet | Answers) -> Any:
    """Class probabilities, or how likely each answer is."""
    return said.probs_NK if isinstance(said, LabelSet) else said.log_p_N[:, None]


def shuffled(data: Dataset, seed: int = 1) -> Dataset:
    return data.select(np.random.default_rng(seed).permutation(data.ids))


def write_model(folder: Path, model: Any) -> str:
    model.save_pretrained(folder)
    word_tokenizer(WORDS, 64).save_pretrained(folder)
    return str(folder)
