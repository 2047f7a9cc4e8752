"""What came of a search: the trials as a table, the best recipe as a YAML, pictures of how it went, a page."""

from __future__ import annotations

import csv
import json
import math
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from w2s_ray.config.load import as_yaml
from w2s_ray.config.search_spec import Point, SearchSpec, SelectOn
from w2s_ray.reports.wording import SELECTED

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

CSV_FILE, PARQUET_FILE, BEST_FILE, PAGE = "trials.csv", "trials.parquet", "best.yaml", "search.md"
PICTURES = ("history.svg", "importance.svg", "slice.svg")
FRONT = "trial-*.yaml"  # the front's other points
LEAST_FOR_IMPORTANCE = 10  # complete trials; with fewer, chance decides


@dataclass(frozen=True)
class Searched:
    """A search as Optuna's study remembers it."""

    spec: SearchSpec
    key: str
    study: optuna.Study
    wanted: int
    select_on: SelectOn

    @cached_property
    def trials(self) -> list[FrozenTrial]:
        """Those that were begun."""
        return [trial for trial in self.study.get_trials() if trial.state.name != "WAITING"]

    @property
    def complete(self) -> list[FrozenTrial]:
        return [trial for trial in self.trials if trial.state.name == "COMPLETE"]

    @property
    def running(self) -> list[FrozenTrial]:
        return [trial for trial in self.trials if not trial.state.is_finished()]

    @cached_property
    def front(self) -> list[FrozenTrial]:
        """The best trial; with several objectives those that no other is better than in all, the best by the first
        objective first. Of equals the first tried."""
        if len(self.spec.objective) == 1:
            return [min(self.complete, key=lambda trial: (-self._gain(trial, 0), trial.number))]
        objectives = range(len(self.spec.objective))
        gains = {trial.number: tuple(self._gain(trial, n) for n in objectives) for trial in self.complete}
        front = [
            trial
            for trial in self.complete
            if not any(
                other != gains[trial.number] and all(a >= b for a, b in zip(other, gains[trial.number], strict=True))
                for other in gains.values()
            )
        ]
        return sorted(front, key=lambda trial: (-self._gain(trial, 0), trial.number))

    def point(self, trial: FrozenTrial) -> Point:
        """In the space's order, which is the order that values must be set in."""
        named = self.spec.named(trial.params)
        return {key: named[key] for key in self.spec.space if key in named}

    @property
    def recipes(self) -> dict[int, Point]:
        return {trial.number: self.point(trial) for trial in self.front}

    @property
    def states(self) -> dict[str, int]:
        return dict(sorted(Counter(trial.state.name.lower() for trial in self.trials).items()))

    @property
    def value(self) -> dict[str, Any]:
        """The small result."""
        best = self.front[0]
        return {
            "best": self.point(best),
            "trial": best.number,
            "values": list(best.values),
            "states": self.states,
            "made_by": {name: self.study.user_attrs[name] for name in ("optuna", "sampler", "select_on")},
        }

    def _gain(self, trial: FrozenTrial, objective: int) -> float:
        value: float = trial.values[objective]
        return value if self.spec.objective[objective].larger_is_better else -value


def write_search(folder: Path, found: Searched, recipes: Mapping[int, dict[str, Any]]) -> None:
    """Fill the folder. Recipes are whole studies at the front's points, by trial."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(FRONT):
        old.unlink()
    for number, recipe in recipes.items():
        name = BEST_FILE if number == found.front[0].number else f"trial-{number}.yaml"
        (folder / name).write_text(_recipe(found, number, recipe), encoding="utf-8")
    rows = trial_rows(found)
    with open(folder / CSV_FILE, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    _write_parquet(folder / PARQUET_FILE, rows)
    for picture, draw in zip(PICTURES, (_history, _importance, _slices), strict=True):
        (folder / picture).unlink(missing_ok=True)
        draw(folder / picture, found)
    (folder / PAGE).write_text(page(found, folder), encoding="utf-8")


def search_files(folder: Path) -> list[Path]:
    """Those of a folder that `write_search` has filled; others may lie there too."""
    named = (folder / name for name in (CSV_FILE, PARQUET_FILE, BEST_FILE, PAGE, *PICTURES))
    return [path for path in (*named, *sorted(folder.glob(FRONT))) if path.is_file()]


def _recipe(found: Searched, number: int, recipe: dict[str, Any]) -> str:
    trial = next(trial for trial in found.front if trial.number == number)
    values = ", ".join(
        f"{objective.label} {value:.4g}" for objective, value in zip(found.spec.objective, trial.values, strict=True)
    )
    stamp = {"name": f"{recipe['name']}-tuned", "tuned": {"search": found.key, "select_on": found.select_on}}
    return (
        f"# Trial {number} of {len(found.trials)}: {values};"
        f" {SELECTED[found.select_on]}.\n{as_yaml(_plain({**recipe, **stamp}))}"
    )


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def trial_rows(found: Searched) -> list[dict[str, Any]]:
    """A row a trial; a field that a trial did not draw is empty."""
    front = {trial.number for trial in found.front}
    rows = []
    for trial in found.trials:
        point = found.point(trial)
        seconds = (
            (trial.datetime_complete - trial.datetime_start).total_seconds()
            if trial.datetime_complete and trial.datetime_start
            else None
        )
        values = trial.values or (
            [trial.intermediate_values[max(trial.intermediate_values)]]
            if trial.intermediate_values
            else [None] * len(found.spec.objective)
        )
        rows.append(
            {"trial": trial.number, "state": trial.state.name.lower(), "best": trial.number in front}
            | {objective.label: value for objective, value in zip(found.spec.objective, values, strict=True)}
            | {key: _cell(point.get(key)) for key in found.spec.space}
            | {
                "seconds": seconds,
                "select_on": found.select_on,
                "error": trial.user_attrs.get("error", ""),
                "keys": json.dumps(trial.user_attrs.get("keys", [])),
            }
        )
    return rows


def _cell(value: Any) -> Any:
    return value if value is None or isinstance(value, (bool, int, float, str)) else json.dumps(value)


def _write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in rows[0]}
    for name, values in columns.items():
        kinds = {type(value) for value in values if value is not None}
        if len(kinds) > 1 and not kinds <= {int, float}:  # choices of several types
            columns[name] = [None if value is None else json.dumps(value) for value in values]
    pq.write_table(pa.table(columns), path)


def page(found: Searched, folder: Path) -> str:
    """What was sought, what was found, how it went."""
    spec = found.spec
    states = ", ".join(f"{count} {state}" for state, count in found.states.items())
    made = found.study.user_attrs
    head = [
        "# Search",
        f"Points were {SELECTED[found.select_on]}.",
        (
            f"{len(found.trials)} trials ({states}), {found.wanted} asked for, suggested by {made['sampler']} of Optuna"
            f" {made['optuna']}; `{found.key}`."
        ),
        "## Best" if len(spec.objective) == 1 else "## Pareto front",
    ]
    header = ["trial", *(objective.label for objective in spec.objective), *spec.space]
    lines = [
        [str(t.number), *(f"{v:.4g}" for v in t.values), *(_shown(found.point(t).get(key)) for key in spec.space)]
        for t in found.front
    ]
    table = "\n".join(f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *lines))
    pictures = "\n\n".join(f"![{name.removesuffix('.svg')}]({name})" for name in PICTURES if (folder / name).is_file())
    files = (
        f"`{BEST_FILE}` is the study at the best point: `w2s run` takes it, and so does `extends:`. All trials are in"
        f" `{CSV_FILE}` and `{PARQUET_FILE}`."
    )
    return "\n\n".join([*head, table, files, pictures]) + "\n"


def _shown(value: Any) -> str:
    return (
        "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(_cell(value)).replace("|", "\\|")
    )


# --- pictures ---


def _figure(columns: int, rows: int = 1) -> Any:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(min(3.2 * columns + 1, 16), 2.8 * rows), layout="constrained")
    FigureCanvasSVG(figure)
    return figure


def _save(path: Path, figure: Any) -> None:
    figure.savefig(path, metadata={"Date": None})


def _history(path: Path, found: Searched) -> None:
    """Each objective by trial, with the best so far; of two objectives the front beside them."""
    objectives = found.spec.objective
    figure = _figure(len(objectives) + (len(objectives) == 2))
    panels = list(figure.subplots(1, len(objectives) + (len(objectives) == 2), squeeze=False)[0])
    for n, (axes, objective) in enumerate(zip(panels, objectives, strict=False)):
        values = [trial.values[n] for trial in found.complete]
        numbers = [trial.number for trial in found.complete]
        best, so_far = [], -math.inf
        for trial in found.complete:
            so_far = max(so_far, found._gain(trial, n))
            best.append(so_far if objective.larger_is_better else -so_far)
        axes.plot(numbers, values, ".", label="trial")
        axes.step(numbers, best, where="post", label="best so far")
        axes.set_title(objective.label, fontsize="medium")
        axes.set_xlabel("trial")
        axes.legend(fontsize="x-small")
    if len(objectives) == 2:
        panels[-1].plot([t.values[0] for t in found.complete], [t.values[1] for t in found.complete], ".", alpha=0.5)
        panels[-1].plot(
            [t.values[0] for t in found.front], [t.values[1] for t in found.front], "o-", label="Pareto front"
        )
        panels[-1].set_xlabel(objectives[0].label)
        panels[-1].set_ylabel(objectives[1].label)
        panels[-1].legend(fontsize="x-small")
    _save(path, figure)


def _importance(path: Path, found: Searched) -> None:
    """How much of the objective's variation each field explains, by Optuna's default evaluator; none where the trials
    say nothing of it."""
    drawn = []
    for n, objective in enumerate(found.spec.objective):
        values = [trial.values[n] for trial in found.complete]
        if len(values) < LEAST_FOR_IMPORTANCE or len(set(values)) == 1:
            return
        drawn.append((objective.label, _shares(found, n)))
    if not any(shares for _, shares in drawn):
        return
    figure = _figure(len(drawn))
    for axes, (label, shares) in zip(figure.subplots(1, len(drawn), squeeze=False)[0], drawn, strict=True):
        axes.barh(list(shares)[::-1], list(shares.values())[::-1])
        axes.set_title(f"importance for {label}", fontsize="medium")
    _save(path, figure)


def _shares(found: Searched, objective: int) -> dict[str, float]:
    """Of what makes an objective good (PED-ANOVA, Watanabe et al. 2023, arXiv 2304.10255)."""
    import optuna

    with warnings.catch_warnings():
        # It says that it looks for small targets, as these are.
        warnings.simplefilter("ignore", UserWarning)
        return optuna.importance.get_param_importances(found.study, target=lambda trial: -found._gain(trial, objective))


def _slices(path: Path, found: Searched) -> None:
    """Each objective against each field."""
    spec = found.spec
    keys = [key for key in spec.space if any(key in trial.params for trial in found.complete)]
    if not keys:
        return
    figure = _figure(len(keys), len(spec.objective))
    for row, (n, objective) in zip(
        figure.subplots(len(spec.objective), len(keys), squeeze=False), enumerate(spec.objective), strict=True
    ):
        for axes, key in zip(row, keys, strict=True):
            points = [(trial.params[key], trial.values[n]) for trial in found.complete if key in trial.params]
            if spec.space[key].choice is not None:
                points = [(str(value), seen) for value, seen in points]
            axes.plot(*zip(*points, strict=True), ".")
            if spec.space[key].log is not None:
                axes.set_xscale("log")
            axes.set_xlabel(key)
            axes.set_ylabel(objective.label)
    _save(path, figure)
