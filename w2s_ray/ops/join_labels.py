"""The step that joins labels from a file to rows by id, where the weak model is `labels:file:PATH#COLUMN`."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from w2s_ray.core.dataset import Dataset
from w2s_ray.core.errors import ConfigError, DataError
from w2s_ray.core.models import ModelRef
from w2s_ray.data.files import check_file, file_digest
from w2s_ray.data.label_files import COLUMN, EXTERNAL, labels_of, read_labels
from w2s_ray.engine.context import Context
from w2s_ray.engine.execute import Work
from w2s_ray.engine.handle import Handle
from w2s_ray.engine.step import JSON, Handling, Step

JOINED = Step(
    "external-labels", 2, "w2s_ray.ops.join_labels:run", lambda params, inputs: str(params["column"])[:40], inline=True
)


def is_external(model: ModelRef) -> bool:
    return model.name.startswith(EXTERNAL)


def identify_labels(name: str, base: Path) -> ModelRef:
    """A reference whose identity is the digest of the file's bytes, wherever the file is."""
    place, _, column = name.removeprefix(EXTERNAL).partition("#")
    if not place.startswith("file:") or not place.removeprefix("file:"):
        raise ConfigError(f"models.weak: {name!r} does not name a file of labels; write {EXTERNAL}file:PATH#COLUMN")
    path = (base / Path(place.removeprefix("file:")).expanduser()).resolve()
    check_file(path, f"models.weak: {name}")
    return ModelRef(name, f"labels-{column or COLUMN}@{file_digest(path)}#{column or COLUMN}", str(path))


def submit_join(context: Context, model: ModelRef, data: Handle) -> Handle:
    """The file's labels of these rows."""
    digest, _, column = model.identity.partition("@")[2].partition("#")
    params = {"file": digest, "column": column}
    return context.submit(JOINED, params, {"data": data}, handling=Handling({"file": model.path}))


def knows_any(model: ModelRef, ids: list[str]) -> bool:
    """Whether the file has a label for one of these rows."""
    return not _ids(model.path, model.identity).isdisjoint(ids)


@lru_cache(maxsize=8)
def _ids(path: str, identity: str) -> frozenset[str]:
    return frozenset(known for known, _ in read_labels(Path(path), identity.partition("@")[2].partition("#")[2]))


def run(work: Work) -> JSON:
    """The labels of the rows, by id."""
    data = Dataset.load(work.input("data").path)
    path, column = Path(work.places["file"]), str(work.params["column"])
    known = dict(read_labels(path, column))
    missing = [i for i in data.ids.tolist() if i not in known]
    if missing:
        raise DataError(
            f"{path.name} has labels for {len(data) - len(missing)} of {len(data)} {data.split} rows; id {missing[0]!r}"
            " has none: add them, or give a null label where one abstains"
        )
    labels_of(data, [known[i] for i in data.ids.tolist()], column).save(work.out)
    return {"rows": len(data)}
