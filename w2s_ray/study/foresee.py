"""What a plan can tell of a run before it: its rows, how long they are, what it may take, and what would fail."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from w2s_ray.config.load import Study
from w2s_ray.core.errors import InputError
from w2s_ray.engine.context import Context
from w2s_ray.engine.handle import Submission
from w2s_ray.study.check import missing_here
from w2s_ray.study.forecast import Forecast, forecast
from w2s_ray.study.lengths import Lengths, lengths_of
from w2s_ray.study.setting import Setting


@dataclass(frozen=True)
class Foreseen:
    """Of a study that has not run."""

    rows: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by task, the facts of `prepare`
    lengths: tuple[Lengths, ...] = ()
    forecast: Forecast | None = None
    problems: tuple[str, ...] = ()  # why a run would fail, each with its remedy


def foresee(study: Study, context: Context, submitted: Iterable[Submission], *, here: bool) -> Foreseen:
    """After a dry run; `here`: it would run on this machine, not on a cluster."""
    setting = Setting(context, study.base, study.gpus)
    rows = {cell.task_label: setting.prepared(cell).value["facts"] for cell in study.cells}
    measured = list(lengths_of(study, context))
    lengths = tuple(one for one in measured if isinstance(one, Lengths))
    problems = [*lacking_here(study, here=here), *(str(one) for one in measured if isinstance(one, InputError))]
    return Foreseen(rows, lengths, forecast(context.store, submitted), (*problems, *_too_long(lengths)))


def lacking_here(study: Study, *, here: bool) -> tuple[str, ...]:
    """What this machine lacks for the study, if it is to run here."""
    return tuple(str(one) for one in missing_here(study)) if here else ()


def _too_long(lengths: Iterable[Lengths]) -> Iterator[str]:
    """A sentence for each model that must read rows which it cannot."""
    of_model: dict[str, list[Lengths]] = {}
    for one in lengths:
        if one.too_long and one.certain:
            of_model.setdefault(one.model, []).append(one)
    for model, found in of_model.items():
        counts = ", ".join(f"{one.too_long} of {one.data} {one.split}" for one in found)
        limit = min(one.limit for one in found if one.limit is not None)
        yield (
            f"rows are longer than the {limit} tokens that {model} reads ({counts}; the longest has"
            f" {max(one.longest for one in found)}): set task.max_words (about {limit // 2} is safe for English), which"
            " cuts the rows alike for all models"
        )
