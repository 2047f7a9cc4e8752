"""A search: what was sought and found, and how it went."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from w2s_ray.config.search_spec import Range, label_of
from w2s_ray.reports.document import Document, Figure, Paragraph, Part, Section, Table
from w2s_ray.reports.drawing import INK, canvas, colour, log_axis, panels, short
from w2s_ray.reports.searched import Searched, cell
from w2s_ray.reports.wording import NOTHING, SELECTED

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

CSV_FILE, PARQUET_FILE, BEST_FILE = "trials.csv", "trials.parquet", "best.yaml"
HISTORY, IMPORTANCE, SLICE, PARALLEL = PICTURES = ("history.svg", "importance.svg", "slice.svg", "parallel.svg")
LEAST_FOR_IMPORTANCE = 10  # complete trials; with fewer, chance decides


def search_page(found: Searched) -> Document:
    """Of a search that has a complete trial."""
    spec, made = found.spec, found.study.user_attrs
    states = ", ".join(f"{count} {state}" for state, count in found.states.items())
    head = (
        Paragraph(f"Points were {SELECTED[found.select_on]}."),
        Paragraph(
            f"{len(found.trials)} trials ({states}), {found.wanted} asked for, suggested by {made['sampler']} of Optuna"
            f" {made['optuna']}; `{found.key}`."
        ),
    )
    header = ("trial", *(objective.label for objective in spec.objective), *spec.space)
    rows = tuple(
        (str(t.number), *(f"{v:.4g}" for v in t.values), *(_shown(found.point(t).get(key)) for key in spec.space))
        for t in found.front
    )
    files = Paragraph(
        f"`{BEST_FILE}` is the study at the best point: `w2s run` takes it, and so does `extends:`. All trials are in"
        f" `{CSV_FILE}` and `{PARQUET_FILE}`."
    )
    best = Section("Best" if len(spec.objective) == 1 else "Pareto front", (Table(header, rows, 1), files))
    went = [_history(found), _importance(found), _parallel(found), _slices(found)]
    return Document("Search", head, (best, Section("How it went", tuple(one for one in went if one is not None))))


def _shown(value: Any) -> str:
    return NOTHING if value is None else f"{value:.4g}" if isinstance(value, float) else str(cell(value))


def _history(found: Searched) -> Part:
    """Each objective by trial, with the best so far; of two objectives the front beside them."""
    last = found.front[0]
    told = ", ".join(
        f"{objective.label} {value:.4g}" for objective, value in zip(found.spec.objective, last.values, strict=True)
    )
    alt = f"{len(found.complete)} complete trials; the best, trial {last.number}, has {told}."
    return Figure(HISTORY, "Trials in turn, and the best so far", alt, partial(_draw_history, found))


def _draw_history(found: Searched) -> Picture:
    objectives = found.spec.objective
    columns = len(objectives) + (len(objectives) == 2)
    picture = canvas(max(4.2, 3.2 * columns), 2.8)
    found_panels = panels(picture, 1, columns, columns)
    for n, (axes, objective) in enumerate(zip(found_panels, objectives, strict=False)):
        best, so_far = [], -math.inf
        for trial in found.complete:
            so_far = max(so_far, found.gain(trial, n))
            best.append(so_far if objective.larger_is_better else -so_far)
        numbers = [trial.number for trial in found.complete]
        axes.plot(numbers, [trial.values[n] for trial in found.complete], ".", color=colour(0), label="trial")
        axes.step(numbers, best, where="post", color=colour(1), label="best so far")
        axes.set(title=objective.label, xlabel="trial")
        axes.legend()
    if len(objectives) == 2:
        for trials, look in ((found.complete, "."), (found.front, "o-")):
            label = "Pareto front" if look == "o-" else "_"
            found_panels[-1].plot([t.values[0] for t in trials], [t.values[1] for t in trials], look, label=label)
        found_panels[-1].set(xlabel=objectives[0].label, ylabel=objectives[1].label)
        found_panels[-1].legend()
    return picture


def _importance(found: Searched) -> Part | None:
    """How much of the objective's variation each field explains, by Optuna's default evaluator; none where the trials
    say nothing of it."""
    drawn: list[tuple[str, dict[str, float]]] = []
    for n, objective in enumerate(found.spec.objective):
        values = [trial.values[n] for trial in found.complete]
        if len(values) < LEAST_FOR_IMPORTANCE or len(set(values)) == 1:
            return None
        drawn.append((objective.label, _shares(found, n)))
    if not any(shares for _, shares in drawn):
        return None
    told = "; ".join(f"{label}: " + ", ".join(f"{k} {v:.2f}" for k, v in shares.items()) for label, shares in drawn)
    return Figure(IMPORTANCE, "How much each field matters (PED-ANOVA)", told, partial(_draw_importance, drawn))


def _draw_importance(drawn: list[tuple[str, dict[str, float]]]) -> Picture:
    picture = canvas(4.6 * len(drawn), 1.0 + 0.3 * max(len(shares) for _, shares in drawn))
    for axes, (label, shares) in zip(panels(picture, 1, len(drawn), len(drawn)), drawn, strict=True):
        axes.barh([short(name) for name in shares][::-1], list(shares.values())[::-1], color=colour(0))
        axes.set(title=f"importance for {label}")
    return picture


def _shares(found: Searched, objective: int) -> dict[str, float]:
    """Of what makes an objective good (PED-ANOVA, Watanabe et al. 2023, arXiv 2304.10255)."""
    import optuna

    with warnings.catch_warnings():
        # It says that it looks for small targets, as these are.
        warnings.simplefilter("ignore", UserWarning)
        return optuna.importance.get_param_importances(found.study, target=lambda trial: -found.gain(trial, objective))


def _keys(found: Searched) -> list[str]:
    """Fields that a complete trial drew."""
    return [key for key in found.spec.space if any(key in trial.params for trial in found.complete)]


def _parallel(found: Searched) -> Part | None:
    """A line a trial through its values; nothing where there is a single field."""
    keys = _keys(found)
    if len(keys) < 2:
        return None
    alt = f"The best trial has {', '.join(f'{key} {_shown(found.point(found.front[0]).get(key))}' for key in keys)}."
    return Figure(
        PARALLEL, "Trials through their values; the best one drawn thick", alt, partial(_draw_parallel, found)
    )


def _draw_parallel(found: Searched) -> Picture:
    from matplotlib import colormaps

    objective, keys = found.spec.objective[0], _keys(found)
    gains = [found.gain(trial, 0) for trial in found.complete]
    low, high = min(gains), max(gains)
    scales = [_along(found.spec.space[key], [t.params[key] for t in found.complete if key in t.params]) for key in keys]
    picture = canvas(1.6 * (len(keys) + 1) + 1.2, 3.2)
    (axes,) = panels(picture, 1, 1, 1)
    for trial, gain in sorted(zip(found.complete, gains, strict=True), key=lambda pair: pair[1]):
        share = (gain - low) / (high - low) if high > low else 1.0
        points = [
            (n, scale(trial.params[key]))
            for n, (key, scale) in enumerate(zip(keys, scales, strict=True))
            if key in trial.params
        ]
        xs, ys = zip(*points, (len(keys), share), strict=True)
        best = trial.number == found.front[0].number
        axes.plot(xs, ys, color=colormaps["viridis"](0.9 * share), linewidth=2.6 if best else 0.9, alpha=0.9)
    axes.grid(visible=False)
    for n in range(len(keys) + 1):
        axes.axvline(n, color=INK, linewidth=0.7)
    axes.set_xticks(range(len(keys) + 1), [short(name, 18) for name in (*keys, objective.label)], fontsize="small")
    axes.set_yticks([0, 1], ["worse", "better"], fontsize="small")
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    for n, key in enumerate(keys):
        values = [trial.params[key] for trial in found.complete if key in trial.params]
        for height, value in ((-0.04, min(values, key=scales[n])), (1.04, max(values, key=scales[n]))):
            axes.text(n, height, short(_shown(value), 14), ha="center", va="center", fontsize="x-small")
    axes.text(len(keys), -0.04, f"{abs(low):.4g}", ha="center", va="center", fontsize="x-small")
    axes.text(len(keys), 1.04, f"{abs(high):.4g}", ha="center", va="center", fontsize="x-small")
    return picture


def _along(drawn: Range, values: list[Any]) -> Callable[[Any], float]:
    """Where a value stands between the lowest and the highest of these."""
    if drawn.choice is not None:
        places = {label_of(value): n for n, value in enumerate(drawn.choice)}
        return lambda value: places[label_of(value)] / max(len(places) - 1, 1)
    take: Callable[[Any], float] = math.log if drawn.log is not None else float
    low, high = take(min(values)), take(max(values))
    return lambda value: (take(value) - low) / (high - low) if high > low else 0.5


def _slices(found: Searched) -> Part | None:
    """Each objective against each field."""
    keys = _keys(found)
    if not keys:
        return None
    alt = f"{', '.join(objective.label for objective in found.spec.objective)} of each trial against {', '.join(keys)}."
    return Figure(SLICE, "Each field by itself", alt, partial(_draw_slices, found, keys))


def _draw_slices(found: Searched, keys: list[str]) -> Picture:
    objectives = found.spec.objective
    picture = canvas(min(3.2 * len(keys) + 1, 16), 2.8 * len(objectives))
    places = [(n, key) for n in range(len(objectives)) for key in keys]
    for axes, (n, key) in zip(panels(picture, len(objectives), len(keys), len(places)), places, strict=True):
        points = [(trial.params[key], trial.values[n]) for trial in found.complete if key in trial.params]
        if found.spec.space[key].choice is not None:
            points = [(str(value), seen) for value, seen in points]
        xs, ys = zip(*points, strict=True)
        axes.plot(xs, ys, ".", color=colour(0))
        if found.spec.space[key].log is not None:
            log_axis(axes)
        axes.set(xlabel=key, ylabel=objectives[n].label)
    return picture
