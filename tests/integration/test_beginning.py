"""What a user meets first and last: a study that is written for them, rows for a teacher of their own, and the rows
that went wrong."""

from __future__ import annotations

import csv
import json
import os
import pty
import subprocess
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from integration.face import Face
from jsonschema import Draft202012Validator

from w2s_ray.config.load import load_study
from w2s_ray.world.tasks import TASKS

YES = ("--yes", "--weak", "world/nano", "--strong", "world/micro")


def reviews(face: Face, name: str = "reviews.csv", columns: tuple[str, str, str] = ("key", "review", "stars")) -> None:
    """Texts of the built-in world under names that a user's file might have."""
    topic = TASKS["topic"]
    rows = topic.rows(topic.knobs, 240, seed=3)
    with open(face.folder / name, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*columns, "length"])
        writer.writerows(
            [n, row["text"], "good" if row["label"] else "bad", len(row["text"])] for n, row in enumerate(rows)
        )


@pytest.mark.parametrize("data", ["world:topic5", "world:pref", "reviews.csv", "file:reviews.csv"])
def test_what_init_writes_plans_at_once_and_every_line_teaches(face: Face, data: str) -> None:
    reviews(face)
    ended = face.w2s("init", "first.yaml", "--data", data, *YES)
    assert ended.code == 0, ended.err
    text = (face.folder / "first.yaml").read_text(encoding="utf-8")
    bare = [line for line in text.splitlines() if "  # " not in line and not line.startswith("# ")]
    assert bare == []
    planned = face.w2s("plan", "first.yaml")
    assert planned.code == 0, planned.err
    assert "to run" in planned.out
    two = data != "world:topic5"
    assert [m.label for m in load_study(face.folder / "first.yaml").config.methods] == ["naive", "logconf"][: 1 + two]
    first = text.splitlines()[0]
    assert first == "# yaml-language-server: $schema=study.schema.json"
    schema = json.loads((face.folder / "study.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator(schema).validate(yaml.safe_load(text))


def test_init_overwrites_nothing_without_being_told(face: Face) -> None:
    (face.folder / "study.schema.json").write_text("mine", encoding="utf-8")
    assert face.w2s("init", *YES).code == 0
    assert (face.folder / "study.schema.json").read_text(encoding="utf-8") == "mine"
    before = (face.folder / "study.yaml").read_text(encoding="utf-8")
    assert "study.yaml is there already" in face.w2s("init", *YES, "--data", "world:pref").refusal
    assert (face.folder / "study.yaml").read_text(encoding="utf-8") == before
    assert face.w2s("init", *YES, "--data", "world:pref", "--force").code == 0
    assert "world:pref" in (face.folder / "study.yaml").read_text(encoding="utf-8")


def test_init_in_another_folder_names_the_same_rows(face: Face) -> None:
    reviews(face)
    (face.folder / "studies").mkdir()
    assert face.w2s("init", "studies/first.yaml", "--data", "reviews.csv", *YES).code == 0
    assert face.w2s("plan", "studies/first.yaml").code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "there is no terminal (Which rows?"),
        (("--data", "world:topic", "--weak", "world/nano"), "--strong"),
        (("--data", "world:tropic", "--yes"), "did you mean 'world:topic'"),
        (("--data", "nothing.csv", "--yes"), "there is no file nothing.csv"),
        (("--data", "reviews.csv", "--yes", "--column", "label=sters"), "did you mean 'stars'"),
        (("--data", "reviews.csv", "--yes", "--column", "label"), "--column label is no pair"),
        (("--data", "reviews.csv", "--yes", "--format", "pairs"), "did you mean 'pair'"),
        (("--data", "texts.csv", "--yes"), "looks like the label of the format text; say which it is with --column"),
        (("--data", "world:topic", "--yes", "--method", "navie"), "did you mean 'naive'"),
        (("--data", "world:topic", "--yes", "--weak", "world/nan"), "did you mean"),
        (("study.txt", "--yes"), "name it study.txt.yaml"),
        (("….yaml", "--yes"), "give the file a name of letters"),
    ],
)
def test_init_refuses_what_would_not_plan_and_writes_nothing(face: Face, arguments: tuple[str, ...], said: str) -> None:
    reviews(face)
    (face.folder / "texts.csv").write_text("text,n\none,1\ntwo,2\nthree,3\nfour,4\n", encoding="utf-8")
    assert said in face.w2s("init", *arguments).refusal
    assert [path.name for path in face.folder.iterdir() if path.suffix in (".yaml", ".json", ".txt")] == []


def test_init_asks_three_questions_at_a_terminal(face: Face) -> None:
    reviews(face)
    ours, theirs = pty.openpty()
    asked = subprocess.Popen(
        face.command("init", "asked.yaml"), cwd=face.folder, stdin=theirs, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    os.write(ours, b"reviews.csv\nworld/nano\nworld/micro\n\n")
    out, _ = asked.communicate(timeout=120)
    os.close(ours)
    os.close(theirs)
    assert asked.returncode == 0, out
    assert all(
        question in out for question in ("Which rows?", "Which weak model?", "Which strong model?", "Which methods")
    )
    assert "read as text: text from review, label from stars" in out
    study = load_study(face.folder / "asked.yaml")
    assert study.config.models.strong == "world/micro"
    assert study.config.task.columns == {"text": "review", "label": "stars"}


@pytest.mark.parametrize("parquet", [False, True])
def test_exported_rows_are_labelled_elsewhere_and_come_back_as_a_teacher(face: Face, parquet: bool) -> None:
    """The exported ids are those that a file of labels joins by, and gold is where it was asked for alone."""
    file, end = face.study({"seeds": [0]}), "parquet" if parquet else "jsonl"
    more = ("--parquet",) if parquet else ()
    assert face.w2s("data", "export", file, "--out", "rows", *more).code == 0
    assert face.w2s("data", "export", file, "--out", "gold", "--gold", *more).code == 0
    splits = ("labelled", "heldout", "pool", "test")
    rows = {split: _read(face.folder / "rows" / f"{split}.{end}") for split in splits}
    gold = {split: _read(face.folder / "gold" / f"{split}.{end}") for split in splits}
    assert {split for split in splits if any("label" in row for row in rows[split])} == {"labelled", "heldout"}
    assert [{k: v for k, v in row.items() if k != "label"} for row in gold["pool"]] == rows["pool"]
    facts = json.loads((face.folder / "rows" / "task.json").read_text(encoding="utf-8"))
    assert facts["classes"] == ["0", "1"] and facts["rows"]["pool"] == len(rows["pool"]) == 60

    wrong_on = {row["id"] for row in (*gold["pool"], *gold["test"])[::5]}
    guesses = [
        {"id": row["id"], "label": str(1 - int(row["label"])) if row["id"] in wrong_on else row["label"]}
        for row in (*gold["pool"], *gold["test"])
    ]
    face.rows("guesses.jsonl", guesses)
    ended = face.run({"models.weak": "labels:file:guesses.jsonl", "seeds": [0]})
    assert ended.code == 0, ended.err
    (cell,) = face.results()["cells"]
    assert cell["floor"] == cell["labels"]["accuracy"] == 0.8


def test_export_writes_texts_where_the_order_is_drawn_and_replaces_nothing(face: Face) -> None:
    file = face.study({"task.data": "world:qa", "task.format": "choice"})
    assert face.w2s("data", "export", file, "--out", "rows").code == 0
    assert all(row["label"] in row["choices"] for row in _read(face.folder / "rows" / "labelled.jsonl"))
    assert "labelled.jsonl is there already" in face.w2s("data", "export", file, "--out", "rows").refusal
    assert face.w2s("data", "export", file, "--out", "rows", "--force").code == 0
    two = face.study({"grid": {"task.data": ["world:topic", "world:pref"]}})
    assert "the grid makes 2 tasks" in face.w2s("data", "export", two, "--out", "two").refusal
    chosen = ("--set", "grid={}", "--set", "task.data=world:pref")
    assert face.w2s("data", "export", two, "--out", "two", *chosen).code == 0
    preferred = _read(face.folder / "two" / "labelled.jsonl")
    assert all(row["label"] in (row["first"], row["second"]) for row in preferred)
    assert {row["label"] == row["first"] for row in preferred} == {True, False}


def _read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        return rows
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_errors_counts_shows_and_writes_the_rows_that_went_wrong(finished: Face) -> None:
    ended = finished.w2s("errors", "small")
    assert ended.code == 0, ended.err
    cell, counted, chosen, heading, *rows = ended.out.splitlines()
    assert cell.startswith("naive, world:topic, world/nano -> world/micro, seed 0 (the first of 3; choose with")
    wrong = round((1 - finished.results()["cells"][0]["student"]) * 60)
    assert f"student-wrong: {wrong} rows" in chosen and len(rows) == min(wrong, 20)
    assert heading.split() == ["id", "gold", "teacher", "student", "ceiling", "text"]
    assert counted.startswith("60 test rows: of the teacher's ") and max(map(len, rows)) <= 160

    file = finished.folder / "errors.csv"
    told = finished.w2s("errors", "small", "--where", "all", "--seed", "2", "--csv", str(file), "-n", "1", "--full")
    assert f"60 rows: {file}" in told.out and "seed 2\n" in told.out
    with open(file, encoding="utf-8", newline="") as opened:
        written = list(csv.DictReader(opened))
    predictions = pq.read_table(finished.folder / "runs/small/cells.parquet").to_pandas().set_index("id")
    predictions = predictions[(predictions["seed"] == 2) & (predictions["split"] == "test")]
    assert len(written) == 60
    for row in written:
        assert (int(row["gold"]), int(row["teacher"]), int(row["student"])) == tuple(
            predictions.loc[row["id"], ["gold", "floor_class", "student_class"]]
        )
        assert len(row["text"].split()) > 5
    copied = sum(row["teacher"] == row["student"] != row["gold"] for row in written)
    assert f"the student copied {copied} and" in told.out
    assert sum(line.startswith("text ") for line in told.out.splitlines()) == 1


def test_errors_refuses_in_a_line(finished: Face) -> None:
    assert "did you mean 'copied'" in finished.w2s("errors", "small", "--where", "copyed").refusal
    assert "no such file" in finished.w2s("errors", "smal").refusal
    assert "there are: 0, 1, 2" in finished.w2s("errors", "small", "--seed", "3").refusal
    assert "cannot be written" in finished.w2s("errors", "small", "--csv", "no/such/folder.csv").refusal
    bare = finished.w2s("errors", "small", "--store", str(finished.folder / "elsewhere"))
    assert bare.code == 0 and "ids alone" in bare.out


def test_errors_finds_the_store_that_the_run_names(finished: Face, face: Face) -> None:
    ended = face.w2s("errors", "small", "--runs", str(finished.folder / "runs"))
    assert ended.code == 0 and "ids alone" not in ended.out


def test_errors_of_labels_without_test_rows_compares_with_no_teacher(face: Face) -> None:
    assert face.w2s("data", "export", face.study(), "--out", "rows", "--gold").code == 0
    face.rows("guesses.jsonl", _read(face.folder / "rows" / "pool.jsonl"))
    assert face.run({"models.weak": "labels:file:guesses.jsonl", "seeds": [0]}).code == 0
    assert "the weak labels have none of these rows" in face.w2s("errors", "small").out
    assert "--where copied compares with the teacher" in face.w2s("errors", "small", "--where", "copied").refusal
