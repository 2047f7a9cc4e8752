"""The step that turns a source into splits: data sets without gold, and gold labels apart from them.

Its parts are stored under the digests of their contents, so that what is downstream depends on the rows alone and not
on how a file was read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from w2s_ray.config.task import TaskSpec
from w2s_ray.core.identity import identity, restore
from w2s_ray.engine.context import Context
from w2s_ray.engine.execute import Work
from w2s_ray.engine.fingerprint import Inputs, Params
from w2s_ray.engine.handle import Handle
from w2s_ray.engine.step import JSON, Handling, Step
from w2s_ray.ops.contents import DATASET, GOLD, content_key, content_params, content_value

SLICES = "slices.json"  # split -> slice -> ids, where the source knows kinds of rows; for the scorer alone
SOURCES = ("data", "test_data", "pool_data")  # names of sources, which count by the content of their rows


def _slug(params: Params, inputs: Inputs) -> str:
    source = str(params["sources"]["data"]).split("@")[0]
    return f"file-{source.removeprefix('sha256:')[:8]}" if source.startswith("sha256:") else source


PREPARE = Step("prepare", 2, "w2s_ray.ops.prepare:run", _slug, inline=True)


def submit_prepare(context: Context, spec: TaskSpec, base: Path) -> Handle:
    """The splits of a task. A file's identity is its bytes, wherever it is."""
    from w2s_ray.data.prepare import format_name
    from w2s_ray.data.sources import source_identity

    named = {name: getattr(spec, name) for name in SOURCES if getattr(spec, name)}
    params = {
        "sources": {name: source_identity(source, base) for name, source in named.items()},
        "spec": identity(spec) | {"format": format_name(spec)},  # which may follow from a source's name
    }
    return context.submit(PREPARE, params, handling=Handling({**named, "base": str(base)}))


def run(work: Work) -> JSON:
    """Read, format, split; publish each part under its content's digest."""
    from w2s_ray.data.prepare import prepare

    named = {name: work.places[name] for name in SOURCES if name in work.places}
    prepared = prepare(restore(TaskSpec, work.params["spec"] | named), Path(work.places["base"]))
    value: dict[str, Any] = {"splits": {}, "gold": {}, "facts": prepared.facts}
    (work.out / SLICES).write_text(json.dumps(prepared.slices), encoding="utf-8")
    for part, step, contents in (("splits", DATASET, prepared.splits), ("gold", GOLD, prepared.gold)):
        for split, content in contents.items():
            key = content_key(content, step)
            work.put(key, content_params(content), {}, step.version, content.save, content_value(content))
            value[part][split] = key.full
    return value
