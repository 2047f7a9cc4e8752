"""`w2s status` and `w2s why` on stores and run folders that are made by hand."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from w2s_ray.cli.plan import print_plan
from w2s_ray.cli.say import say
from w2s_ray.cli.status import FAILURES, print_status
from w2s_ray.cli.terminal import err, out
from w2s_ray.cli.why import explain
from w2s_ray.config.load import expand
from w2s_ray.engine.execute import put_content
from w2s_ray.engine.fingerprint import Key, make_key
from w2s_ray.engine.lease import Holder, Leases
from w2s_ray.engine.record import Failure, Record, key_names
from w2s_ray.engine.store import open_store
from w2s_ray.study.plan import Plan

KEY, OTHER = (Key("train", "m", two * 32) for two in ("ab", "cd"))
DEAD = Holder("0" * 32, Holder.me().machine, 2**22 + 1, "1")  # no process has this id


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


def status(store_url: str, runs: Path) -> list[str]:
    console = Console(file=io.StringIO(), width=110, color_system=None)
    print_status(console, store_url, str(runs))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def ago(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - seconds))


def results(name: str) -> str:
    """Of a study of one cell that ended well."""
    numbers = {"floor": 0.6, "student": 0.7, "ceiling": 0.8, "pgr": 0.5, "num_test": 10}
    cell = {
        "method": "naive",
        "task": "t",
        "weak": "w",
        "strong": "s",
        "seed": 0,
        "status": "ok",
        "keys": {},
        **numbers,
    }
    head = {"schema": 1, "name": name, "hypothesis": "", "config_digest": "d", "seconds": 12.34, "summary": []}
    return json.dumps({**head, "cells": [cell], "steps": {"executed": 7, "reused": 21, "failed": 0}})


@pytest.mark.parametrize("data", ["", "{", "[]", "3", '{"cells": 3}', '{"cells": []}', '{"cells": [1]}', "[" * 9999])
def test_results_that_cannot_be_read_are_named_and_the_others_shown(store_url: str, runs: Path, data: str) -> None:
    for name, text in (("sound", results("sound")), ("bad", data)):
        (runs / name).mkdir()
        (runs / name / "results.json").write_text(text)
    lines = status(store_url, runs)
    assert lines[0] == f"{runs}/bad/results.json cannot be read; `w2s run` of its study writes it again"
    assert lines[-1].split() == ["sound", "1", "1", "7", "21", "12.3"]


def test_a_lease_of_who_works_is_told_from_one_of_who_is_dead(store_url: str, runs: Path) -> None:
    store = open_store(store_url)
    living = Leases(store)
    assert living.acquire(KEY) is None
    store.write(f"leases/{OTHER.digest}.0", DEAD.dumps(key=OTHER.full))
    store.write(f"drivers/{DEAD.driver}", DEAD.dumps(count=3))
    store.write("leases/unreadable.0", b"")
    lines = [line for line in status(store_url, runs) if "(process" in line]
    living.close()
    assert [line.partition(" (process")[0] for line in lines] == [
        f"working: {KEY}", f"dead: the next run takes over: {OTHER}", "dead: the next run takes over: unreadable.0"
    ]  # fmt: skip


def test_the_latest_failures_come_first_and_no_more_than_a_screen_of_them(store_url: str, runs: Path) -> None:
    store = open_store(store_url)
    for minutes in range(FAILURES + 5):
        key = Key("train", f"m{minutes}", f"{minutes:064x}")
        store.fail(key, Failure(key.full, "a1", "d", f"it is bad {minutes}", "T", made_at=ago(60 * minutes + 10)))
    lines = [line for line in status(store_url, runs) if line.startswith("failed")]
    assert lines == [f"failed {n} min ago: train/m{n}-{0:012x}: it is bad {n}" for n in range(FAILURES)]


MARKED = "no [text, label] in [/INST] :100: [bold]x"  # to rich: markup, a tag that nothing opened, an emoji


def test_an_error_is_shown_letter_by_letter(store_url: str, runs: Path) -> None:
    open_store(store_url).fail(KEY, Failure(KEY.full, "a1", "d", MARKED, "T", made_at=ago(60)))
    (line,) = [line for line in status(store_url, runs) if line.startswith("failed")]
    assert line == f"failed 1 min ago: {KEY}: {MARKED}"


def test_what_a_plan_says_is_shown_letter_by_letter() -> None:
    raw = {"task": {"data": "world:topic"}, "models": {"weak": "world/nano", "strong": "world/micro"}}
    plan = Plan(expand({"name": "x", "methods": ["naive"], **raw}, Path()), no_rows=MARKED)
    console = Console(file=io.StringIO(), width=200, color_system=None)
    print_plan(console, plan, show_keys=False)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines[1] == f"the rows are not at hand, so the steps cannot be counted: {MARKED}"


@pytest.mark.parametrize("console", [out, err])
def test_the_commands_print_any_text_letter_by_letter(console: Console) -> None:
    assert console.render_str(MARKED).plain == MARKED


def test_a_table_is_shown_letter_by_letter_too() -> None:
    console = Console(file=io.StringIO(), width=200, color_system=None)
    table = Table("[/INST]", box=None)
    table.add_row("[text, label]")
    say(console, table)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [line.strip() for line in lines] == ["[/INST]", "[text, label]"]


def test_a_failure_that_was_made_good_or_cannot_be_read_is_not_shown(store_url: str, runs: Path) -> None:
    store = open_store(store_url)
    for key in (KEY, OTHER):
        store.fail(key, Failure(key.full, "a1", "d", "it is bad", "T", made_at=ago(-60)))
    data = store.read(f"{KEY.path}/failure.json") or b""
    store.commit(KEY, Record(KEY.full, "train", 1, {}, {}, "a1", {}, {}))
    store.write(f"{KEY.path}/failure.json", data)
    store.write("train/x-000000000000/failure.json", data[:-9])
    store.write("train/y-000000000000/failure.json", b"")
    lines = [line for line in status(store_url, runs) if line.startswith("failed")]
    assert lines == [f"failed 0 min ago: {OTHER}: it is bad"], "also where another machine's clock is ahead"


def test_status_looks_and_changes_nothing(store_url: str, runs: Path) -> None:
    store = open_store(store_url)
    put_content(store, KEY, 1, {}, lambda folder: None)
    store.fail(OTHER, Failure(OTHER.full, "a1", "d", "bad", "T"))
    store.write(f"leases/{OTHER.digest}.0", DEAD.dumps(key=OTHER.full))
    before = {path: path.stat().st_mtime_ns for path in Path(store_url).rglob("*")}
    status(store_url, runs)
    assert {path: path.stat().st_mtime_ns for path in Path(store_url).rglob("*")} == before


# --- why ---


def recorded(store_url: str, params: dict[str, Any], step: str = "train", **inputs: Any) -> Key:
    key = make_key(step, 1, "m", params, inputs)
    store = open_store(store_url)
    store.commit(
        key, Record(key.full, step, 1, params, key_names(inputs), "a1", {}, {}, made_at="2026-01-02T03:04:05Z")
    )
    return key


def planned(runs: Path, params: dict[str, Any], name: str = "x", **inputs: Any) -> Key:
    key = make_key("train", 1, "m", params, inputs)
    (runs / name).mkdir()
    plan = {key.full: {"params": params, "inputs": key_names(inputs), "version": 1, "there": False}}
    (runs / name / "plan.json").write_text(json.dumps(plan))
    return key


def test_the_nearest_of_the_others_is_the_one_with_the_fewest_other_fields(store_url: str, runs: Path) -> None:
    recorded(store_url, {"lr": 5, "epochs": 9, "seed": 9})
    near = recorded(store_url, {"lr": 1, "epochs": 2, "seed": 0})
    key = planned(runs, {"lr": 1, "epochs": 3, "clip": 0.5})
    assert explain(key.full, store_url, runs).splitlines() == [
        f"{key} is not recorded in {store_url}.",
        f"The nearest of 2 other train steps is {near}, made 2026-01-02T03:04:05Z; it differs in:",
        "  params.epochs: 2 there, 3 here",
        "  params.seed: 0 there, (absent) here",
        "  params.clip: (absent) there, 0.5 here",
    ]


def test_of_another_input_it_is_said_what_made_it_another_one(store_url: str, runs: Path) -> None:
    rows = [recorded(store_url, {"rows": 10, "seed": seed}, step="dataset") for seed in (0, 1)]
    near = recorded(store_url, {"lr": 1}, data=rows[0])
    key = planned(runs, {"lr": 1}, data=rows[1])
    lines = explain(key.full, store_url, runs).splitlines()
    assert str(near) in lines[1]
    assert lines[2:] == [
        f"  inputs.data: {rows[0]} there, {rows[1]} here", "    inputs.data: its params.seed is 0 there, 1 here"
    ]  # fmt: skip


@pytest.mark.parametrize("text", [f"{'long ' * 20}and/or: {{text}}", f"hub:org/name@{'a' * 60}", "x/y-" + "0" * 63])
def test_a_text_that_is_no_key_is_told_as_it_is(store_url: str, runs: Path, text: str) -> None:
    recorded(store_url, {"prompt": text})
    key = planned(runs, {"prompt": "{text}"})
    assert explain(key.full, store_url, runs).splitlines()[2:] == [f"  params.prompt: {text!r} there, '{{text}}' here"]


@pytest.mark.parametrize("form", ["full", "path", "part"])
def test_a_key_may_be_told_in_full_by_its_path_or_by_a_part_that_no_other_has(
    store_url: str, runs: Path, form: str
) -> None:
    key, _ = recorded(store_url, {"lr": 1}), recorded(store_url, {"lr": 2})
    text = {"full": key.full, "path": str(key), "part": key.digest[3:12]}[form]
    assert explain(text, store_url, runs).startswith(f"{key} is recorded in {store_url}.")
