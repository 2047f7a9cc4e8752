"""The built-in ladder: four small language models, pretrained on the world's corpus and shipped with the package, and
the step that makes one.

Equal seeds give equal bytes on one machine. Between machines the last digits of a matrix product differ, and training
amplifies them; what must agree there is the examination, which is recorded beside the digest.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from w2s_ray.config.recipe import Recipe
from w2s_ray.core.resources import Resources
from w2s_ray.engine.context import Context
from w2s_ray.engine.execute import Work
from w2s_ray.engine.fingerprint import Inputs, Params
from w2s_ray.engine.handle import Handle
from w2s_ray.engine.step import JSON, Step
from w2s_ray.engine.store import cache_folder
from w2s_ray.ops.models import folder_digest
from w2s_ray.world.corpus import VERSION, corpus
from w2s_ray.world.models import WEIGHTS

CORPUS_SEED = 0
BATCH = 32
RECORD = "record.json"


@dataclass(frozen=True)
class Rung:
    """A Llama over the world's words, and how long it reads: `steps` batches of documents, none of them twice."""

    hidden: int
    layers: int
    heads: int
    ffn: int
    init_std: float
    steps: int
    lr: float
    seed: int = 0

    @property
    def recipe(self) -> Recipe:
        """Of the pretraining."""
        return Recipe(
            lr=self.lr,
            epochs=1,
            batch=BATCH,
            warmup=min(50, self.steps // 3),
            betas=(0.9, 0.98),
            bucket=1,
            seed=self.seed,
        )


LADDER = {
    "nano": Rung(hidden=16, layers=1, heads=2, ffn=32, init_std=0.2, steps=60, lr=5e-3),
    "micro": Rung(hidden=32, layers=2, heads=2, ffn=64, init_std=0.1, steps=300, lr=5e-3),
    "mini": Rung(hidden=64, layers=2, heads=2, ffn=128, init_std=0.1, steps=400, lr=5e-3),
    "small": Rung(hidden=128, layers=2, heads=4, ffn=256, init_std=0.05, steps=1000, lr=3e-3),
}


def _slug(params: Params, inputs: Inputs) -> str:
    return f"{params['rung']['hidden']}x{params['rung']['layers']}-{params['rung']['steps']}-steps"


PRETRAIN = Step("pretrain", 1, "w2s_ray.world.ladder:run", _slug)


def submit_pretrain(context: Context, rung: Rung) -> Handle:
    """A rung's folder, its digest and its examination."""
    return context.submit(
        PRETRAIN, {"rung": asdict(rung), "corpus": VERSION}, {}, resources=Resources(micro_tokens=BATCH * 80)
    )


def run(work: Work) -> JSON:
    """Pretrain from scratch, keep the weights in half precision, and examine what is kept."""
    from w2s_ray.backends.devices.device import use_threads
    from w2s_ray.backends.fit.job import Job
    from w2s_ray.backends.fit.single import fit
    from w2s_ray.backends.models.scratch import build_scratch
    from w2s_ray.world.examine import examine
    from w2s_ray.world.lexicon import vocabulary

    use_threads(work.resources)
    rung = Rung(**work.params["rung"])
    shape = {name: getattr(rung, name) for name in ("hidden", "layers", "heads", "ffn", "init_std", "seed")}
    texts = corpus(rung.steps * BATCH, CORPUS_SEED)
    with TemporaryDirectory() as folder:
        start = build_scratch(Path(folder, "start"), vocabulary(), **shape)
        cache = cache_folder() / "tokens"
        job = Job(texts, (), str(start), rung.recipe, work.resources, work.place, cache, work.tell, work.watch)
        fitted = fit(job)
    fitted.save_pretrained(work.out, half=True)
    return {
        "kept": "model",
        "facts": fitted.facts,
        "digest": folder_digest(work.out),
        "examination": examine(work.out, work.resources),
    }


def read_record(folder: Path = WEIGHTS) -> dict[str, Any]:
    """What the recipe made when the models in a folder were built; of this package by default."""
    path = folder / RECORD
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return record


def as_record(rungs: Iterable[tuple[str, Handle]]) -> dict[str, Any]:
    """Recipe, digest and examination of each rung."""
    return {
        name: {
            "recipe": asdict(LADDER[name]),
            "corpus": VERSION,
            "digest": handle.value["digest"],
            "examination": handle.value["examination"],
        }
        for name, handle in rungs
    }


def copy_rung(handle: Handle, folder: Path) -> None:
    """The model's files, without the engine's own."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted(handle.artifact().path.iterdir()):
        (folder / file.name).write_bytes(file.read_bytes())
