"""`prepare`: properties of the split (stability, groups, permutations, the gold firewall), caps, and every refusal."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from row_files import digests, made, places, rows_of, write

from w2s_ray.config.task import TaskSpec
from w2s_ray.core.errors import ConfigError, DataError, InputError
from w2s_ray.core.kinds import PREFERENCE
from w2s_ray.data.catalogue import describe, show
from w2s_ray.data.prepare import cut, prepare
from w2s_ray.data.rows import Row
from w2s_ray.data.splits import assign, caps_of, drop_duplicates, rows_needed, trim

REAL = Path(__file__).parents[4] / "shared" / "data"
SPLITS = ("labelled", "heldout", "pool", "test")


def plain(i, *, unit=None, label="0"):
    return Row(i, f"c{i}", f"c{i}", unit or f"row c{i}", (f"t{i}",), label, "", "")


# ---- who sees which row


@given(
    st.sets(st.integers(0, 10**6), min_size=1, max_size=60),
    st.sets(st.integers(0, 10**6), max_size=60),
    st.integers(0, 99),
    st.sets(st.sampled_from(["pool", "test"])),
)
def test_more_rows_move_no_row(few, more, seed, apart):
    spec = TaskSpec(data="world:topic", seed=seed, heldout=0.2)
    one = assign(map(plain, few), spec, apart)
    two = assign(map(plain, few | more), spec, apart)
    assert set(one) == {*SPLITS} - apart
    for name, rows in one.items():
        assert {row.id for row in rows} <= {row.id for row in two[name]}


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 8)), unique_by=lambda pair: pair[0], min_size=1, max_size=30),
    st.integers(0, 99),
)
def test_a_group_is_in_one_split(pairs, seed):
    spec = TaskSpec(data="world:topic", seed=seed, heldout=0.3)
    splits = assign([plain(i, unit=f"group {g}") for i, g in pairs], spec, apart=())
    homes = [
        {name for name, rows in splits.items() if any(row.unit == unit for row in rows)}
        for unit in {f"group {g}" for _, g in pairs}
    ]
    assert all(len(home) == 1 for home in homes)


@given(st.sets(st.integers(0, 10**6), min_size=5, max_size=60), st.integers(1, 70), st.integers(0, 9))
def test_a_cap_keeps_a_nested_sample_whatever_the_order(numbers, cap, seed):
    spec = TaskSpec(data="world:topic", seed=seed)
    rows = [plain(i) for i in numbers]
    kept = trim(rows, cap, spec, ("0", "1"))
    assert len(kept) == min(cap, len(rows))
    assert kept == trim(random.Random(seed).sample(rows, len(rows)), cap, spec, ("0", "1"))
    assert kept == trim(rows, cap + 1, spec, ("0", "1"))[: len(kept)]


def test_shares_are_met_on_average(tmp_path):
    prepared = made(tmp_path, rows_of(6000), shares=(0.5, 0.3, 0.2), heldout=0.1)
    for name, share in zip(SPLITS, (0.45, 0.05, 0.3, 0.2), strict=True):
        assert abs(len(prepared.splits[name]) - 6000 * share) < 5 * np.sqrt(6000 * share)
    apart = made(tmp_path, rows_of(6000), rows_of(500, 9000), shares=(0.6, 0.3, 0.1), heldout=0.0)
    assert set(apart.splits) == {"labelled", "pool", "test"} and len(apart.splits["test"]) == 500
    assert abs(len(apart.splits["pool"]) - 2000) < 5 * np.sqrt(2000)


def test_adding_rows_to_a_file_moves_none(tmp_path):
    few = places(made(tmp_path, rows_of(300)))
    assert places(made(tmp_path, rows_of(700))).items() >= few.items()


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"columns": {"group": "who"}},
        {"columns": {"id": "key"}, "labelled": 40, "pool": 30, "test": 20},
        {"balance": True, "pool": 50},
        {"max_words": 2},
    ],
)
def test_the_order_of_the_rows_changes_nothing(tmp_path, spec):
    rows = rows_of(300) + rows_of(20)  # with duplicates
    first = made(tmp_path, rows, **spec)
    random.Random(1).shuffle(rows)
    second = made(tmp_path, rows, **spec)
    assert digests(first) == digests(second)
    assert {n: g.digest for n, g in first.gold.items()} == {n: g.digest for n, g in second.gold.items()}
    assert all((first.splits[n].ids == second.splits[n].ids).all() for n in first.splits)
    assert first.facts | {"identity": ""} == second.facts | {"identity": ""}
    assert first.facts["duplicates"] == 20


def test_which_duplicate_stays_does_not_depend_on_the_order(tmp_path):
    twice = [{"text": "same", "label": label, "key": key} for label, key in ((1, "b"), (0, "a"), (1, "c"))]
    for rows in (twice, twice[::-1]):
        prepared = made(tmp_path, rows_of(100) + rows, columns={"id": "key"})
        ids = np.concatenate([s.ids for s in prepared.splits.values()])
        assert "a" in ids and not {"b", "c"} & set(ids)
        assert (prepared.facts["duplicates"], prepared.facts["conflicting_labels"]) == (2, 1)
    assert drop_duplicates([])[0] == []


def test_groups_stay_whole_in_every_split(tmp_path):
    prepared = made(tmp_path, rows_of(400), columns={"group": "who"})
    home = {}
    for text, name in places(prepared).items():
        assert home.setdefault(int(text.split()[-1]) // 4, name) == name
    assert set(home.values()) == set(SPLITS) and prepared.facts["groups_also_in_test"] == 0
    assert sum(prepared.facts["groups"].values()) == 100


def test_seeds_give_other_splits(tmp_path):
    assert digests(made(tmp_path, rows_of(300), seed=1)) != digests(made(tmp_path, rows_of(300), seed=2))


# ---- the gold firewall


@pytest.mark.parametrize("spec", [{}, {"labelled": 60, "pool": 50, "test": 40}, {"columns": {"group": "who"}}])
def test_flipped_gold_of_pool_and_test_changes_no_row_and_no_labelled_label(tmp_path, spec):
    rows = rows_of(400)
    before = made(tmp_path, rows, **spec)
    where = places(before)
    flipped = [row | {"label": 1 - row["label"]} if where.get(row["text"]) in ("pool", "test") else row for row in rows]
    after = made(tmp_path, flipped, **spec)
    assert digests(before) == digests(after)
    for name in SPLITS:
        changed = before.gold[name].align(after.gold[name].ids).hard_N != after.gold[name].hard_N
        assert changed.all() if name in ("pool", "test") else not changed.any()


def test_flipped_preferences_change_no_row(tmp_path):
    rows = [{"chosen": f"good {i}", "rejected": f"bad {i}"} for i in range(200)]
    before = made(tmp_path, rows, format="preference")
    after = made(tmp_path, [{"chosen": r["rejected"], "rejected": r["chosen"]} for r in rows], format="preference")
    assert before.splits["pool"].kind is PREFERENCE and digests(before) == digests(after)
    assert all((before.gold[n].hard_N == 1 - after.gold[n].hard_N).all() for n in SPLITS)


def test_gold_is_one_hot_and_says_so(tmp_path):
    prepared = made(tmp_path, rows_of(300))
    label = {row["text"]: row["label"] for row in rows_of(300)}
    for name, rows in prepared.splits.items():
        gold = prepared.gold[name].align(rows.ids)
        assert gold.source == "gold" and set(np.unique(gold.probs_NK)) == {0.0, 1.0}
        assert [label[text] for text in rows.inputs["text"]] == gold.hard_N.tolist()


# ---- caps, balance, cuts


def test_the_heldout_slice_comes_out_of_the_labelled_cap(tmp_path):
    sizes = made(tmp_path, rows_of(3000), labelled=500, pool=300, test=200).facts
    assert sizes["sizes"] == {"labelled": 450, "heldout": 50, "pool": 300, "test": 200} and sizes["short"] == {}
    short = made(tmp_path, rows_of(100), labelled=2000, pool=10, test=10).facts["short"]
    assert (
        set(short) == {"labelled", "heldout"} and short["labelled"]["asked"] == 1800 and short["labelled"]["got"] < 100
    )


def test_a_raised_cap_keeps_the_rows_there_were(tmp_path):
    small, large = (made(tmp_path, rows_of(3000), labelled=n, pool=n, test=n) for n in (100, 200))
    assert all(set(small.splits[n].ids) < set(large.splits[n].ids) for n in SPLITS)


def test_balance_takes_as_many_of_each_class(tmp_path):
    prepared = made(tmp_path, rows_of(1000), balance=True, pool=101)
    for gold in prepared.gold.values():
        assert set(np.bincount(gold.hard_N, minlength=2)) == {len(gold) // 2}
    assert len(prepared.splits["pool"]) == 100


@given(
    st.text(alphabet="ab \n\t", max_size=60), st.integers(1, 8), st.integers(1, 30), st.sampled_from(["start", "end"])
)
@settings(max_examples=300)
def test_a_cut_keeps_whole_words_of_one_end(text, words, chars, keeps):
    short = cut(text, words, None, keeps)
    expected = text.split()[:words] if keeps == "start" else text.split()[-words:]
    assert short.split() == expected and (short == text or len(text.split()) > words)
    shorter = cut(text, None, chars, keeps)
    assert len(shorter) <= chars and (shorter == text if len(text) <= chars else True)
    assert bool(shorter.strip()) == bool(text.strip())


def test_cuts_are_counted_and_keep_what_the_label_is_about(tmp_path):
    rows = [
        {"passage": f"w{i} " + "word " * (50 if i % 2 else 1), "question": f"is it {i}", "answer": i % 3 == 0}
        for i in range(200)
    ]
    prepared = made(tmp_path, rows, format="boolq", max_words=12)
    texts = [text for s in prepared.splits.values() for text in s.inputs["text"]]
    assert (
        all(" ".join(text.split()[-4:-1]) == "Question: is it" for text in texts)
        and max(len(t.split()) for t in texts) == 12
    )
    assert sum(prepared.facts["truncated"].values()) == 100
    assert sum(made(tmp_path, rows, format="boolq", max_chars=40).facts["truncated"].values()) == 100


# ---- train and test rows from two places


def test_overlap_is_refused_or_dropped(tmp_path):
    train, test = rows_of(300), rows_of(60, 280)
    with pytest.raises(
        DataError, match=r"20 train rows are also among the test rows, the first is row 281 .*set task.overlap: drop"
    ):
        made(tmp_path, train, test)
    prepared = made(tmp_path, train, test, overlap="drop")
    assert prepared.facts["overlap_dropped"] == 20 and len(prepared.splits["test"]) == 60
    assert not set(prepared.splits["test"].ids) & {i for n in SPLITS[:3] for i in prepared.splits[n].ids}


def test_a_named_group_is_kept_out_of_the_test_rows_and_a_formats_own_is_counted(tmp_path):
    train, test = rows_of(301), rows_of(60, 301)  # author 75 wrote rows 300 to 303
    columns = {"group": "who"}
    with pytest.raises(DataError, match="1 train rows are also among the test rows or share a group with one"):
        made(tmp_path, train, test, columns=columns)
    assert made(tmp_path, train, test, columns=columns, overlap="drop").facts["overlap_dropped"] == 1
    boolq = [{"passage": f"about {i // 4}", "question": f"is it {i}", "answer": i % 3 == 0} for i in range(361)]
    facts = made(tmp_path, boolq[:301], boolq[301:], format="boolq").facts
    assert facts["groups_also_in_test"] == 1 and facts["overlap_dropped"] == 0
    assert "groups" not in made(tmp_path, boolq[:301], boolq[301:], format="boolq", columns={"group": ""}).facts


# ---- classes, ids, columns


def test_classes_are_sorted_as_numbers_or_names_or_as_told(tmp_path):
    numbers = [{"text": f"t{i}", "label": i % 12} for i in range(600)]
    assert made(tmp_path, numbers).splits["pool"].classes == tuple(map(str, range(12)))
    names = [{"text": f"t{i}", "label": ["ham", "spam", "eggs"][i % 3]} for i in range(300)]
    assert made(tmp_path, names).splits["pool"].classes == ("eggs", "ham", "spam")
    told = made(tmp_path, names, classes=("spam", "ham", "eggs", "toast"))
    assert told.splits["pool"].classes == ("spam", "ham", "eggs", "toast") and told.gold["pool"].num_classes == 4
    by_text = {row["text"]: row["label"] for row in names}
    pool = told.splits["pool"]
    assert [pool.classes[k] for k in told.gold["pool"].align(pool.ids).hard_N] == [
        by_text[t] for t in pool.inputs["text"]
    ]


def test_ids_are_the_users_or_the_contents(tmp_path):
    assert set(made(tmp_path, rows_of(100), columns={"id": "key"}).splits["pool"].ids) <= {f"k{i}" for i in range(100)}
    own = made(tmp_path, rows_of(100), seed=1), made(tmp_path, rows_of(50), seed=2)
    ids = [{text: i for s in p.splits.values() for text, i in zip(s.inputs["text"], s.ids, strict=True)} for p in own]
    assert ids[0].items() >= ids[1].items()


def test_choices_from_several_columns(tmp_path):
    rows = [{"q": f"which {i}?", "a": f"yes {i}", "b": f"no {i}", "c": f"never {i}", "right": "A"} for i in range(200)]
    prepared = made(
        tmp_path, rows, format="choices", columns={"question": "q", "choices": "a, b, c", "answer": "right"}
    )
    for name, data in prepared.splits.items():
        right = ["A: yes" in text for text in data.inputs["text"]]
        assert prepared.gold[name].align(data.ids).hard_N.tolist() == [int(r) for r in right]


def test_slices_stand_beside_the_rows(tmp_path):
    rows = [row | {"topic": "ab"[i % 2]} for i, row in enumerate(rows_of(200))]
    prepared = made(tmp_path, rows, columns={"slice": "topic"})
    for name, data in prepared.splits.items():
        assert sorted(i for ids in prepared.slices[name].values() for i in ids) == sorted(data.ids)
        texts = dict(zip(data.ids, data.inputs["text"], strict=True))
        assert all(int(texts[i].split()[-1]) % 2 == 0 for i in prepared.slices[name]["a"])


@pytest.mark.parametrize(
    ("change", "spec", "words"),
    [
        (
            {},
            {"columns": {"text": "txet"}},
            (
                r"'text' is to be read from 'txet', which is not a column of rows.jsonl \(did you mean 'text'\?\); it"
                r" has: text, label, who, key"
            ),
        ),
        (
            {},
            {"columns": {"txt": "text"}},
            (
                r"task.columns: the format has no column 'txt' \(did you mean 'text'\?\); it reads: text, label, id,"
                r" group, slice, source"
            ),
        ),
        ({}, {"format": "txt"}, r"unknown format 'txt' \(did you mean 'text'\?\); there are: "),
        ({}, {"format": "sciq"}, "'question' is to be read from 'question', which is not a column"),
        ({"text": "  "}, {}, "rows.jsonl row 6: column 'text' holds an empty text"),
        ({"text": None}, {}, "row 6: column 'text' holds nothing"),
        ({"label": 2}, {"classes": ("0", "1")}, r"rows.jsonl row 6: label '2' is not among the classes \['0', '1'\]"),
        (
            {"label": "hma"},
            {"classes": ("0", "1", "ham")},
            r"label 'hma' .* \(did you mean 'ham'\?\); mend the row, or add it to task.classes",
        ),
        ({"label": 0.4}, {}, "row 6: column 'label' holds '0.4'; a gold label is one class, not a probability"),
        ({"label": None}, {}, "row 6: column 'label' holds no label"),
        ({"key": "k7"}, {"columns": {"id": "key"}}, r"id 'k7' stands at two different rows \(6 and 8"),
        ({"key": ""}, {"columns": {"id": "key"}}, "row 6: its id is empty"),
        ({"who": None}, {"columns": {"group": "who"}}, "row 6: its group is empty"),
        ({}, {"classes": ("0", "0")}, "must be two different names or more"),
        ({}, {"columns": {"label": "key"}}, "the label column holds 100 different values in 100 rows"),
        (
            {},
            {"shares": (0.5, 0.5, 0.0)},
            "the test split is empty; give more rows, or name test rows with task.test_data",
        ),
        ({}, {"labelled": 2}, "one-class split: all 1 rows of the labelled split"),
        ({}, {"heldout": 1e-9}, "the heldout split is empty; give more rows, or set task.heldout: 0"),
    ],
)
def test_refusals_are_one_line(tmp_path, change, spec, words):
    rows = rows_of(100)
    rows[5] |= change
    with pytest.raises(InputError, match=words) as caught:
        made(tmp_path, rows, **spec)
    assert "\n" not in str(caught.value)


def test_a_row_without_a_column_and_classes_of_a_fixed_format(tmp_path):
    rows = rows_of(100)
    del rows[5]["text"]
    with pytest.raises(DataError, match=r"rows.jsonl row 6: has no column 'text'"):
        made(tmp_path, rows)
    pairs = [{"chosen": f"a{i}", "rejected": f"b{i}"} for i in range(100)]
    with pytest.raises(ConfigError, match=r"leave task.classes out"):
        made(tmp_path, pairs, format="preference", classes=("no", "yes"))
    assert made(tmp_path, [*pairs, {"chosen": "x", "rejected": "x"}], format="preference").facts["skipped"] == 1


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (lambda i: 1, "all 100 rows have the label"),
        (lambda i: int(i == 3), "one-class split: all .* rows of the (labelled|test) split"),
    ],
)
def test_one_class_splits(tmp_path, labels, words):
    with pytest.raises(DataError, match=words):
        made(tmp_path, [row | {"label": labels(i)} for i, row in enumerate(rows_of(100))])


def test_facts_are_json(tmp_path):
    prepared = made(tmp_path, rows_of(300), columns={"group": "who"}, labelled=30)
    assert json.loads(json.dumps(prepared.facts)) == prepared.facts
    assert prepared.facts["rows"] == {"train": 300, "test": 0}
    assert all(sum(shares.values()) == pytest.approx(1) for shares in prepared.facts["class_shares"].values())


# ---- the catalogue


def test_the_catalogue_lists_and_shows(tmp_path):
    listed = describe()
    assert {kind for _, kind, _ in listed} == {"source", "format"} and all(
        line and "\n" not in line for _, _, line in listed
    )
    assert {"world:topic", "file:PATH", "text", "sciq", "preference"} <= {name for name, _, _ in listed}
    assert [list(row) for row in show("world:topic", 3, tmp_path)] == [["id", "text", "label"]] * 3
    name = write(tmp_path, [{"chosen": "a", "rejected": "b"}])
    (row,) = show(TaskSpec(data=name, format="preference"), 3, tmp_path)
    assert {row["first"], row["second"]} == {"a", "b"} and [row["first"], row["second"]][int(row["label"])] == "a"


# ---- the built-in world


def test_the_world_fills_every_cap_exactly(tmp_path):
    for seed in range(3):
        for spec in (
            {"labelled": 2000, "pool": 1000, "test": 500},
            {"labelled": 100, "pool": 100, "test": 100, "balance": True},
            {"labelled": 20, "pool": 20, "test": 20, "heldout": 0.3},
        ):
            prepared = prepare(TaskSpec(data="world:topic", seed=seed, **spec), tmp_path)
            caps = caps_of(TaskSpec(data="world:topic", **spec))
            assert prepared.facts["sizes"] == caps and prepared.facts["short"] == {}
            ids = np.concatenate([s.ids for s in prepared.splits.values()])
            texts = np.concatenate([s.inputs["text"] for s in prepared.splits.values()])
            assert len(set(ids)) == len(set(texts)) == len(ids)
    assert rows_needed(TaskSpec(data="world:topic"), apart=()) == 10_000


def test_the_worlds_kind_is_a_slice_and_no_column(tmp_path):
    prepared = prepare(TaskSpec(data="world:topic", labelled=400, pool=400, test=400), tmp_path)
    assert set(prepared.slices["test"]) == {"easy", "hard", "overlap"} and set(prepared.splits["test"].inputs) == {
        "text"
    }
    assert sum(map(len, prepared.slices["test"].values())) == 400
    again = prepare(TaskSpec(data="world:topic", labelled=400, pool=400, test=400), tmp_path)
    other = prepare(TaskSpec(data="world:topic", labelled=400, pool=400, test=400, seed=1), tmp_path)
    assert digests(prepared) == digests(again) and not set(digests(prepared).values()) & set(digests(other).values())
    apart = prepare(TaskSpec(data="world:topic", test_data="world:topic", labelled=400, pool=400, test=400), tmp_path)
    assert apart.facts["overlap_dropped"] == 0 and apart.facts["sizes"]["test"] == 400


# ---- real data, where it is at hand


@pytest.mark.parametrize("name", ["sciq", "boolq", "cosmosqa", "gsm8k_solutions", "scitail"])
def test_real_data_loads(name):
    if not (REAL / name / "train.jsonl").exists():
        pytest.skip("no real data here")
    spec = {
        "data": f"file:{name}/train.jsonl",
        "test_data": f"file:{name}/test.jsonl",
        "columns": {"text": "txt", "label": "hard_label", "id": "id"},
    }
    prepared = prepare(TaskSpec(**spec, labelled=500, pool=500, test=400), REAL)
    assert prepared.facts["sizes"] | {"heldout": 0} == {"labelled": 450, "heldout": 0, "pool": 500, "test": 400}
    assert 40 <= prepared.facts["sizes"]["heldout"] <= 50
    rows = {
        row["id"]: row
        for part in ("train", "test")
        for row in map(json.loads, (REAL / name / f"{part}.jsonl").read_text(encoding="utf-8").split("\n")[:-1])
    }
    for split, data in prepared.splits.items():
        assert all(rows[i]["txt"] == text for i, text in zip(data.ids, data.inputs["text"], strict=True))
        assert prepared.gold[split].align(data.ids).hard_N.tolist() == [rows[i]["hard_label"] for i in data.ids]


def test_real_groups_stay_whole():
    if not (REAL / "scitail" / "train.jsonl").exists():
        pytest.skip("no real data here")
    columns = {"first": "premise", "second": "hypothesis", "label": "hard_label", "id": "id", "group": "premise"}
    spec = {
        "data": "file:scitail/train.jsonl",
        "test_data": "file:scitail/test.jsonl",
        "format": "pair",
        "columns": columns,
    }
    with pytest.raises(DataError, match="share a group with one"):
        prepare(TaskSpec(**spec), REAL)
    prepared = prepare(TaskSpec(**spec, overlap="drop"), REAL)
    premises = {name: set(data.inputs["first"]) for name, data in prepared.splits.items()}
    assert sum(map(len, premises.values())) == len(set().union(*premises.values()))
