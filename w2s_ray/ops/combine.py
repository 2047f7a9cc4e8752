"""The `combine` step: combines members' votes into labels, for all members and for the first one, two, three … of
them."""

from __future__ import annotations

from collections.abc import Sequence

from w2s_ray.blocks.combiners.contract import Combiner, Known
from w2s_ray.blocks.disagreement import disagreement
from w2s_ray.core.diagnostics import Column, Curves, Diagnostic, Scored
from w2s_ray.core.identity import RESTORING, identity
from w2s_ray.core.labels import LabelSet
from w2s_ray.core.plugins import build
from w2s_ray.engine.context import Context
from w2s_ray.engine.execute import Work
from w2s_ray.engine.fingerprint import Inputs, Key, Params
from w2s_ray.engine.handle import Handle
from w2s_ray.engine.step import JSON, Step
from w2s_ray.engine.store import Artifact
from w2s_ray.ops.contents import LABELS, content_key, content_params, content_value

QUALITY = ("accuracy", "log_loss", "ece")


def _slug(params: Params, inputs: Inputs) -> str:
    votes = inputs["votes"]
    return f"{params['combiner']['type']}-{len(votes) if isinstance(votes, tuple) else 1}"


COMBINE = Step("combine", 1, "w2s_ray.ops.combine:run", _slug, inline=True)


def submit_combine(
    context: Context, combiner: Combiner, votes: Sequence[Handle], known: Sequence[Handle], truth: Handle | None
) -> tuple[Handle, Diagnostic]:
    """The labels of all members, and how their quality grows with the number of members. Waits for the votes."""
    more: dict[str, Handle | tuple[Handle, ...]] = {} if truth is None else {"known": tuple(known), "truth": truth}
    made = context.submit(COMBINE, {"combiner": identity(combiner)}, {"votes": tuple(votes), **more})
    sizes = [context.adopt(Key.parse(key), made) for key in made.value["sizes"]]
    return sizes[-1], _sizes(sizes, made.value["disagreement"])


def run(work: Work) -> JSON:
    """Combine the first one, two, three … members."""
    combiner: Combiner = build("w2s_ray.combiners", work.params["combiner"], RESTORING)
    votes = _sets(work, "votes")
    known = Known(_sets(work, "known"), _sets(work, "truth")[0]) if "known" in work.inputs else None
    value: JSON = {"sizes": [], "disagreement": []}
    for members in range(1, len(votes) + 1):
        first = Known(known.votes[:members], known.truth) if known else None
        labels = combiner.combine(votes[:members], first)
        key = content_key(labels)
        work.put(key, content_params(labels), {}, LABELS.version, labels.save, content_value(labels))
        value["sizes"].append(key.full)
        value["disagreement"].append(disagreement(votes[:members]))
    return value


def _sets(work: Work, name: str) -> list[LabelSet]:
    given = work.inputs[name]
    return [LabelSet.load(one.path) for one in ((given,) if isinstance(given, Artifact) else given)]


def _sizes(sizes: Sequence[Handle], disagreements: Sequence[float | None]) -> Diagnostic:
    """The table of the quality by number of members: 1, 2, 4, 8 … and all of them in the report, every number in the
    files."""
    rows = [
        {"members": members, **{name: Scored(labels, "pool", name) for name in QUALITY}, "disagreement": differ}
        for members, (labels, differ) in enumerate(zip(sizes, disagreements, strict=True), start=1)
    ]
    return Diagnostic(
        "ensemble-sizes",
        "Ensemble sizes",
        (
            Column("members", "members", "count"),
            Column("accuracy", "label accuracy", "share"),
            Column("log_loss", "log loss", "number"),
            Column("ece", "calibration error", "share"),
            Column("disagreement", "disagreement", "share"),
        ),
        tuple(rows),
        "The first members' labels of the pool, combined as the method combines them. They are measured on the pool's"
        " gold, so no size may be chosen by them.",
        Curves("members", ("accuracy", "ece", "disagreement")),
        tuple(n for n in range(len(rows)) if (n + 1).bit_count() == 1 or n + 1 == len(rows)),
    )
