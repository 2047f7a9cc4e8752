"""Which model a name means: its identity for fingerprints (driver), and a folder to load it from (worker)."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from w2s_ray.core.errors import ModelError
from w2s_ray.core.models import ModelRef
from w2s_ray.core.plugins import contributed, load
from w2s_ray.data.label_files import EXTERNAL
from w2s_ray.engine.execute import Work
from w2s_ray.engine.store import cache_folder, sha256_of
from w2s_ray.ops.join_labels import identify_labels

PACKAGE, UNTRAINED = "package:", "untrained:"
GROUP = "w2s_ray.models"  # entry points of other packages, each a ModelScheme, found as NAME:REST

# Prefix of a name -> the scheme, imported by name, so that it may be in a higher package, as the built-in world is.
BUILT_IN = {"world/": "w2s_ray.world.models:SCHEME"}

RESERVED = (PACKAGE, UNTRAINED, EXTERNAL, "hub:", "path:")  # prefixes that this module reads itself

# Files that decide what a Hugging Face folder computes.
MODEL_FILES = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja")


@dataclass(frozen=True)
class ModelScheme:
    """A way to name models whose files a package knows how to find, on whatever machine it is installed."""

    form: str  # how such a name is written
    folder: Callable[[str], Path]  # the rest of a name -> a Hugging Face folder


@cache
def schemes() -> dict[str, ModelScheme]:
    """All schemes by the prefix of their names; the built-in ones cannot be replaced."""
    others = contributed(GROUP, [name.rstrip(":/") for name in (*BUILT_IN, *RESERVED)])
    built_in = {prefix: load(place) for prefix, place in BUILT_IN.items()}
    return built_in | {f"{name}:": scheme for name, scheme in others.items()}


def _scheme_of(name: str) -> tuple[ModelScheme, str, str] | None:
    """The scheme of a name, what it is called, and the rest of the name."""
    for prefix, scheme in schemes().items():
        if name.startswith(prefix):
            return scheme, prefix[:-1], name.removeprefix(prefix)
    return None


def identify(name: str, base: Path) -> ModelRef:
    """Check a model's name and find what identifies it. Relative folders start at `base`, the YAML's folder."""
    if name.startswith(EXTERNAL):
        return identify_labels(name, base)
    if name.startswith(UNTRAINED):
        return _identify_untrained(name, base)
    if (known := _scheme_of(name)) is not None:
        scheme, called, rest = known
        return ModelRef(name, f"{called}-{rest}@{folder_digest(scheme.folder(rest))}", name)
    if name.startswith("hub:"):
        return _identify_of_hub(name)
    folder = folder_of(name, base)
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"models: {name!r} is not a model folder ({folder} has no config.json); give a folder, package:NAME/FOLDER,"
            f" {_forms()}, hub:ORG/NAME@REVISION, or untrained: before any of them but the last"
        )
    if not list(folder.glob("*.safetensors")):
        raise ModelError(
            f"models: {name!r} has no *.safetensors in {folder}; only safetensors are read: convert the weights with"
            " save_pretrained(safe_serialization=True)"
        )
    # A package has another path on another machine, so its name is kept and not its path.
    return ModelRef(
        name,
        f"folder-{folder_digest(folder)[:8]}@{folder_digest(folder)}",
        name if name.startswith(PACKAGE) else str(folder),
    )


def _identify_untrained(name: str, base: Path) -> ModelRef:
    """A model of another one's shape, which is not trained. The shape must be known without a download."""
    of = name.removeprefix(UNTRAINED)
    if of.startswith(UNTRAINED):
        raise ModelError(f"models: {name!r} says {UNTRAINED} twice; write {of}")
    if of.startswith(EXTERNAL):
        raise ModelError(
            f"models: {name!r} is {UNTRAINED} of a file of labels, which is no model; give a folder, or world/NAME"
        )
    like = identify(of, base)
    if like.path.startswith("hub:"):
        raise ModelError(f"models: {name!r} would need a download to know the shape; give a folder, or world/NAME")
    slug, _, rest = like.identity.partition("@")
    return ModelRef(name, f"untrained-{slug}@{rest}", f"{UNTRAINED}{like.path}")


def _identify_of_hub(name: str) -> ModelRef:
    repo, _, revision = name.removeprefix("hub:").partition("@")
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", repo):
        raise ModelError(
            f"models: {name!r} names no model of the hub; write hub:ORG/NAME@COMMIT with the name and the 40 digits of"
            " the model's page"
        )
    if not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise ModelError(
            f"models: {name!r} is not pinned to a commit, so its weights may change under the study; write"
            f" hub:{repo}@COMMIT with the 40 digits of the model's page"
        )
    return ModelRef(name, f"{repo}@{revision}", name)


def _forms() -> str:
    return ", ".join(scheme.form for scheme in schemes().values())


def locate(path: str) -> str:
    """On the worker: the folder (or hub name) to load from. An untrained model is made in the cache at its first
    use."""
    if path.startswith("hub:"):
        return path
    if not path.startswith(UNTRAINED):
        return str(folder_of(path, Path()))
    from w2s_ray.backends.models.scratch import build_untrained

    like = folder_of(path.removeprefix(UNTRAINED), Path())
    folder = cache_folder() / "untrained" / folder_digest(like)[:16]
    if not (folder / "config.json").is_file():
        build_untrained(folder, like)
    return str(folder)


def model_path(work: Work) -> str:
    """The folder of a step's pretrained model: the output of another step (`base`), else the place that its name
    means."""
    return str(work.input("base").path) if "base" in work.inputs else locate(work.places["model"])


def folder_of(name: str, base: Path) -> Path:
    """Where a model's files are. A package is located and not imported: its code must not affect an experiment."""
    if (known := _scheme_of(name)) is not None:
        scheme, _, rest = known
        return scheme.folder(rest)
    if not name.startswith(PACKAGE):
        return (base / Path(name.removeprefix("path:")).expanduser()).resolve()
    package, _, inside = name.removeprefix(PACKAGE).partition("/")
    spec = None
    with suppress(ValueError):  # a module that is loaded without a spec, such as __main__, is no package
        spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            f"models: {name!r} needs the Python package {package!r}, which is not installed here; pip install the"
            " distribution that holds it, or name another model"
        )
    return Path(next(iter(spec.submodule_search_locations)), inside)


def folder_digest(folder: Path) -> str:
    """sha256 over names and contents; cached by size and modification time, since large folders would be read at every
    start otherwise."""
    files = sorted({path for pattern in MODEL_FILES for path in folder.glob(pattern) if path.is_file()})
    stamp = hashlib.sha256(
        "\n".join(f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files).encode()
    ).hexdigest()
    known = cache_folder() / "digests" / stamp
    if known.is_file():
        return known.read_text(encoding="ascii")
    found = hashlib.sha256("\n".join(f"{path.name} {sha256_of(path)}" for path in files).encode()).hexdigest()
    known.parent.mkdir(parents=True, exist_ok=True)
    part = known.with_name(f"{stamp}.{os.getpid()}")
    part.write_text(found, encoding="ascii")
    os.replace(part, known)
    return found


def num_parameters(name: str, base: Path) -> int | None:
    """Parameters of a model, from its safetensors headers; None for a file of labels, and where that would need a
    download."""
    name = name.removeprefix(UNTRAINED)
    if name.startswith(("hub:", EXTERNAL)):
        return None
    return sum(_in_header(path) for path in folder_of(name, base).glob("*.safetensors"))


def _in_header(path: Path) -> int:
    """Sum of the tensors' sizes in a safetensors file: its header is JSON after eight bytes of length."""
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
