"""How sure the arms are, and how often they are right then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from w2s_ray.reports.document import Figure, Paragraph, Section
from w2s_ray.reports.drawing import canvas, colour, panels, short
from w2s_ray.reports.schema import Results, Said

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture

PICTURE = "calibration.svg"
ARMS = {"floor": "weak teacher", "student": "student", "ceiling": "ceiling", "labels": "labels, on the pool"}
MOST = 8  # groups in a picture


def calibration_section(results: Results) -> Section | None:
    """A picture; nothing where answers are texts."""
    drawn = [one for one in results.said if any(arm.bins for arm in one.arms.values())]
    if not drawn:
        return None
    few = "" if len(drawn) <= MOST else f" The first {MOST} of {len(drawn)} methods, tasks and pairs of models."
    note = (
        "Rows by how sure a model is of its answer (all seeds together), against the share of them that is right. On"
        f" the diagonal confidence can be taken at its word; below it a model is too sure.{few}"
    )
    alt = "; ".join(f"{results.label(one.group)}: {_in_words(one)}" for one in drawn[:MOST])
    figure = Figure(PICTURE, "Confidence and how often it is right", alt, lambda: _draw(results, drawn[:MOST]))
    return Section("Calibration", (figure, Paragraph(note)))


def _in_words(said: Said) -> str:
    """Of each arm its surest rows."""
    surest = {arm: found.bins[-1] for arm, found in said.arms.items() if found.bins}
    told = [
        f"{ARMS.get(arm, arm)} {100 * last.right:.0f} % right where {100 * last.confidence:.0f} % sure"
        for arm, last in surest.items()
    ]
    return ", ".join(told)


def _draw(results: Results, drawn: list[Said]) -> Picture:
    arms = [arm for arm in ARMS if any(arm in one.arms and one.arms[arm].bins for one in drawn)]
    picture = canvas(2.4 * len(arms) + 0.6, 2.9)
    for axes, arm in zip(panels(picture, 1, len(arms), len(arms), sharey=True), arms, strict=True):
        axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle="--")
        for place, one in enumerate(drawn):
            bins = one.arms[arm].bins if arm in one.arms else []
            label = short(results.label(one.group))
            axes.plot([b.confidence for b in bins], [b.right for b in bins], ".-", color=colour(place), label=label)
        axes.set(title=ARMS[arm], xlabel="confidence", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    picture.axes[0].set_ylabel("share right")
    if len(drawn) > 1:
        picture.legend(*picture.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return picture
