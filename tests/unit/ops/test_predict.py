"""The `predict` step: what trained and pretrained models say of rows, in whose order, and what they refuse to say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_cell import RECIPE, SIZES, Cell, one_line

from w2s_ray.config.recipe import Lora
from w2s_ray.core.answers import Answers
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.errors import ConfigError, DataError
from w2s_ray.core.resources import Resources
from w2s_ray.ops.task import Learner

Cells = Callable[[str], Cell]


# ---- trained models


@pytest.mark.parametrize("kind", ["text", "five", "preference", "choice"])
def test_predictions_are_probabilities_of_the_rows_that_were_asked_about(kind: str, cells: Cells) -> None:
    cell = cells(kind)
    said = cell.ctx.labels(cell.ctx.predict(cell.fit(predict_on=[cell.task.pool]), cell.task.pool))
    assert said.ids.tolist() == cell.rows(cell.task.pool).ids.tolist()
    assert said.probs_NK.shape == (SIZES["pool"], cell.task.num_classes)
    assert ((said.probs_NK >= 0) & (said.probs_NK <= 1)).all()
    np.testing.assert_allclose(said.probs_NK.sum(axis=1), 1, atol=1e-5)
    assert said.mask_N.all() and (said.weight_N == 1).all()
    assert np.ptp(said.probs_NK[:, 0]) > 1e-4, "it tells rows apart"


def test_a_pair_of_texts_is_a_kind_of_rows_too(cell: Cell) -> None:
    data, pool = cell.rows(cell.task.labelled), cell.rows(cell.task.pool)
    both = [
        cell.put(
            Dataset.of("p", "x", "pair", one.classes, one.ids, first=one.inputs["text"], second=["fisa"] * len(one))
        )
        for one in (data, pool)
    ]
    said = cell.ctx.labels(cell.ctx.predict(cell.fit(rows=both[0], predict_on=[both[1]]), both[1]))
    assert said.ids.tolist() == pool.ids.tolist()


def test_generated_answers_have_as_many_tokens_as_they_may_and_say_how_sure_they_are(cells: Cells) -> None:
    cell = cells("generation")
    handle = cell.ctx.predict(cell.fit(predict_on=[cell.task.pool]), cell.task.pool)
    said = cell.ctx.outputs(handle)
    assert isinstance(said, Answers) and said.tokens_N is not None
    assert said.ids.tolist() == cell.rows(cell.task.pool).ids.tolist()
    lengths = [len(tokens) for tokens in said.tokens_N]
    assert max(lengths) <= RECIPE.answer_tokens
    assert all(ended or length == RECIPE.answer_tokens for ended, length in zip(said.ended_N, lengths, strict=True))
    assert (said.log_p_N <= 0).all() and (said.log_p_N < 0).any()
    with pytest.raises(ConfigError, match="generated texts where class probabilities are wanted") as caught:
        cell.ctx.labels(handle)
    assert one_line(caught.value)


def test_a_prediction_says_which_fit_made_it(cell: Cell) -> None:
    trained = cell.fit(predict_on=[cell.task.pool])
    record = cell.ctx.predict(trained, cell.task.pool).record()
    assert record.made_by == trained.handle.key.full
    assert record.inputs == {"data": cell.task.pool.key.full, "model": trained.handle.key.full}
    assert (record.params, record.value, set(record.files)) == ({}, {"refit": False}, {"labels.parquet"})


@settings(max_examples=6, deadline=None)
@given(places=st.lists(st.integers(0, SIZES["pool"] - 1), unique=True, min_size=1, max_size=SIZES["pool"]))
def test_a_row_is_predicted_alike_whoever_stands_beside_it(cell: Cell, places: list[int]) -> None:
    trained = cell.fit(seed=7)
    pool = cell.rows(cell.task.pool)
    whole = cell.ctx.labels(cell.ctx.predict(trained, cell.task.pool))
    some = cell.ctx.labels(cell.ctx.predict(trained, cell.put(pool.select(pool.ids[places]))))
    np.testing.assert_allclose(some.align(pool.ids[places]).probs_NK, whole.probs_NK[places], atol=1e-6)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("five", "this model tells 2 classes apart .*, the rows of .* have 5"),
        ("preference", "trained on rows of kind 'text', and .* has rows of kind 'preference'"),
        ("generation", "trained on rows of kind 'text', and .* has rows of kind 'generation'"),
    ],
)
def test_rows_that_a_model_was_not_trained_for_are_refused(asked: str, message: str, cell: Cell, cells: Cells) -> None:
    rows = cell.put(cells(asked).rows(cells(asked).task.pool))
    handle = cell.ctx.predict(cell.fit(seed=7), rows)
    with pytest.raises(DataError, match=message) as caught:
        handle.record()
    assert one_line(caught.value)


# ---- prompts and added columns


def test_a_prompt_may_name_a_column_that_was_added(cell: Cell) -> None:
    """The words that it stands for are read, and the braces of a column that is not there are text."""
    hints = {split: cell.rows(rows) for split, rows in (("labelled", cell.task.labelled), ("pool", cell.task.pool))}
    hinted = {split: rows.with_column("hint", ["vaze rubi"] * len(rows)) for split, rows in hints.items()}
    spelled = {
        split: replace(rows, inputs={"text": np.array([f"vaze rubi {t}" for t in rows.inputs["text"]], dtype=object)})
        for split, rows in hints.items()
    }
    said = []
    for rows, prompt in ((hinted, "{hint} {text}"), (spelled, "{text}"), (hinted, "{text}"), (hints, "{hint} {text}")):
        learner = cell.task.weak.with_recipe(prompt=prompt)
        labelled, pool = cell.put(rows["labelled"]), cell.put(rows["pool"])
        trained = cell.fit(learner=learner, rows=labelled, predict_on=[pool])
        said.append(cell.ctx.labels(cell.ctx.predict(trained, pool)).probs_NK)
    np.testing.assert_array_equal(said[0], said[1])
    assert np.abs(said[0] - said[2]).max() > 1e-4, "a column that the prompt does not name is not read"
    assert np.abs(said[0] - said[3]).max() > 1e-4


# ---- pretrained models that are asked


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({"prompt": "{text} ?"}, True),
        ({"answer_tokens": 3}, True),
        ({"per_token": True}, True),
        ({"precision": "bf16"}, True),
        ({"lr": 0.5, "epochs": 7, "batch": 1, "seed": 3, "pooling": "last", "layer": 0}, False),
        ({"adapt": "lora", "lora": Lora(rank=2)}, False),
    ],
    ids=str,
)
def test_of_a_model_that_is_asked_what_is_said_to_it_counts_and_no_way_of_training(
    change: dict[str, Any], counts: bool, plan: Cell
) -> None:
    key = plan.ctx.predict(plan.task.strong, plan.task.pool).key
    assert (plan.ctx.predict(plan.task.strong.with_recipe(**change), plan.task.pool).key != key) == counts
    moved = replace(plan.task.strong, model=replace(plan.task.strong.model, path="/elsewhere"))
    assert plan.ctx.predict(replace(moved, resources=Resources(cpus=3)), plan.task.pool).key == key
    assert plan.seeded(9).predict(plan.task.strong, plan.task.pool).key == key
    assert plan.ctx.predict(plan.task.weak, plan.task.pool).key != key
    assert key.slug == "world-micro"


def test_a_longer_answer_begins_with_the_shorter_one(cells: Cells) -> None:
    cell = cells("generation")
    short, long = (
        cell.ctx.outputs(cell.ctx.predict(cell.task.strong.with_recipe(answer_tokens=most), cell.task.pool))
        for most in (1, 4)
    )
    assert isinstance(short, Answers) and isinstance(long, Answers)
    assert short.tokens_N is not None and long.tokens_N is not None
    assert [tokens[:1] for tokens in long.tokens_N.tolist()] == short.tokens_N.tolist()
    assert (long.log_p_N <= short.log_p_N + 1e-5).all(), "more words are less likely"


def test_weights_that_were_saved_with_a_head_for_classes_are_no_start_for_words(cell: Cell, cells: Cells) -> None:
    asked = cell.put(cells("generation").rows(cells("generation").task.pool))
    start: Learner = cell.ctx.start_from(cell.fit(seed=7))
    for handle in (
        cell.ctx.predict(start, asked),
        cell.fit(learner=start, rows=asked, labels=cell.put(Answers.of(cell.rows(asked).ids, ["a"] * 28))).handle,
    ):
        with pytest.raises(ConfigError, match="was finetuned to rows of kind text, without one; start from") as caught:
            handle.record()
        assert one_line(caught.value)
