"""Dataset, LabelSet, Features: ids everywhere, joins by id or an error, order without meaning, files that give back
what was saved."""

from __future__ import annotations

import pickle
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from w2s_ray.core import errors
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.errors import AlignmentError, DataError
from w2s_ray.core.features import Features
from w2s_ray.core.labels import LabelSet
from w2s_ray.core.seeds import derive_seed, stream, unit_hash

IDS = ["c", "a", "b"]


def rows(ids: list[str] = IDS, **change: object) -> Dataset:
    settings = {
        "name": "n",
        "split": "pool",
        "kind": "text",
        "classes": ("no", "yes"),
        "ids": ids,
        "text": [f"text {i}" for i in ids],
    }
    return Dataset.of(**settings | change)


def labels(ids: list[str] = IDS) -> LabelSet:
    return LabelSet.of(
        ids,
        [[ord(i) / 200, 1 - ord(i) / 200] for i in ids],
        weight_N=[ord(i) for i in ids],
        mask_N=[i != "b" for i in ids],
        source="s",
    )


def test_order_name_and_split_do_not_count_and_rows_kind_and_classes_do() -> None:
    assert rows().digest == rows(["b", "c", "a"]).digest == rows(name="other", split="test").digest
    others = [
        rows(text=["x", "text a", "text b"]),
        rows(["c", "a", "d"]),
        rows(classes=("yes", "no")),
        rows().select(["a", "b"]),
    ]
    assert len({rows().digest, *(other.digest for other in others)}) == 5


def test_a_dataset_has_no_gold_and_cannot_be_given_any() -> None:
    with pytest.raises(DataError, match="columns text"):
        rows(gold=[0, 1, 0])
    assert not {"gold", "label", "labels"} & set(vars(rows()))


def test_an_added_column_counts_and_travels_and_prompts_name_it(tmp_path: Path) -> None:
    data = rows(["a", "b", "c"])
    added = data.with_column("opinion", ["yes", "no {text}", "{opinion}"])
    assert len({data.digest, added.digest, data.with_column("other", added.more["opinion"]).digest}) == 3
    assert added.digest == added.select(["c", "a", "b"]).digest
    added.save(tmp_path)
    back = Dataset.load(tmp_path)
    assert back.digest == added.digest
    assert back.select(["b"]).more["opinion"].tolist() == ["no {text}"]
    texts = added.inputs["text"].tolist()
    asked = added.prompted("{text}? {opinion}! {none}").inputs["text"].tolist()
    said = ["yes", "no {text}", "{opinion}"]
    assert asked == [f"{text}? {word}! {{none}}" for text, word in zip(texts, said, strict=True)]
    with pytest.raises(DataError, match="as 'source', which is taken"):
        data.with_column("source", ["x", "y", "z"])
    with pytest.raises(DataError, match="has 1 rows for 3 ids"):
        data.with_column("short", ["x"])


def test_the_digest_of_rows_without_sources_is_what_it_was() -> None:
    """Made by the code before rows had sources: stored results are found under it."""
    assert rows().digest == "ba8ff458e3413c0ccfbb6daa34f2433e2cda0ffcb1073ab73be45da1be5c4ce8"
    pair = Dataset.of("p", "test", "pair", ("x", "y", "z"), ["1", "2"], first=["ä\n", ""], second=["b", "\x1f"])
    assert pair.digest == "81d15fb946c40cf1cc65f0cd7b3fd5e0180c19dd0371219dfcf9387d038c1fac"


@given(st.dictionaries(st.text("abc", min_size=1), st.sampled_from("xyz"), min_size=1), st.randoms())
def test_sources_count_and_go_with_their_rows(origin: dict[str, str], rng: random.Random) -> None:
    def made(ids: list[str], change: dict[str, str]) -> Dataset:
        return rows(ids, sources=[(origin | change)[i] for i in ids])

    ids, one = list(origin), rng.choice(list(origin))
    data = made(ids, {})
    shuffled = rng.sample(ids, len(ids))
    assert made(shuffled, {}).digest == data.digest == data.select(shuffled).digest
    assert len({data.digest, rows(ids).digest, made(ids, {one: "elsewhere"}).digest}) == 3
    some = shuffled[: len(ids) // 2 + 1]
    assert data.select(some).sources.tolist() == [origin[i] for i in some]


def test_rows_with_sources_are_no_other_rows_without() -> None:
    """Three texts a row, twice, are as many as two texts a row, three times."""
    two = Dataset.of("n", "x", "text", ("no", "yes"), ["a", "d"], text=["b", "e"], sources=["c", "f"])
    three = Dataset.of("n", "x", "text", ("no", "yes"), ["a", "c", "e"], text=["b", "d", "f"])
    assert two.digest != three.digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sources": ["x", "", "z"]}, "the row with id 'a' has no source; give every row one, or none"),
        ({"sources": ["x", None, "z"]}, "the row with id 'a' has no source"),
        ({"sources": ["x"]}, "column 'source' has 1 rows for 3 ids"),
        ({"ids": ["a", "a", "b"]}, "more than once.*'a'"),
        ({"ids": ["", "a", "b"]}, "empty"),
        ({"classes": ("one",)}, "two classes"),
        ({"text": ["x"]}, "1 rows for 3 ids"),
    ],
)
def test_bad_rows_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        rows(**change)


def test_joins_are_by_id_or_an_error() -> None:
    aligned = labels().align(["a", "c"])
    assert aligned.ids.tolist() == ["a", "c"]
    assert aligned.weight_N.tolist() == [97, 99]
    for join in (labels().align, rows().select, Features.of(IDS, np.zeros((3, 2))).align):
        with pytest.raises(AlignmentError, match="'x'"):
            join(["a", "x"])


@given(
    hnp.arrays(np.float64, st.tuples(st.integers(1, 20), st.integers(2, 5)), elements=st.floats(0.01, 1)), st.randoms()
)
def test_a_label_set_does_not_depend_on_its_order(probs: np.ndarray, random: object) -> None:
    probs /= probs.sum(axis=1, keepdims=True)
    ids = [f"r{i}" for i in range(len(probs))]
    order = list(range(len(ids)))
    random.shuffle(order)  # type: ignore[attr-defined]
    one, other = LabelSet.of(ids, probs), LabelSet.of([ids[i] for i in order], probs[order])
    assert one.digest == other.digest
    assert np.array_equal(other.align(ids).probs_NK, one.probs_NK)


@pytest.mark.parametrize("probs", [[[0.5, 0.6]], [[-0.1, 1.1]], [[np.nan, 1]], [[1.0]], [0.5, 0.5]], ids=str)
def test_what_is_no_distribution_is_refused(probs: list[object]) -> None:
    with pytest.raises(DataError):
        LabelSet.of(["a"], probs)


def test_hard_labels_abstain_and_stay_in_range() -> None:
    found = LabelSet.hard(IDS, [1, -1, 0], 2)
    assert found.hard_N.tolist() == [1, -1, 0]
    assert found.probs_NK.tolist() == [[0, 1], [0.5, 0.5], [1, 0]]
    for wrong in (2, -2):
        with pytest.raises(DataError, match=r"0\.\.1"):
            LabelSet.hard(IDS, [1, wrong, 0], 2)


def test_stacking_aligns_and_marks_who_abstains() -> None:
    stacked = LabelSet.stack([labels(), labels(["b", "a", "c"])])
    assert stacked.shape == (3, 2, 2)
    assert np.array_equal(stacked[:, 0], stacked[:, 1], equal_nan=True)
    assert np.isnan(stacked[2]).all()
    with pytest.raises(DataError, match="at least one"):
        LabelSet.stack([])
    with pytest.raises(AlignmentError):
        LabelSet.stack([labels(), labels(["a", "b", "d"])])


def test_nothing_can_be_changed_in_place() -> None:
    for array in (
        labels().probs_NK,
        labels().mask_N,
        rows().ids,
        rows().inputs["text"],
        rows(sources=["x", "y", "z"]).sources,
    ):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[1]


def test_files_give_back_what_was_saved(tmp_path: Path) -> None:
    pair = Dataset.of("p", "test", "pair", ("x", "y", "z"), ["1", "2"], first=["ä\n", ""], second=["b", "\x1f"])
    for data in (rows(), pair):
        data.save(tmp_path)
        back = Dataset.load(tmp_path)
        assert (back.digest, back.name, back.split, back.kind, back.classes) == (
            data.digest,
            data.name,
            data.split,
            data.kind,
            data.classes,
        )
    labels().save(tmp_path)
    assert LabelSet.load(tmp_path).digest == labels().digest
    assert LabelSet.load(tmp_path).source == "s"
    vectors = Features.of(IDS, np.arange(6, dtype=np.float32).reshape(3, 2), model="m", layer=3)
    vectors.save(tmp_path)
    found = Features.load(tmp_path)
    assert np.array_equal(found.array_ND, vectors.array_ND)
    assert (found.model, found.layer) == ("m", 3)


def test_streams_depend_on_seed_and_purpose_alone() -> None:
    assert derive_seed(1, "a") == derive_seed(1, "a") != derive_seed(2, "a") != derive_seed(1, "b")
    assert derive_seed(1, "ab", "c") != derive_seed(1, "a", "bc")
    assert stream(3, "x").integers(1 << 30) == stream(3, "x").integers(1 << 30)
    draws = np.array([unit_hash(0, i) for i in range(4000)])
    assert 0 <= draws.min() < draws.max() < 1
    assert abs(draws.mean() - 0.5) < 4 * np.sqrt(1 / 12 / 4000)


def test_every_error_survives_pickling() -> None:
    tree = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, errors.W2SError)]
    assert len(tree) > 10
    special = {
        errors.StepFailed: ("step", "key", "what", "trace", "log"),
        errors.OutOfMemory: (100, 20, "tried to allocate", {"zero": 2}),
    }
    for kind in tree:
        error = kind(*special.get(kind, ("what",)))
        back = pickle.loads(pickle.dumps(error))
        assert (type(back), str(back), vars(back)) == (kind, str(error), vars(error))
