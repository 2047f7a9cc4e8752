"""LoRA members on one frozen base: one after another against stacked. Needs no Ray; made for a GPU.

python benchmarks/stacked.py                                   # a base of the shape of Qwen2.5-0.5B, 16 members, on the
GPU in bf16 python benchmarks/stacked.py --width 64 --layers 2 --cpu       # the same on a CPU, to see that it runs
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from w2s_ray.backends.fit.fitted import Fitted
from w2s_ray.backends.fit.job import Job
from w2s_ray.backends.fit.single import fit
from w2s_ray.backends.fit.stacked import fit_many
from w2s_ray.backends.models.scratch import word_tokenizer
from w2s_ray.config.recipe import Recipe
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.labels import LabelSet
from w2s_ray.core.resources import Resources

WORDS = [f"w{n}" for n in range(2000)]


@dataclass
class Nowhere:
    """No checkpoints."""

    scratch: Path

    def fetch(self, name: str) -> Path | None:
        return None

    def keep(self, name: str, file: Path) -> None:
        file.unlink()


def base(folder: Path, width: int, layers: int) -> str:
    """Untrained: time does not depend on what a model knows."""
    from transformers import Qwen2Config, Qwen2Model

    heads = max(2, width // 64)
    config = Qwen2Config(
        vocab_size=len(WORDS) + 8, hidden_size=width, intermediate_size=int(5.43 * width), num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=max(1, heads // 7), max_position_embeddings=512,
    )  # fmt: skip
    Qwen2Model(config).save_pretrained(folder)
    word_tokenizer(WORDS, 512).save_pretrained(folder)
    return str(folder)


def jobs(model: str, folder: Path, members: int, rows: int, length: int, gpu: bool) -> list[Job]:
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, size=length)) for _ in range(rows)]
    data = Dataset.of("rows", "train", "text", ["0", "1"], [f"r{n}" for n in range(rows)], text=texts)
    made = []
    for seed in range(members):
        labels = LabelSet.hard(data.ids, rng.integers(0, 2, rows), 2)
        recipe = Recipe(adapt="lora", lr=1e-4, epochs=1, batch=32, precision="bf16" if gpu else "fp32", seed=seed)
        made.append(
            Job(data, [labels], model, recipe, Resources(gpus=float(gpu), fuse=True), Nowhere(folder), folder / "cache")
        )
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("width", 896), ("layers", 24), ("members", 16), ("rows", 512), ("length", 64)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--cpu", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        model = base(folder / "base", given.width, given.layers)
        made = jobs(model, folder, given.members, given.rows, given.length, not given.cpu)
        fit(made[0])  # what is done once
        started = time.perf_counter()
        alone = [fit(job) for job in made]
        middle = time.perf_counter()
        together = list(fit_many(made))
        ended = time.perf_counter()
    apart = max(
        abs(a.log[-1]["loss"] - b.log[-1]["loss"])
        for a, b in zip(alone, together, strict=True)
        if isinstance(b, Fitted)
    )
    print(
        f"{given.members} members, width {given.width}, {given.layers} layers, {given.rows} rows of {given.length}"
        f" words, {alone[0].facts['device']}"
    )
    print(
        f"one after another {middle - started:.1f} s, stacked {ended - middle:.1f} s:"
        f" {(middle - started) / (ended - middle):.2f} times as fast; last losses at most {apart:.1e} apart"
    )


if __name__ == "__main__":
    main()
