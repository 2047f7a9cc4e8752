"""The built-in world as a source of models: `world/NAME`, an ordinary Hugging Face folder that is put together from the
shipped weights and the one tokenizer of all."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

from w2s_ray.core.errors import ModelError
from w2s_ray.core.plugins import closest
from w2s_ray.engine.store import cache_folder
from w2s_ray.ops.models import ModelScheme

WEIGHTS = Path(__file__).parent / "weights"
TOKENIZER = WEIGHTS / "tokenizer"


def names() -> list[str]:
    """The sizes that are shipped, smallest first."""
    found = [path for path in WEIGHTS.iterdir() if (path / "model.safetensors").is_file()]
    return [path.name for path in sorted(found, key=lambda path: (path / "model.safetensors").stat().st_size)]


def folder(name: str) -> Path:
    """The model's files and the tokenizer's, in the cache. Whoever comes first copies them; a copy is named after its
    bytes and put in place whole."""
    if name not in names():
        there = ", ".join(f"world/{size}" for size in names())
        raise ModelError(
            f"models: {f'world/{name}'!r} is not in the built-in ladder{closest(name, names())}; there are: {there}"
        )
    files = sorted([*(WEIGHTS / name).iterdir(), *TOKENIZER.iterdir()])
    made = cache_folder() / "world" / f"{name}-{_digest(name)}"
    if not made.is_dir():
        made.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=made.parent, prefix=f".{name}."))
        for file in files:
            shutil.copyfile(file, part / file.name)
        try:
            os.replace(part, made)
        except OSError:  # another process was faster
            shutil.rmtree(part, ignore_errors=True)
    return made


@cache
def _digest(name: str) -> str:
    files = sorted([*(WEIGHTS / name).iterdir(), *TOKENIZER.iterdir()])
    return hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)).hexdigest()[:16]


SCHEME = ModelScheme("world/NAME", folder)
