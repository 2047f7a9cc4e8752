"""The column `source`: where a row comes from, for methods to see. It is no part of a row's identity, and no gold label
decides which one stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from row_files import digests, made, places, rows_of, write

from w2s_ray.config.task import TaskSpec
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.errors import ConfigError, DataError, InputError
from w2s_ray.data.catalogue import show
from w2s_ray.data.formats.text import Text
from w2s_ray.data.parts import Part, check_sources
from w2s_ray.data.prepare import prepare
from w2s_ray.data.rows import Row, resolve_columns
from w2s_ray.data.scheme import Rows
from w2s_ray.data.sources import Source
from w2s_ray.data.splits import drop_duplicates

NAMED = {"columns": {"source": "site"}}


def sited(n, start=0):
    return [row | {"site": f"site {i % 3}"} for i, row in enumerate(rows_of(n, start))]


def origins(prepared):
    return {
        text: site
        for data in prepared.splits.values()
        for text, site in zip(data.inputs["text"], data.sources, strict=True)
    }


def test_every_row_of_every_split_has_the_source_of_its_row(tmp_path):
    prepared = made(tmp_path, sited(300), **NAMED)
    assert origins(prepared) == {row["text"]: row["site"] for row in sited(300)}
    for name, data in prepared.splits.items():
        assert sum(prepared.facts["sources"][name].values()) == len(data) and set(
            prepared.facts["sources"][name]
        ) == set(data.sources)
    apart = made(tmp_path, sited(300), sited(60, 400), sited(60, 500), **NAMED)
    assert origins(apart) == {
        row["text"]: row["site"] for rows in (sited(300), sited(60, 400), sited(60, 500)) for row in rows
    }


def test_without_being_named_the_column_is_nothing(tmp_path):
    prepared = made(tmp_path, sited(300))
    assert all(data.sources is None for data in prepared.splits.values()) and "sources" not in prepared.facts
    assert digests(prepared) == digests(made(tmp_path, rows_of(300)))


def test_sources_move_no_row_and_change_no_id(tmp_path):
    plain, named = made(tmp_path, sited(300)), made(tmp_path, sited(300), **NAMED)
    assert places(plain) == places(named)
    for name, data in named.splits.items():
        assert data.ids.tolist() == plain.splits[name].ids.tolist() and data.digest != plain.splits[name].digest
        assert named.gold[name].digest == plain.gold[name].digest
    other = made(tmp_path, [row | {"site": "one"} for row in sited(300)], **NAMED)
    assert places(other) == places(named) and not set(digests(other).values()) & set(digests(named).values())


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from("ab"), st.sampled_from("xy"), st.sampled_from("01")), max_size=20
    ),
    st.randoms(),
)
def test_which_source_stays_depends_neither_on_the_order_nor_on_gold(cells, rng):
    def rows(labels):
        return [
            Row(n, f"c{i}", f"c{i}", f"row c{i}", (f"t{i}",), label, part, site)
            for n, ((i, site, part, _), label) in enumerate(zip(cells, labels, strict=True))
        ]

    def kept(rows):
        return {row.content: (row.source, row.slice) for row in drop_duplicates(rows)[0]}

    given_rows = rows([label for *_, label in cells])
    assert kept(rng.sample(given_rows, len(given_rows))) == kept(given_rows)
    assert kept(rows(rng.choices("01", k=len(cells)))) == kept(given_rows)


@pytest.mark.parametrize(
    ("site", "words"),
    [
        ("", "row 6: its source is empty; give every row one, or leave 'source' out of task.columns"),
        (None, "its source is empty"),
        ("\ud800", "column 'source' holds half a"),
    ],
)
def test_a_row_without_a_source_is_refused(tmp_path, site, words):
    rows = sited(60)
    rows[5]["site"] = site
    with pytest.raises(DataError, match=words) as caught:
        made(tmp_path, rows, **NAMED)
    assert "\n" not in str(caught.value)


def test_numbers_are_sources_too(tmp_path):
    rows = [row | {"site": float(i % 2)} for i, row in enumerate(rows_of(60))]
    assert set(origins(made(tmp_path, rows, **NAMED)).values()) == {"0", "1"}


@pytest.mark.parametrize(
    "files",
    [(sited(100), rows_of(60, 200), None), (rows_of(100), sited(60, 200), None), (sited(100), None, rows_of(60, 200))],
)
def test_one_file_with_sources_and_one_without_are_refused(tmp_path, files):
    with pytest.raises(
        InputError, match=r"'source' is to be read from 'site', which is not a column of (rows|test|pool)\.jsonl"
    ) as caught:
        made(tmp_path, *files, **NAMED)
    assert isinstance(caught.value, ConfigError) and "\n" not in str(caught.value)


def part(name, columns, own, named):
    rows = Rows(name, columns, lambda: iter(()))
    source = Source(name, name, {"train": rows}, own)
    return Part(source, rows, resolve_columns(Text(), {**source.columns, **named}, rows))


def test_a_place_that_knows_its_sources_and_one_that_does_not(tmp_path):
    """Generated rows know their own columns; those of a file are named by the task."""
    generated = ("text", "label", "site"), {"source": "site"}
    file = ("text", "label", "place"), {}
    with pytest.raises(
        DataError,
        match=(
            r"the rows of made have a source and those of a.csv have none; name a column that both have .*\{source:"
            r" \"\"\}"
        ),
    ) as caught:
        check_sources([part("made", *generated, {}), part("a.csv", *file, {})])
    assert "\n" not in str(caught.value)
    off = {"source": ""}
    parts = [part("made", *generated, off), part("a.csv", *file, off)]
    check_sources(parts)
    assert all("source" not in found.columns for found in parts)
    check_sources([part("made", *generated, {})] * 2)
    assert part("made", *generated, {}).columns["source"] == "site"


def test_generated_rows_that_know_their_sources(tmp_path):
    data = prepare(TaskSpec(data="world:sources", labelled=100, pool=200, test=100), tmp_path).splits["pool"]
    assert data.sources is not None and len(set(data.sources)) > 1


def test_generated_rows_with_sources_and_a_file_without_are_refused_together(tmp_path):
    spec = {"data": "world:sources", "test_data": write(tmp_path, rows_of(60)), "labelled": 100}
    with pytest.raises(DataError, match=r"the rows of world:sources have a source and those of rows.jsonl have none"):
        prepare(TaskSpec(**spec), tmp_path)
    prepared = prepare(TaskSpec(**spec, columns={"source": "", "slice": ""}), tmp_path)
    assert all(data.sources is None for data in prepared.splits.values())


def test_sources_are_shown(tmp_path):
    name = write(tmp_path, sited(3))
    assert [row["source"] for row in show(TaskSpec(data=name, **NAMED), 3, tmp_path)] == ["site 0", "site 1", "site 2"]
    assert all("source" not in row for row in show(name, 3, tmp_path))


def test_sources_survive_the_way_to_the_disk(tmp_path):
    pool = made(tmp_path, sited(60), **NAMED).splits["pool"]
    pool.save(tmp_path)
    back = Dataset.load(tmp_path)
    assert back.digest == pool.digest and back.sources.tolist() == pool.sources.tolist()
