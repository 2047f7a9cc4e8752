"""`task.pool_data`: pool rows with a source of their own. Who gives way to whom, what moves no row, and what the step's
key is made of."""

import json
import random
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from row_files import digests, made, places, rows_of, write
from studies import config

from w2s_ray.config.load import expand
from w2s_ray.config.task import TaskSpec
from w2s_ray.core.errors import DataError, InputError
from w2s_ray.data.prepare import prepare
from w2s_ray.data.splits import rows_needed, shares_of
from w2s_ray.engine.context import Context
from w2s_ray.engine.executor import InlineExecutor
from w2s_ray.engine.store import open_store
from w2s_ray.ops.prepare import submit_prepare
from w2s_ray.study.check import check_names

TRAIN, TEST, POOL = rows_of(100), rows_of(60, 200), rows_of(80, 300)


def in_split(prepared, *names):
    return {int(text.split()[-1]) for text, name in places(prepared).items() if name in names}


def numbers(rows):
    return {int(row["text"].split()[-1]) for row in rows}


# ---- who sees which row


@settings(max_examples=60, deadline=None)
@given(
    st.sets(st.integers(0, 150), max_size=40),
    st.none() | st.sets(st.integers(0, 150), max_size=40),
    st.sets(st.integers(0, 150), min_size=1, max_size=40),
)
def test_pool_rows_are_those_of_pool_data_that_are_no_other_rows(train, test, pool):
    def some(wanted, start):
        return [row for i in sorted(wanted) for row in rows_of(1, i)] + rows_of(
            60, start
        )  # enough of each class for every split

    files = some(train, 1000), None if test is None else some(test, 2000), some(pool, 3000)
    with TemporaryDirectory() as folder:
        prepared = made(Path(folder), *files, overlap="drop")
    tested = in_split(prepared, "test") if test is None else numbers(files[1])
    assert in_split(prepared, "test") == tested
    assert in_split(prepared, "pool") == numbers(files[2]) - numbers(files[0]) - tested
    assert in_split(prepared, "labelled", "heldout") == numbers(files[0]) - tested
    ids = np.concatenate([rows.ids for rows in prepared.splits.values()])
    assert len(set(ids)) == len(ids) == sum(prepared.facts["sizes"].values())


def test_without_test_rows_of_their_own_the_train_rows_are_cut_in_two(tmp_path):
    prepared = made(tmp_path, rows_of(6000), pool_rows=rows_of(200, 9000), shares=(0.6, 0.3, 0.1), heldout=0.0)
    assert list(prepared.splits) == ["labelled", "pool", "test"] and len(prepared.splits["pool"]) == 200
    assert abs(len(prepared.splits["test"]) - 6000 / 7) < 5 * np.sqrt(6000 / 7)


def test_with_test_rows_too_all_train_rows_are_labelled(tmp_path):
    prepared = made(tmp_path, rows_of(2000, 1000), TEST, POOL)
    assert in_split(prepared, "labelled", "heldout") == set(range(1000, 3000))
    assert abs(len(prepared.splits["heldout"]) - 200) < 5 * np.sqrt(200)
    assert (in_split(prepared, "pool"), in_split(prepared, "test")) == (numbers(POOL), numbers(TEST))


@given(st.tuples(st.integers(1, 9), st.integers(0, 9), st.integers(0, 9)), st.sets(st.sampled_from(["pool", "test"])))
def test_the_shares_that_count_keep_their_proportions_and_sum_to_one(parts, apart):
    labelled, pool, test = (part / sum(parts) for part in parts)
    spec = TaskSpec(data="x", pool_data="y", shares=(labelled, pool, test), heldout=0.25)
    shares = shares_of(spec, apart)
    assert sum(shares.values()) == pytest.approx(1) and not apart & set(shares)
    assert shares["heldout"] * 3 == pytest.approx(shares["labelled"])
    half = shares["labelled"] + shares["heldout"]
    assert all(
        shares[name] * labelled == pytest.approx(share * half)
        for name, share in (("pool", pool), ("test", test))
        if name in shares
    )


def test_a_share_of_the_train_rows_for_the_pool_is_needed_only_without_pool_data():
    assert TaskSpec(data="x", pool_data="y", shares=(0.7, 0, 0.3)).shares == (0.7, 0, 0.3)
    with pytest.raises(ValidationError, match="without pool_data, pool above 0"):
        TaskSpec(data="x", shares=(0.7, 0, 0.3))


def test_a_pool_apart_needs_no_generated_train_rows():
    spec = TaskSpec(data="world:topic", labelled=100, pool=5000, test=100)
    assert rows_needed(spec, {"pool"}) < rows_needed(spec, ()) / 5


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"columns": {"group": "who"}},
        {"columns": {"id": "key"}, "labelled": 40, "pool": 30, "test": 20},
        {"balance": True},
    ],
)
def test_the_order_of_the_rows_changes_nothing(tmp_path, spec):
    files = [
        TRAIN + rows_of(9),
        TEST + rows_of(9, 210),
        POOL + rows_of(9, 310) + rows_of(20, 80),
    ]  # with duplicates, and pool rows that are train rows
    first = made(tmp_path, *files, overlap="drop", **spec)
    second = made(tmp_path, *(random.Random(1).sample(rows, len(rows)) for rows in files), overlap="drop", **spec)
    assert digests(first) == digests(second)
    assert {n: g.digest for n, g in first.gold.items()} == {n: g.digest for n, g in second.gold.items()}
    assert first.facts | {"identity": ""} == second.facts | {"identity": ""}
    assert first.facts["overlap_dropped"] == 20


@pytest.mark.parametrize("spec", [{}, {"pool": 30, "labelled": 40}, {"columns": {"group": "who"}}])
def test_flipped_gold_of_the_pool_moves_no_row(tmp_path, spec):
    pool = (
        POOL + rows_of(20, 80) + [row | {"label": 1 - row["label"]} for row in rows_of(9, 310)]
    )  # train rows, and rows of two labels
    before = made(tmp_path, TRAIN, TEST, pool, overlap="drop", **spec)
    after = made(tmp_path, TRAIN, TEST, [row | {"label": 1 - row["label"]} for row in pool], overlap="drop", **spec)
    assert digests(before) == digests(after)
    assert all(before.gold[name].digest == after.gold[name].digest for name in ("labelled", "heldout", "test"))
    assert before.gold["pool"].digest != after.gold["pool"].digest


def test_more_pool_rows_and_larger_caps_move_no_row(tmp_path):
    few = made(tmp_path, TRAIN, pool_rows=POOL, pool=50)
    more = made(tmp_path, TRAIN, pool_rows=POOL, pool=60)
    assert set(few.splits["pool"].ids) < set(more.splits["pool"].ids)
    added = made(tmp_path, TRAIN, pool_rows=POOL + rows_of(500, 1000))
    other_half = made(tmp_path, TRAIN, pool_rows=POOL, labelled=20)
    for name in ("labelled", "heldout", "test"):
        assert added.splits[name].digest == few.splits[name].digest
    assert other_half.splits["pool"].digest == made(tmp_path, TRAIN, pool_rows=POOL).splits["pool"].digest


def test_generated_pool_rows_are_no_train_and_no_test_rows(tmp_path):
    spec = TaskSpec(
        data="world:topic", test_data="world:topic", pool_data="world:topic", labelled=200, pool=300, test=100
    )
    prepared = prepare(spec, tmp_path)
    assert (
        prepared.facts["sizes"] == {"labelled": 180, "heldout": 20, "pool": 300, "test": 100}
        and prepared.facts["overlap_dropped"] == 0
    )


# ---- overlap, ids, classes


@pytest.mark.parametrize(
    ("pool", "test", "dropped", "words"),
    [
        (
            rows_of(50, 80),
            TEST,
            20,
            (
                r"20 pool rows are also among the train or test rows, the first is row 1 \(id '\w+'\); take them out,"
                r" or set task.overlap: drop"
            ),
        ),
        (rows_of(100, 250), TEST, 10, r"10 pool rows are also among the train or test rows, the first is row 1 .*"),
        (rows_of(50, 80), None, 20, r"20 pool rows are also among the train rows, the first is row 1 .*"),
        (rows_of(40, 80), rows_of(70, 95), 5 + 40, r"5 train rows are also among the test rows, .*"),
    ],
)
def test_overlap_is_refused_or_dropped(tmp_path, pool, test, dropped, words):
    pool = pool + POOL
    with pytest.raises(DataError, match=f"^{words}$"):
        made(tmp_path, TRAIN, test, pool)
    prepared = made(tmp_path, TRAIN, test, pool, overlap="drop")
    assert in_split(prepared, "pool") == numbers(pool) - numbers(TRAIN) - numbers(test or [])
    assert prepared.facts["overlap_dropped"] == dropped


def test_a_shared_group_counts_where_the_task_names_the_group(tmp_path):
    shared = [row | {"who": "author 3"} for row in rows_of(7, 1000)]
    assert in_split(made(tmp_path, TRAIN, TEST, POOL + shared), "pool") == numbers(POOL + shared)
    group = {"columns": {"group": "who"}}
    with pytest.raises(
        DataError,
        match=r"^7 pool rows are also among the train or test rows or share a group with one, the first is row 81 ",
    ):
        made(tmp_path, TRAIN, TEST, POOL + shared, **group)
    assert in_split(made(tmp_path, TRAIN, TEST, POOL + shared, overlap="drop", **group), "pool") == numbers(POOL)


def test_only_overlap_leaves_no_pool(tmp_path):
    with pytest.raises(
        DataError,
        match=(
            r"the pool split is empty; give more rows, or name rows with task.pool_data that are not among the train"
            r" and test rows$"
        ),
    ):
        made(tmp_path, TRAIN, TEST, TRAIN, overlap="drop")


def test_an_id_of_two_rows_and_an_unknown_class_are_refused(tmp_path):
    ids = {"columns": {"id": "key"}}
    with pytest.raises(
        DataError, match=r"id 'k7' stands at two different rows \(8 and 1, in the train, pool or test rows\)"
    ):
        made(tmp_path, TRAIN, TEST, [POOL[0] | {"key": "k7"}, *POOL[1:]], **ids)
    with pytest.raises(DataError, match=r"pool.jsonl row 1: label '2' is not among the classes"):
        made(tmp_path, TRAIN, TEST, [POOL[0] | {"label": 2}, *POOL[1:]], classes=("0", "1"))
    three = made(tmp_path, TRAIN, TEST, [POOL[0] | {"label": 2}, *POOL[1:]])
    assert {rows.classes for rows in three.splits.values()} == {("0", "1", "2")}


def test_the_facts_tell_of_the_pool(tmp_path):
    facts = made(tmp_path, TRAIN, TEST, POOL + POOL[:3], pool=50).facts
    assert set(facts["identity"]) == {"data", "test_data", "pool_data"} and len(set(facts["identity"].values())) == 3
    assert facts["rows"] == {"train": 100, "test": 60, "pool": 83} and facts["duplicates"] == 3
    assert facts["sizes"]["pool"] == 50 and json.loads(json.dumps(facts)) == facts
    assert made(tmp_path, TRAIN).facts["rows"] == {"train": 100, "test": 0}


BAD_PLACES = pytest.mark.parametrize("place", ["nope", "", "world:no-such-task", "file:pool.jsonl"])


@BAD_PLACES
def test_a_bad_place_is_refused(tmp_path, place):
    with pytest.raises(InputError, match=r"^task.pool_data: ") as caught:
        prepare(TaskSpec(data=write(tmp_path, TRAIN), pool_data=place), tmp_path)
    assert "\n" not in str(caught.value) and place in str(caught.value)


@BAD_PLACES
def test_a_bad_place_is_named_by_its_key_before_anything_runs(tmp_path, place):
    model = f"hub:org/name@{40 * '0'}"  # named and never opened
    raw = config(
        "naive", task={"data": write(tmp_path, TRAIN), "pool_data": place}, models={"weak": model, "strong": model}
    )
    with pytest.raises(InputError, match=r"^task.pool_data: ") as caught:
        check_names(expand(raw, tmp_path))
    assert "\n" not in str(caught.value)


# ---- identity


def key_of(folder, **spec):
    with Context(open_store(str(folder / "store")), InlineExecutor) as context:
        handle = submit_prepare(context, TaskSpec(data="file:rows.jsonl", **spec), folder)
        return handle.key.full, handle.value["splits"]


FROZEN = (
    (
        {},
        [
            "prepare/file-6f26ab02-3bcc9d4f7e0cf23d6b697187a5fe5f2fa3915ceb0c148b8a59e440456948dc31",
            "dataset/text-43-5460a6556711cfeef220c19746b831398d24712802f61913bcac9e39dc41f4aa",
            "dataset/text-33-51b315913fa95adeb0b7728c6b91f37812b645a3150626cb263c7c57c8e7be8c",
            "dataset/text-18-368f10bc94378cdbbac4d74e62d87eb8a73e6d514568a1b3fdcf8dbc451329cc",
        ],
    ),
    (
        {"test_data": "file:test.jsonl"},
        [
            "prepare/file-6f26ab02-9ec231c6829d1c45dda2f6492911013a79e07d419a55d38efc8185f1aaed23a3",
            "dataset/text-50-0de4508062577e143bb1be839e73dbd19e5c54694ccb5d02f44e8e307e1df6b2",
            "dataset/text-44-66004dc5e6f776e70d4aa87c2128797f261758326da2fb3ff570538d823531eb",
            "dataset/text-60-39688f34425b3256d2b72ec65c5e053e5e074f27dfbb4459e6a8c9500f87ddeb",
        ],
    ),
)


def test_the_keys_of_prepared_rows_are_frozen(tmp_path):
    write(tmp_path, TRAIN)
    write(tmp_path, TEST, "test.jsonl")
    for named, expected in FROZEN:
        key, splits = key_of(tmp_path, **named)
        assert [key, *(splits[name] for name in ("labelled", "pool", "test"))] == expected


def test_the_key_tells_pool_rows_from_test_rows_and_does_not_tell_the_place(tmp_path):
    write(tmp_path, TRAIN)
    for name, rows in (("a", TEST), ("b", POOL), ("copy", POOL)):
        write(tmp_path, rows, f"{name}.jsonl")
    a, b = "file:a.jsonl", "file:b.jsonl"
    specs = [
        {},
        {"test_data": a},
        {"pool_data": a},
        {"test_data": b},
        {"pool_data": b},
        {"test_data": a, "pool_data": b},
        {"test_data": b, "pool_data": a},
    ]
    keys = [key_of(tmp_path, **spec)[0] for spec in specs]
    assert len(set(keys)) == len(specs)
    assert key_of(tmp_path, pool_data="file:copy.jsonl")[0] == keys[4]
