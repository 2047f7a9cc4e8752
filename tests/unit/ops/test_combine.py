"""The `combine` step: labels for each number of members, and what it declares of them; and the scorer's part."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from w2s_ray.blocks.combiners.mean import Mean, Weighted
from w2s_ray.core.diagnostics import Scored
from w2s_ray.core.labels import LabelSet
from w2s_ray.engine.context import Context
from w2s_ray.engine.executor import InlineExecutor
from w2s_ray.engine.handle import Handle
from w2s_ray.engine.store import open_store
from w2s_ray.eval.diagnose import submit_diagnose
from w2s_ray.eval.gold import Gold
from w2s_ray.ops.combine import submit_combine
from w2s_ray.ops.contents import put


@pytest.fixture
def ctx(store_url: str) -> Iterator[Context]:
    with Context(open_store(store_url), InlineExecutor) as context:
        yield context


def hard(*classes: int) -> LabelSet:
    return LabelSet.hard([f"r{n}" for n in range(len(classes))], classes, 2)


VOTES = [hard(1, 1, 0, 0, 0), hard(0, 1, 0, 0, 1), hard(1, 1, 0, 1, 1)]
GOLD = hard(1, 1, 0, 0, 1)


def labels(handle: Handle) -> LabelSet:
    return LabelSet.load(handle.artifact().path)


def gold(ctx: Context) -> Gold:
    one = put(ctx, GOLD)
    return Gold(one, one, one, one, None)


def test_it_combines_the_first_members_and_then_all(ctx: Context) -> None:
    made, declared = submit_combine(ctx, Mean(), [put(ctx, vote) for vote in VOTES], (), None)
    np.testing.assert_array_equal(labels(made).probs_NK, Mean().combine(VOTES).probs_NK)
    assert [row["members"] for row in declared.rows] == [1, 2, 3]
    for members, row in enumerate(declared.rows, start=1):
        scored = row["accuracy"]
        assert isinstance(scored, Scored)
        np.testing.assert_array_equal(labels(scored.labels).probs_NK, Mean().combine(VOTES[:members]).probs_NK)
    assert declared.on_page == (0, 1, 2)
    again = submit_combine(ctx, Mean(), [put(ctx, vote) for vote in VOTES], (), None)
    assert again[0].key == made.key
    assert [key.step for key in ctx.executed].count("combine") == 1


def test_the_scorer_puts_in_what_only_gold_tells(ctx: Context) -> None:
    _, declared = submit_combine(ctx, Mean(), [put(ctx, vote) for vote in VOTES], (), None)
    (table,) = submit_diagnose(ctx, (declared,), gold(ctx)).filled()
    assert [(row["members"], row["accuracy"]) for row in table["rows"]] == [(1, 0.8), (2, 0.6), (3, 1.0)]
    assert table["rows"][1]["disagreement"] == pytest.approx(0.4)
    assert [column["name"] for column in table["columns"]] == list(table["rows"][0])


def test_a_combiner_that_learns_sees_the_first_members_votes_on_known_rows_alone(ctx: Context) -> None:
    truth = hard(1, 0)
    known = [put(ctx, vote) for vote in (hard(1, 0), hard(0, 1), hard(1, 0))]
    made, declared = submit_combine(ctx, Weighted(), [put(ctx, vote) for vote in VOTES], known, put(ctx, truth))
    assert len(declared.rows) == 3
    assert labels(made).hard_N.tolist() == [1, 1, 0, 0, 0], "the second member, always wrong, counts against itself"


def test_nothing_is_scored_where_nothing_is_open(ctx: Context) -> None:
    assert submit_diagnose(ctx, (), gold(ctx)).filled() == []
