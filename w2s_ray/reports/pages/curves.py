"""The training losses of the fits that cells rest on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from w2s_ray.reports.document import Figure, Paragraph, Section
from w2s_ray.reports.drawing import canvas, colour, panels, short
from w2s_ray.reports.schema import LossCurve, Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

PICTURE = "loss.svg"
ROLES = {"floor": "weak teachers", "student": "students", "ceiling": "ceilings"}
MOST_NAMES = 8


def curves_section(results: Results) -> Section | None:
    """A panel a role; nothing where no fit has a log, as of probes."""
    if not results.curves:
        return None
    more = f" {results.more_curves} more fits are not drawn." if results.more_curves else ""
    note = (
        "The loss of each fit on its own training rows, a line a seed. All logged steps of a fit are in"
        f" `log.jsonl` in the folder of its key in the store.{more}"
    )
    alt = "; ".join(_in_words(role, results.curves) for role in _roles(results.curves))
    figure = Figure(PICTURE, "Training loss", alt, lambda: _draw(results.curves))
    return Section("Loss curves", (figure, Paragraph(note)))


def _roles(curves: list[LossCurve]) -> list[str]:
    return [role for role in ROLES if any(curve.role == role for curve in curves)]


def _in_words(role: str, curves: list[LossCurve]) -> str:
    mine = [curve for curve in curves if curve.role == role]
    first, last = (sorted(curve.loss[end] for curve in mine)[len(mine) // 2] for end in (0, -1))
    return f"{len(mine)} {ROLES[role]}: median loss {first:.3g} at first, {last:.3g} in the end"


def _draw(curves: list[LossCurve]) -> Picture:
    roles = _roles(curves)
    picture = canvas(3.1 * len(roles) + 0.3, 3.0)
    for axes, role in zip(panels(picture, 1, len(roles), len(roles)), roles, strict=True):
        mine = [curve for curve in curves if curve.role == role]
        names = list(dict.fromkeys(_name(curve) for curve in mine))
        for curve in mine:
            axes.plot(curve.steps, curve.loss, color=colour(names.index(_name(curve))), linewidth=0.9, alpha=0.7)
        for place, name in enumerate(names[:MOST_NAMES]):
            axes.plot([], [], color=colour(place), label=short(name))
        axes.set(title=ROLES[role], xlabel="step")
        if len(names) > 1:
            axes.legend()
    picture.axes[0].set_ylabel("loss")
    return picture


def _name(curve: LossCurve) -> str:
    """What sets a curve apart: of students the method."""
    return f"{curve.method}, {curve.model}" if curve.role == "student" else curve.model
