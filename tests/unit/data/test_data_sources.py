"""Source names, files of three types, identities and refusals."""

import csv
import hashlib
import json
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from w2s_ray.config.task import TaskSpec
from w2s_ray.core.errors import ConfigError, DataError, InputError
from w2s_ray.data.prepare import prepare
from w2s_ray.data.sources import open_source, source_identity
from w2s_ray.world.task import VERSION
from w2s_ray.world.tasks import TASKS

COMMIT = "0123456789abcdef0123456789abcdef01234567"

# Line breaks of all kinds, quotes, commas, no ASCII: what file types are wont to spoil.
ROWS = [
    {"text": f'row {i}, "so" \n wäre\u2028 es {i * i} 好', "label": i % 2, "id": i + 100, "who": i // 3}
    for i in range(120)
]


def write(path, rows):
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return f"file:{path.name}"


@pytest.mark.parametrize("columns", [{}, {"id": "id"}, {"id": "id", "group": "who"}])
def test_the_three_file_types_give_the_same_data(tmp_path, columns):
    made = [
        prepare(TaskSpec(data=write(tmp_path / f"rows.{kind}", ROWS), columns=columns, heldout=0.3), tmp_path)
        for kind in ("jsonl", "csv", "parquet")
    ]
    for other in made[1:]:
        for name, rows in made[0].splits.items():
            assert other.splits[name].digest == rows.digest
            assert other.gold[name].digest == made[0].gold[name].digest
    texts = {text for rows in made[0].splits.values() for text in rows.inputs["text"]}
    assert texts == {row["text"] for row in ROWS}


def test_boolean_labels_are_alike_in_the_three_file_types(tmp_path):
    rows = [{"text": f"row {i}", "label": i % 3 == 0} for i in range(120)]
    made = [
        prepare(TaskSpec(data=write(tmp_path / f"rows.{kind}", rows)), tmp_path) for kind in ("jsonl", "csv", "parquet")
    ]
    assert made[0].splits["pool"].classes == ("false", "true")
    assert len({m.gold["pool"].digest for m in made}) == 1


def test_identity_is_content_without_the_place(tmp_path):
    (tmp_path / "deep").mkdir()
    name = write(tmp_path / "rows.jsonl", ROWS)
    write(tmp_path / "deep" / "other.jsonl", ROWS)
    expected = "sha256:" + hashlib.sha256((tmp_path / "rows.jsonl").read_bytes()).hexdigest()
    assert source_identity(name, tmp_path) == source_identity("file:deep/other.jsonl", tmp_path) == expected
    assert source_identity(f"file:{tmp_path}/deep/other.jsonl", tmp_path / "nowhere") == expected
    write(tmp_path / "rows.jsonl", ROWS[1:])
    assert source_identity(name, tmp_path) != expected
    assert source_identity(f"hub:org/name@{COMMIT}", tmp_path) == f"hub:org/name@{COMMIT}"
    assert source_identity(f"hub:org/name/config@{COMMIT}#test", tmp_path) == f"hub:org/name/config@{COMMIT}#test"


def test_the_identity_of_generated_rows_is_their_version_and_all_their_knobs(tmp_path):
    plain = source_identity("world:topic", tmp_path)
    assert (
        plain == open_source("world:topic", tmp_path).identity == source_identity("world:topic", tmp_path / "nowhere")
    )
    name, _, knobs = plain.partition(" ")
    assert name == f"world:topic@{VERSION}"
    assert json.loads(knobs)["overlap"] == 0.35
    assert source_identity("world:topic?hard=0.35&overlap=0.35", tmp_path) == plain, (
        "what is written out is the same rows"
    )
    assert (
        source_identity("world:topic?overlap=0.2&hard=0.3", tmp_path)
        == source_identity("world:topic?hard=0.3&overlap=0.2", tmp_path)
        != plain
    )
    everything = {source_identity(f"world:{name}", tmp_path) for name in TASKS}
    assert len(everything) == len(TASKS)
    knobs_turned = (
        "words=18",
        "signal=3",
        "hard=0.3",
        "overlap=0.3",
        "easy_true=0.6",
        "hard_true=0.9",
        "classes=5",
        "form=negation",
        "hard_share=[0,0.5]",
    )
    assert {knob.partition("=")[0] for knob in knobs_turned} == set(json.loads(knobs))
    assert len({source_identity(f"world:topic?{knob}", tmp_path) for knob in knobs_turned} | {plain}) == 10


def test_byte_order_mark_and_blank_lines(tmp_path):
    (tmp_path / "a.csv").write_bytes("\ufefftext,label\r\nhello,1\r\n\r\nbye,0\r\n".encode())
    (tmp_path / "a.jsonl").write_bytes(
        '\ufeff{"text": "hello", "label": "1"}\n\n{"text": "bye", "label": "0"}'.encode()
    )
    rows = [list(open_source(f"file:a.{kind}", tmp_path).splits["train"].read()) for kind in ("csv", "jsonl")]
    assert rows[0] == rows[1] == [{"text": "hello", "label": "1"}, {"text": "bye", "label": "0"}]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "a.jsonl",
            b'{"text": "x", "label": 0}\n{"text": "caf\xe9", "label": 1}\n',
            "a.jsonl line 2 is not UTF-8.*0xe9.*save the file as UTF-8",
        ),
        ("a.csv", b"text,label\nx,0\ncaf\xe9,1\n", "a.csv line 3 is not UTF-8"),
        ("a.jsonl", b'{"text": "x", "label": 0}\n{"text": "y", \n', "a.jsonl line 2 is not JSON"),
        ("a.jsonl", b'{"text": "x", "label": 0}\n["y", 1]\n', "a.jsonl line 2 holds a list"),
        ("a.csv", b"text,label\nx,0\ny\n", "a.csv line 3 has 1 cells for 2 columns"),
        ("a.csv", b'text,label\n"x" y,0\n', "a.csv line 2 is not CSV"),
        ("a.csv", b"text,text\nx,0\n", "a.csv line 1 must name each column once"),
        ("a.csv", b"", "a.csv has no rows"),
        ("a.jsonl", b"\n", "a.jsonl has no rows"),
        ("a.parquet", b"text,label\n", "a.parquet is not a Parquet file"),
        (
            "a.tsv",
            b"text\tlabel\n",
            r"unknown file type '.tsv' \(did you mean '.csv'\?\); it must be one of .jsonl, .csv, .parquet",
        ),
        ("a.txt", b"x", "unknown file type '.txt'"),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        prepare(TaskSpec(data=f"file:{name}"), tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("file:rowz.jsonl", r"there is no file .*rowz.jsonl \(did you mean 'rows.jsonl'\?\); relative paths start at"),
        ("file:folder.csv", "is a folder; name one file in it"),
        (
            "rows.jsonl",
            r"task.data: 'rows.jsonl' is not the name of a data source \(did you mean 'file:rows.jsonl'\?\)",
        ),
        ("fil:rows.jsonl", r"did you mean 'file'\?\); write one of world:TASK.*, file:PATH, hub:"),
        ("world:topics", r"there is no 'world:topics' \(did you mean 'world:topic'\?\); there are: world:topic"),
        (
            "world:topic?overlp=0.1",
            r"^overlp is not a known key \(did you mean 'overlap'\?\); there are: .*words \(in task.data: world:topic",
        ),
        ("world:topic?overlap", "has 'overlap' where a knob belongs; write world:topic.overlap=VALUE"),
        ("world:topic?hard=0.8", r"hard \(0.8\) and overlap \(0.35\) are shares of the rows and sum to at most 1"),
        ("world:topic?words=many", "words is 'many'; it must be a whole number"),
        ("world:shift?domain=hom", r"domain is 'hom' \(did you mean 'home'\?\)"),
        ("world:sources?overlaps=[0.1]", "two shares or more.*got"),
        ("hub:", "is not the name of a data source"),
        (
            "hub:allenai/sciq",
            (
                "has no revision; pin it with the 40-digit commit hash that"
                " https://huggingface.co/datasets/allenai/sciq/commits/main lists: hub:allenai/sciq@COMMIT"
            ),
        ),
        ("hub:allenai/sciq@main", "has 'main' as its revision, which can move; pin it"),
        (f"hub:sciq@{COMMIT}", "does not name a dataset; write hub:ORG/NAME@COMMIT"),
        (f"hub:a/b/c/d@{COMMIT}", "does not name a dataset"),
    ],
)
def test_bad_names_are_refused_in_one_line(tmp_path, name, words):
    write(tmp_path / "rows.jsonl", ROWS)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match=words) as caught:
        source_identity(name, tmp_path)
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_the_test_rows_source_is_named_by_its_own_key(tmp_path):
    with pytest.raises(ConfigError, match=r"^task.test_data: 'nope'"):
        prepare(TaskSpec(data=write(tmp_path / "rows.jsonl", ROWS), test_data="nope"), tmp_path)


def test_offline_hub_in_this_process(tmp_path):
    if os.environ.get("HF_HUB_OFFLINE") != "1":
        pytest.skip("the suite runs with HF_HUB_OFFLINE=1")
    with pytest.raises(DataError, match="is not in the local cache and HF_HUB_OFFLINE is set; unset it"):
        prepare(TaskSpec(data=f"hub:no-such-org/no-such-name@{COMMIT}"), tmp_path)
