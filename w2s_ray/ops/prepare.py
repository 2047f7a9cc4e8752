"""The step that turns a source into splits: data sets without gold, and gold labels apart from them.

Its parts are stored under the digests of their contents, so that what is downstream depends on the rows alone and not
on how a file was read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from w2s_ray.config.task import TaskSpec
from w2s_ray.core.answers import Answers
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.labels import LabelSet
from w2s_ray.engine.context import Context
from w2s_ray.engine.execute import Work
from w2s_ray.engine.fingerprint import Inputs, Key, Params, make_key
from w2s_ray.engine.handle import Handle
from w2s_ray.engine.step import JSON, Step

CONTENT_VERSION = 1
SLICES = "slices.json"  # split -> slice -> ids, where the source knows kinds of rows; for the scorer alone


def _slug(params: Params, inputs: Inputs) -> str:
    source = str(params["sources"][0]).split("@")[0]
    return f"file-{source.removeprefix('sha256:')[:8]}" if source.startswith("sha256:") else source


PREPARE = Step("prepare", 1, "w2s_ray.ops.prepare:run", _slug, inline=True)


def submit_prepare(context: Context, spec: TaskSpec, base: Path) -> Handle:
    """The splits of a task. A file counts by its bytes, wherever it lies."""
    from w2s_ray.data.sources import source_identity

    sources = [source_identity(name, base) for name in (spec.data, spec.test_data) if name]
    # A field that came later counts where it is used, so that what was made before it keeps its key.
    unused = {"data", "test_data", "pool_data"} | (set() if spec.pool_heldout else {"pool_heldout"})
    params = {"sources": sources, "spec": spec.model_dump(mode="json", exclude=unused)}
    if spec.pool_data is not None:
        params["pool_source"] = source_identity(spec.pool_data, base)
    return context.submit(PREPARE, params, hints={"spec": spec.model_dump(mode="json"), "base": str(base)})


def dataset_key(data: Dataset) -> Key:
    return make_key("dataset", CONTENT_VERSION, f"{data.kind}-{len(data)}", {"digest": data.digest}, {})


def labels_key(labels: LabelSet | Answers, step: str = "labels") -> Key:
    what = labels.num_classes if isinstance(labels, LabelSet) else "answers"
    return make_key(step, CONTENT_VERSION, f"{len(labels)}x{what}", {"digest": labels.digest}, {})


def run(work: Work) -> JSON:
    """Read, format, split; publish each part under its content's digest."""
    from w2s_ray.data.prepare import prepare

    prepared = prepare(TaskSpec.model_validate(work.hints["spec"]), Path(work.hints["base"]))
    value: dict[str, Any] = {"splits": {}, "gold": {}, "facts": prepared.facts}
    (work.out / SLICES).write_text(json.dumps(prepared.slices), encoding="utf-8")
    for split, data in prepared.splits.items():
        key = dataset_key(data)
        work.put(
            key,
            {"digest": data.digest},
            {},
            CONTENT_VERSION,
            data.save,
            {"rows": len(data), "kind": data.kind, "classes": list(data.classes)},
        )
        value["splits"][split] = key.full
    for split, gold in prepared.gold.items():
        key = labels_key(gold, "gold")
        work.put(key, {"digest": gold.digest}, {}, CONTENT_VERSION, gold.save, {"rows": len(gold)})
        value["gold"][split] = key.full
    return value
