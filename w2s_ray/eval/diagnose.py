"""The step that puts into a method's diagnostics what only gold can tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from w2s_ray.core.answers import load_labels
from w2s_ray.core.diagnostics import Diagnostic, Scored
from w2s_ray.core.metrics import score
from w2s_ray.engine.context import Context
from w2s_ray.engine.execute import Work
from w2s_ray.engine.handle import Handle
from w2s_ray.engine.step import JSON, Step
from w2s_ray.engine.store import Artifact
from w2s_ray.eval.gold import Gold

KEPT = ("accuracy", "log_loss", "ece", "auroc")

DIAGNOSE = Step(
    "diagnose", 1, "w2s_ray.eval.diagnose:run", lambda params, inputs: f"{len(params['rows'])}-scores", inline=True
)


@dataclass(frozen=True)
class Diagnosed:
    """Diagnostics, and the step that scores what they left open."""

    diagnostics: Sequence[Diagnostic]
    scored: Handle | None

    def filled(self) -> list[dict[str, Any]]:
        """As results hold them. Waits for the scores."""
        scores = self.scored.value["scores"] if self.scored is not None else []
        places = {key: n for n, key in enumerate(_open(self.diagnostics))}

        def value(one: Any) -> Any:
            return scores[places[(one.labels.key, one.rows)]][one.metric] if isinstance(one, Scored) else one

        return [
            {
                "name": diagnostic.name,
                "title": diagnostic.title,
                "columns": [asdict(column) for column in diagnostic.columns],
                "rows": [{name: value(one) for name, one in row.items()} for row in diagnostic.rows],
                "note": diagnostic.note,
                "figure": None if diagnostic.figure is None else asdict(diagnostic.figure),
                "on_page": diagnostic.on_page,
            }
            for diagnostic in self.diagnostics
        ]


def submit_diagnose(context: Context, diagnostics: Sequence[Diagnostic], gold: Gold) -> Diagnosed:
    """Score what the diagnostics leave open, each labels and rows once."""
    wanted = _open(diagnostics)
    if not wanted:
        return Diagnosed(diagnostics, None)
    inputs: dict[str, Handle | tuple[Handle, ...]] = {
        "labels": tuple(wanted.values()),
        "gold_pool": gold.pool,
        "gold_test": gold.test,
    }
    return Diagnosed(diagnostics, context.submit(DIAGNOSE, {"rows": [rows for _, rows in wanted]}, inputs))


def run(work: Work) -> JSON:
    """Every metric of each."""
    labels = work.inputs["labels"]
    assert isinstance(labels, tuple)
    gold = {rows: load_labels(work.input(f"gold_{rows}").path) for rows in set(work.params["rows"])}
    return {"scores": [_kept(one, gold[rows]) for one, rows in zip(labels, work.params["rows"], strict=True)]}


def _kept(labels: Artifact, gold: Any) -> dict[str, Any]:
    found = score(load_labels(labels.path), gold)
    return {name: found[name] for name in KEPT}


def _open(diagnostics: Sequence[Diagnostic]) -> dict[tuple[Any, str], Handle]:
    return {(one.labels.key, one.rows): one.labels for one in _scored(diagnostics)}


def _scored(diagnostics: Sequence[Diagnostic]) -> Iterator[Scored]:
    for diagnostic in diagnostics:
        for row in diagnostic.rows:
            yield from (one for one in row.values() if isinstance(one, Scored))
