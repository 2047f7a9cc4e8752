"""What is stored under its own content: it comes back as it was, once, whoever made it and in whatever order."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_cell import Cell, one_line, opened

from w2s_ray.core.answers import Answers, load_labels
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.errors import StepFailed, StoreError
from w2s_ray.core.labels import LabelSet
from w2s_ray.engine.step import JSON
from w2s_ray.ops.contents import DATASET, GOLD, LABELS, Content, content_key, content_params, put

ROWS = Dataset.of(
    "n", "pool", "text", ("no", "yes"), ["a", "b", "ç"], text=["x", "", "y\n{z} "], sources=["s", "t", "s"],
    more={"hint": ["1", "2", ""]},
)  # fmt: skip
SAID = LabelSet.of(
    ["a", "b", "ç"], [[0.1, 0.9], [0.5, 0.5], [1, 0]], mask_N=[True, False, True], weight_N=[1, 1, 0.25], source="me"
)
ANSWERED = Answers.of(
    ["a", "b", "ç"], ["x y", "", " ü "], weight_N=[1, 1, 2], log_p_N=[-1.5, -0.1, 0], ended_N=[True, True, False],
    tokens_N=[(3, 4), (), (5,)], source="you",
)  # fmt: skip
CONTENTS: dict[str, tuple[Content, str, JSON]] = {
    "dataset": (ROWS, "text-3", {"rows": 3, "kind": "text", "classes": ["no", "yes"]}),
    "labels": (SAID, "3x2", {"rows": 3, "source": "me"}),
    "answers": (ANSWERED, "3xanswers", {"rows": 3, "source": "you"}),
}


def columns(content: Content) -> dict[str, Any]:
    """All that there is to it, to be compared."""
    parts = {one.name: getattr(content, one.name) for one in fields(content)}
    parts |= {name: dict(parts[name]) for name in ("inputs", "more") if name in parts}
    return {
        name: {key: list(texts) for key, texts in part.items()} if isinstance(part, dict) else list(part)
        for name, part in parts.items()
        if isinstance(part, (dict, np.ndarray))
    }


@pytest.mark.parametrize("what", CONTENTS)
def test_what_is_put_comes_back_as_it_was_and_its_record_says_how_much_and_whose(what: str, cell: Cell) -> None:
    content, slug, value = CONTENTS[what]
    artifact = cell.put(content).artifact()
    found = Dataset.load(artifact.path) if isinstance(content, Dataset) else load_labels(artifact.path)
    assert type(found) is type(content)
    np.testing.assert_equal(columns(found), columns(content))
    record, step = artifact.record, DATASET if what == "dataset" else LABELS
    assert (record.step, record.version, artifact.key.slug) == (step.name, step.version, slug)
    assert record.value == value
    assert record.params == content_params(content)
    assert (record.inputs, record.made_by) == ({}, "")


@pytest.mark.parametrize("what", CONTENTS)
@settings(max_examples=6, deadline=None)
@given(order=st.permutations(range(3)))
def test_in_whatever_order_it_is_put_it_is_stored_once(what: str, order: list[int], cell: Cell) -> None:
    content = CONTENTS[what][0]
    ids = content.ids[order]
    turned = content.select(ids) if isinstance(content, Dataset) else content.align(ids)
    assert cell.put(turned).key == cell.put(content).key == content_key(content)
    assert cell.put(turned).record() == put(cell.context, content).record()


def test_gold_is_no_label_of_anybody(cell: Cell) -> None:
    """The same numbers as labels of a method have another key, so that a record tells who supervised."""
    gold = cell.labels(cell.task.labels)
    assert content_key(gold, GOLD) == cell.task.labels.key
    assert cell.put(gold).key.step == "labels"
    assert cell.put(gold).key.digest != cell.task.labels.key.digest


def test_who_said_it_is_no_part_of_what_labels_say() -> None:
    assert content_key(SAID) == content_key(replace(SAID, source="a crowd"))
    assert content_key(SAID) != content_key(LabelSet.of(SAID.ids, SAID.probs_NK, weight_N=SAID.weight_N))


def test_what_is_not_in_the_store_cannot_be_adopted(cell: Cell) -> None:
    missing = content_key(LabelSet.hard(["nowhere"], [0], 2))
    with pytest.raises(StoreError, match=f"{missing} is not in the store") as caught:
        cell.context.adopt(missing)
    assert one_line(caught.value)


def test_contents_that_were_damaged_are_asked_for_again_for_nobody_else_can_make_them(tmp_path: Path) -> None:
    labels = LabelSet.hard(["a", "b"], [0, 1], 2)
    with opened(tmp_path) as cell:
        (cell.put(labels).artifact().path / "labels.parquet").write_bytes(b"nonsense")
    with opened(tmp_path) as cell:
        with pytest.raises(StepFailed, match="run the same command again to have it made anew") as caught:
            cell.context.adopt(content_key(labels)).artifact()
        assert one_line(caught.value)
    with opened(tmp_path) as cell:
        assert LabelSet.load(cell.put(labels).artifact().path).digest == labels.digest
