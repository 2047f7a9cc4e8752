"""What there is to choose from, and what rows look like: for `w2s data` and `w2s data show`."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from w2s_ray.config.task import TaskSpec
from w2s_ray.core.plugins import available
from w2s_ray.data.formats import Format
from w2s_ray.data.parts import open_parts
from w2s_ray.data.prepare import GROUP, format_of
from w2s_ray.data.rows import Row, read_rows
from w2s_ray.data.scheme import Rows
from w2s_ray.data.sources import schemes

# The 22 NLP tasks of Burns et al. 2023 (arXiv 2312.09390, appendix on tasks), each by the name of its format.
BURNS22 = (
    "anli_r2",
    "boolq",
    "cola",
    "cosmos_qa",
    "dream",
    "ethics_deontology",
    "ethics_justice",
    "ethics_utilitarianism",
    "ethics_virtue",
    "hellaswag",
    "mc_taco",
    "multirc",
    "openbookqa",
    "paws",
    "piqa",
    "quail",
    "quartz",
    "sciq",
    "social_i_qa",
    "sst2",
    "twitter_sentiment",
    "wic",
)


def describe() -> list[tuple[str, str, str]]:
    """(name, "source" or "format", one line) of all there is."""
    sources = [
        (name, "source", line)
        for scheme in schemes().values()
        for name, line in scheme.listed() or [(scheme.form, scheme.line)]
    ]
    return [*sources, *((name, "format", _line(name, fmt)) for name, fmt in available(GROUP).items())]


def _line(name: str, fmt: type[Format]) -> str:
    line = " ".join((fmt.__doc__ or "").split())
    made_for = f"; made for hub:{fmt.hub}" if fmt.hub else ""
    return f"{line}{made_for}{'; one of the 22 NLP tasks of Burns et al.' if name in BURNS22 else ''}"


def show(task: TaskSpec | str, n: int, base: Path) -> list[dict[str, str]]:
    """The first `n` train rows as a model will see them, each with `id`, the inputs, `label` and its `source` if it has
    one. Checks no more than these rows."""
    spec = TaskSpec.model_validate({"data": task}) if isinstance(task, str) else task
    fmt = format_of(spec)
    train = open_parts(spec, fmt, base)["train"]
    first = Rows(train.rows.name, train.rows.columns, lambda: islice(train.rows.read(), n))
    rows, _ = read_rows(first, fmt, train.columns, spec.seed)
    return [_shown(row, fmt) for row in rows]


def _shown(row: Row, fmt: Format) -> dict[str, str]:
    source = {"source": row.source} if row.source else {}
    return {"id": row.id, **dict(zip(fmt.kind.columns, row.inputs, strict=True)), "label": row.label} | source
