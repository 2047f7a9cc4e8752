"""Mistakes in the input: exit code 2 and one line that names the key, the value and the remedy. Each case states what
its line must hold."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from integration.face import Face

from w2s_ray.core.errors import AlignmentError, ConfigError, DataError
from w2s_ray.core.labels import LabelSet
from w2s_ray.core.plugins import available

ROWS = [{"text": f"word{i} alpha beta", "label": i % 2, "name": f"row {i}"} for i in range(60)]
FILE = {"task.labelled": ..., "task.pool": ..., "task.test": ...}

CONFIG: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "misspelt key": ({"taks": 1}, ("taks is not a known key", "did you mean 'task'")),
    "misspelt key of the task": ({"task.datas": 1}, ("task.datas is not a known key", "'data'", "max_words")),
    "wrong case": ({"train.strong.LR": 1e-3}, ("train.strong.LR", "'lr'")),
    "misspelt role": ({"train.strng": {}}, ("train.strng", "'strong'")),
    "misspelt key of adapters": ({"train.strong.lora": {"rnk": 4}}, ("train.strong.lora.rnk", "'rank'")),
    "misspelt resource": ({"resources": {"strong": {"gpu": 1}}}, ("resources.strong.gpu", "'gpus'")),
    "unknown method": ({"methods": ["naiv"]}, ("methods.0", "unknown method 'naiv'", "'naive'")),
    "method without type": ({"methods": [{"name": "x"}]}, ("methods.0", "no `type`", "naive")),
    "method that is a number": ({"methods": [3]}, ("methods.0", "3 is not a method", "name")),
    "unknown parameter of a method": ({"methods": [{"type": "naive", "los": "xent"}]}, ("methods.0.los", "'loss'")),
    "unknown loss": ({"train.strong.loss": "xentt"}, ("train.strong.loss", "unknown loss 'xentt'", "'xent'")),
    "unknown loss of a method": (
        {"methods": [{"type": "naive", "loss": "logcon"}]},
        ("methods.0.loss", "unknown loss 'logcon'", "'logconf'"),
    ),
    "unknown key of a loss": (
        {"train.strong.loss": {"type": "logconf", "axu": 1}},
        ("train.strong.loss.axu", "'aux'", "warmup"),
    ),
    "unknown key of a method's loss": (
        {"methods": [{"type": "naive", "loss": {"type": "logconf", "axu": 1}}]},
        ("methods.0.loss.axu", "'aux'"),
    ),
    "parameter of a loss out of range": (
        {"train.strong.loss": {"type": "logconf", "aux": 2}},
        ("train.strong.loss.aux is 2", "at most 1"),
    ),
    "unknown format": ({"task.format": "txt"}, ("task.format", "'txt'", "'text'")),
    "missing key": ({"models.strong": ...}, ("models.strong is missing",)),
    "number for text": ({"models.weak": 3}, ("models.weak is 3", "must be text", "quotes")),
    "text for number": ({"train.strong.lr": "fast"}, ("train.strong.lr is 'fast'", "must be a number")),
    "fraction for whole number": ({"train.strong.epochs": 1.5}, ("train.strong.epochs is 1.5", "whole number")),
    "nothing for a mapping": ({"train.strong": None}, ("train.strong is empty", "mapping")),
    "text for a list": ({"methods": "naive"}, ("methods is 'naive'", "must be a list")),
    "no methods": ({"methods": []}, ("methods is []", "1 or more")),
    "entry of a wrong type": ({"seeds": [0, "a"]}, ("seeds.1 is 'a'", "whole number")),
    "lr of zero": ({"train.strong.lr": 0}, ("train.strong.lr is 0", "above 0")),
    "lr below zero": ({"train.weak.lr": -1.0}, ("train.weak.lr is -1.0", "above 0")),
    "lr that is no number": ({"train.strong.lr": math.nan}, ("train.strong.lr is nan", "finite")),
    "infinite lr": ({"train.strong.lr": math.inf}, ("train.strong.lr is inf", "finite")),
    "batch of zero": ({"train.strong.batch": 0}, ("train.strong.batch is 0", "at least 1")),
    "one beta": ({"train.strong.betas": [0.9]}, ("train.strong.betas is [0.9]", "too few")),
    "unknown precision": ({"train.strong.precision": "bf61"}, ("train.strong.precision is 'bf61'", "'bf16'")),
    "probe with a loss": (
        {"train.strong.adapt": "probe", "methods": [{"type": "naive", "loss": "logconf"}]},
        ("logconf", "adapt: probe", "drop the loss"),
    ),
    "no resources": ({"resources": {"strong": {"cpus": 0}}}, ("resources.strong", "cpus is 0", "above 0")),
    "resources of a wrong type": (
        {"resources": {"strong": {"gpus": "many"}}},
        ("resources.strong.gpus is 'many'", "number"),
    ),
    "no workers": ({"resources": {"strong": {"workers": 0}}}, ("resources.strong", "workers is 0", "[fewest, most]")),
    "workers the wrong way round": (
        {"resources": {"strong": {"workers": [4, 2]}}},
        ("resources.strong", "workers is (4, 2)", "[fewest, most]"),
    ),
    "workers of a wrong type": (
        {"resources": {"strong": {"workers": "many"}}},
        ("resources.strong.workers is 'many'", "whole number or must be a list"),
    ),
    "a stage that is none": (
        {"resources": {"strong": {"zero": 4}}},
        ("resources.strong.zero is 4", "'auto', 0, 1, 2 or 3"),
    ),
    "weights offloaded but not spread": (
        {"resources": {"strong": {"offload": "params", "zero": 1}}},
        ("offload is params", "zero: 3"),
    ),
    "a GPU's memory without a GPU": (
        {"resources": {"strong": {"gpu_gb": 80, "gpus": 0}}},
        ("gpu_gb is 80", "gpus is 0", "set gpus: 1"),
    ),
    "a seed twice": ({"seeds": [0, 0]}, ("seeds", "[0, 0]", "twice")),
    "a method's name twice": (
        {"methods": ["naive", {"type": "naive", "loss": "logconf"}]},
        ("methods", "twice", "`name:`"),
    ),
    "name of 300 letters": ({"name": "a" * 300}, ("name", "300 letters", "may have 100")),
    "too many seeds": ({"seeds": list(range(20_001))}, ("20,001 cells", "may have 20,000", "`seeds`")),
    "too large a grid": (
        {
            "grid": {
                f"train.{role}.{field}": [n + 1 for n in range(100)]
                for role in ("weak", "strong")
                for field in ("epochs", "batch")
            }
        },
        ("300,000,000 cells", "may have 20,000", "`grid`"),
    ),
    "too long a grid": (
        {"grid": {"train.strong.epochs": list(range(1, 30_000))}},
        ("grid", "89,997 cells", "shorten"),
    ),
    "name that is no folder": ({"name": "a/b"}, ("name", "'a/b'", "folder")),
    "shares": ({"task.shares": [0.5, 0.5, 0.5]}, ("shares", "[0.5, 0.5, 0.5]", "sum to 1")),
    "grid: bad key": ({"grid": {"models.strng": ["world/nano"]}}, ("models.strng", "'strong'", "grid point")),
    "grid: bad value": (
        {"grid": {"train.strong.lr": [1e-3, -1]}},
        ("train.strong.lr is -1", "grid point train.strong.lr=-1"),
    ),
    "grid: no values": ({"grid": {"train.strong.lr": []}}, ("grid", "'train.strong.lr' has no values", "drop the key")),
    "grid: one value": ({"grid": {"train.strong.lr": 1e-3}}, ("grid.train.strong.lr is 0.001", "must be a list")),
    "grid: a value twice": (
        {"grid": {"train.strong.lr": [1e-3, 1e-3]}},
        ("'train.strong.lr' lists 0.001 twice", "keep one"),
    ),
    "grid: what cannot vary": ({"grid": {"seeds": [[0], [1]]}}, ("'seeds' cannot vary", "train")),
    "grid: misspelt section": ({"grid": {"trian.strong.lr": [1e-3]}}, ("'trian.strong.lr'", "'train'")),
    "grid: no such method": ({"grid": {"methods.3.loss": ["xent"]}}, ("methods.3", "not an index of a list of 1")),
    "grid: a model that is not there": (
        {"grid": {"models.strong": ["world/micro", "world/smal"]}},
        ("'world/smal'", "'small'"),
    ),
    "unknown world": ({"task.data": "world:topik"}, ("task.data", "'world:topik'", "'world:topic'")),
    "unknown kind of source": ({"task.data": "wrld:topic"}, ("task.data", "'wrld:topic'", "world:TASK")),
    "unknown knob": (
        {"task.data": "world:topic?overlp=0.1"},
        ("task.data: world:topic?overlp=0.1", "overlp is not a known key", "'overlap'", "hard"),
    ),
    "knob of another task": (
        {"task.data": "world:topic?domain=rare"},
        ("task.data", "domain is not a known key", "hard_share"),
    ),
    "knob without a value": (
        {"task.data": "world:topic?overlap"},
        ("task.data", "'overlap' where a knob belongs", "world:topic?overlap=VALUE"),
    ),
    "knob with nothing after its sign": (
        {"task.data": "world:topic?overlap="},
        ("task.data", "overlap is empty", "number"),
    ),
    "knob with a value that is not YAML": (
        {"task.data": "world:topic?overlap=["},
        ("task.data", "world:topic?overlap=["),
    ),
    "knob twice": ({"task.data": "world:topic?overlap=0.1&overlap=0.2"}, ("task.data", "overlap", "twice")),
    "knob of a wrong type": ({"task.data": "world:topic?words=many"}, ("task.data", "words is 'many'", "whole number")),
    "knob out of range": ({"task.data": "world:topic?overlap=2"}, ("task.data", "overlap is 2", "at most 1")),
    "knob that is no choice": (
        {"task.data": "world:shift?domain=hom"},
        ("task.data", "domain is 'hom'", "'home'", "'rare'"),
    ),
    "knobs: shares beyond all": (
        {"task.data": "world:topic?hard=0.8"},
        ("task.data", "hard (0.8)", "overlap (0.35)", "at most 1"),
    ),
    "knobs: more signal than words": (
        {"task.data": "world:topic?signal=9"},
        ("task.data", "signal is 9", "raise words"),
    ),
    "knobs: a share that holds no word": (
        {"task.data": "world:topic?hard_share=[0,0.001]"},
        ("task.data", "hard_share", "0.001"),
    ),
    "knobs: one source": (
        {"task.data": "world:sources?overlaps=[0.1]"},
        ("task.data", "overlaps", "two shares or more"),
    ),
    "unknown world of the test rows": (
        {"task.test_data": "world:topik"},
        ("task.test_data", "'world:topik'", "'world:topic'"),
    ),
    "bad knob of the pool rows": (
        {"task.pool_data": "world:topic?overlp=1"},
        ("task.pool_data: world:topic?overlp=1", "'overlap'"),
    ),
    "file without its scheme": ({"task.data": "rows.jsonl"}, ("task.data", "'file:rows.jsonl'")),
    "no such file": (
        {"task.data": "file:rwos.jsonl"},
        ("task.data", "rwos.jsonl", "'rows.jsonl'", "folder of the study"),
    ),
    "unknown file type": ({"task.data": "file:rows.json"}, ("task.data", "'.json'", "'.jsonl'")),
    "no such test file": ({"task.test_data": "file:tset.jsonl"}, ("task.test_data", "tset.jsonl")),
    "dataset without a revision": (
        {"task.data": "hub:org/name"},
        ("task.data: hub:org/name has no commit", "HF_HUB_OFFLINE is set", "hub:org/name@COMMIT"),
    ),
    "dataset at a branch": ({"task.data": "hub:org/name@main"}, ("task.data: hub:org/name has no commit", "40 digits")),
    "unknown world model": ({"models.strong": "world/mega"}, ("models", "'world/mega'", "world/small")),
    "model without a revision": (
        {"models.strong": "hub:org/name"},
        ("models: hub:org/name has no commit", "HF_HUB_OFFLINE is set", "hub:org/name@COMMIT"),
    ),
    "no model folder": ({"models.strong": "./nope"}, ("models", "'./nope'", "config.json", "world/NAME")),
    "model in a package that is not there": (
        {"models.strong": "package:nope/model"},
        ("'package:nope/model'", "'nope'", "pip install"),
    ),
    "model folder of a package that has none": ({"models.strong": "package:json"}, ("'package:json'", "config.json")),
}

DATA: dict[str, tuple[list[dict[str, Any]], dict[str, Any], tuple[str, ...]]] = {
    "unknown column": (ROWS, {"task.columns": {"text": "txet"}}, ("task.columns", "'txet'", "'text'", "label")),
    "unknown column of the format": (ROWS, {"task.columns": {"txt": "text"}}, ("task.columns", "'txt'", "'text'")),
    "column that the file lacks": (
        [{"txt": "a", "label": 0}],
        {},
        ("'text'", "rows.jsonl", "columns: {text: ONE_OF_THEM}"),
    ),
    "label outside the classes": (ROWS, {"task.classes": ["0", "2"]}, ("row 2", "label '1'", "['0', '2']")),
    "one class": ([{**row, "label": 1} for row in ROWS], {}, ("one-class", "'1'", "two classes")),
    "one-class split": (ROWS[:3], {}, ("one-class split", "more rows")),
    "probability for a class": ([{**row, "label": 0.3} for row in ROWS], {}, ("'label'", "'0.3'", "one class")),
    "empty text": ([*ROWS, {"text": " ", "label": 1}], {}, ("rows.jsonl row 61", "'text'", "empty")),
    "missing label": ([*ROWS, {"text": "a"}], {}, ("row 61", "'label'")),
    "duplicate ids": (
        [{**row, "name": "same"} for row in ROWS],
        {"task.columns": {"id": "name"}},
        ("id 'same'", "unique", "task.columns"),
    ),
    "test rows among train rows": (
        ROWS,
        {"task.test_data": "file:rows.jsonl"},
        ("60 train rows", "test rows", "task.overlap: drop"),
    ),
    "no rows": ([], {}, ("rows.jsonl has no rows",)),
}

TEXT = {
    "key twice": ("name: a\nname: b\n", ("'name' stands twice", "line 2")),
    "nested key twice": ("task: {data: a, data: b}\n", ("'data' stands twice",)),
    "not YAML": ("task: [\n", ("not YAML", "line 2")),
    "a list": ("- a\n", ("holds a list", "name, task")),
    "nothing": ("", ("is empty", "name, task")),
    "a mapping as a key": ("{{a: 1}: 2}\n", ("line 1", "a key must be a word")),
    "code": ("a: !!python/object:os.system x\n", ("not YAML", "constructor")),
    "extends what is not there": ("extends: none.yaml\n", ("extends", "none.yaml: no such file")),
    "aliases in aliases": (
        "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1]\n"
        + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 8)}]\n" for n in range(1, 12)),
        ("200,000", "aliases"),
    ),
    "an alias in itself": ("a: &a [*a]\n", ("line 1", "stands in what it names")),
    "merges in merges": (
        "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 8)}]}}\n" for n in range(1, 12)),
        ("200,000",),
    ),
    "900 lists deep": ("a: " + "[" * 900 + "]" * 900, ("50 lists and mappings deep",)),
    "60 lists deep": ("a: " + "[" * 60 + "]" * 60, ("50 lists and mappings deep",)),
    "an integer of 5,000 digits": ("a: " + "9" * 5000, ("cannot be read", "quotes")),
    "a thirteenth month": ("a: 2026-13-01", ("cannot be read", "quotes")),
    "extends two files": ("extends: [a, b]\n", ("extends is ['a', 'b']", "one file name")),
}

SETS = {
    "no value": ("train.strong.lr", ("'train.strong.lr' has no '='", "key.subkey=value")),
    "no key": ("=3", ("'' is not a key", "train.strong.lr")),
    "an empty part": ("train..lr=3", ("'train..lr' is not a key",)),
    "a value that is not YAML": ("train.strong.lr=[", ("--set 'train.strong.lr=['", "column 2")),
    "an empty value": ("train.strong.lr=", ("train.strong.lr is empty", "number")),
    "a part of text": ("models.strong.x=1", ("models.strong is 'world/micro'", "no parts")),
    "a part of a number": ("seeds.0.x=1", ("seeds.0 is 0", "no parts")),
    "an index beyond the list": ("seeds.9=1", ("'9' is not an index of a list of 3",)),
    "a number beyond all": ("train.strong.lr=1e400", ("train.strong.lr is inf", "finite")),
    "an unknown key": ("nope=1", ("nope is not a known key",)),
}


@pytest.mark.parametrize("case", CONFIG)
def test_a_config_is_refused(face: Face, case: str) -> None:
    face.rows("rows.jsonl", ROWS)
    changes, must_hold = CONFIG[case]
    refusal = face.run(changes).refusal
    assert all(part in refusal for part in must_hold), refusal


@pytest.mark.parametrize("case", DATA)
def test_rows_are_refused(face: Face, case: str) -> None:
    rows, changes, must_hold = DATA[case]
    refusal = face.run({**FILE, "task.data": face.rows("rows.jsonl", rows), **changes}).refusal
    assert all(part in refusal for part in must_hold), refusal
    assert not (face.store / "train").exists(), "something was trained before the rows were found wrong"


@pytest.mark.parametrize("case", TEXT)
def test_a_file_is_refused(face: Face, case: str) -> None:
    text, must_hold = TEXT[case]
    (face.folder / "study.yaml").write_text(text, encoding="utf-8")
    refusal = face.w2s("run", "study.yaml", "--local").refusal
    assert all(part in refusal for part in ("study.yaml", *must_hold)), refusal


@pytest.mark.parametrize("case", SETS)
def test_an_override_is_refused(face: Face, case: str) -> None:
    override, must_hold = SETS[case]
    refusal = face.run({}, "--set", override).refusal
    assert all(part in refusal for part in must_hold), refusal


@pytest.mark.parametrize("group", ["w2s_ray.methods", "w2s_ray.losses"])
def test_every_plugin_names_its_keys(face: Face, group: str) -> None:
    for name in available(group):
        plugin = {"type": name, "no_such_key": 1}
        refusal = face.run(
            {"methods": [plugin if group == "w2s_ray.methods" else {"type": "naive", "loss": plugin}]}
        ).refusal
        assert "no_such_key is not a known key" in refusal
        assert all(key in refusal for key in available(group)[name].model_fields)


def test_every_mistake_is_named_but_at_most_three(face: Face) -> None:
    refusal = face.run({"seeds": ["a"], "name": "a b", "gap_se": -1, "train.weak.lr": 0}).refusal
    assert refusal.count("; it must be") + refusal.count("it names a folder") == 3, refusal


@pytest.mark.parametrize("name", ["nope.yaml", "folder"])
def test_a_study_that_is_no_file(face: Face, name: str) -> None:
    (face.folder / "folder").mkdir()
    assert name in face.w2s("run", name, "--local").refusal


def test_text_that_is_not_utf8(face: Face) -> None:
    (face.folder / "rows.jsonl").write_bytes(json.dumps(ROWS[0]).encode() + b'\n{"text":"caf\xe9","label":1}\n')
    assert (
        "rows.jsonl line 2 is not UTF-8 (byte 13 of the line is 0xe9)"
        in face.run({**FILE, "task.data": "file:rows.jsonl"}).refusal
    )
    (face.folder / "study.yaml").write_bytes(b"name: caf\xe9\n")
    assert "study.yaml: byte 9 is not UTF-8" in face.w2s("run", "study.yaml", "--local").refusal


@pytest.mark.parametrize(
    "command", [("run", "study.yaml", "--local"), ("plan", "study.yaml"), ("status",), ("why", "x")]
)
@pytest.mark.parametrize("store", ["store", "~/store", "./store"])
def test_a_store_that_is_not_absolute(face: Face, command: tuple[str, ...], store: str) -> None:
    face.study()
    refusal = face.w2s(*command, "--store", store).refusal
    assert repr(store) in refusal
    assert "absolute path" in refusal


def test_a_store_that_cannot_be_written(face: Face) -> None:
    (face.folder / "taken").write_text("")
    ended = face.run({}, "--store", str(face.folder / "taken"))
    assert ended.code == 1
    assert ended.err.startswith("w2s: the store ")
    assert "give another one with --store" in ended.err
    assert "Traceback" not in ended.err


def test_a_weak_model_that_is_larger_is_a_warning(face: Face) -> None:
    ended = face.run({"models.weak": "world/mini", "seeds": [0]})
    assert ended.code == 0
    warnings = [line for line in ended.err.splitlines() if line.startswith("warning ")]
    assert len(warnings) == 2, "one on the models, one on the single seed"
    assert "weak world/mini" in warnings[0]
    assert "strong world/micro" in warnings[0]


def test_more_gpus_than_there_are_without_ray(face: Face) -> None:
    ended = face.run({"resources": {"strong": {"gpus": 8}}})
    last = ended.err.splitlines()[-1]
    assert ended.code == 2
    assert last.startswith("w2s: resources.gpus is 8")
    assert "Traceback" not in ended.err


def test_more_gpus_than_there_are_before_a_local_ray_starts(face: Face) -> None:
    face.study({"resources": {"strong": {"gpus": 8}}})
    ended = face.process("run", "study.yaml")
    last = ended.err.splitlines()[-1]
    assert ended.code == 2
    assert last.startswith("w2s: ")
    assert "resources.strong" in last
    assert "8 GPU (this machine has 0)" in last
    assert not (face.store / "train").exists()
    assert "`resources`" in last
    assert "Traceback" not in ended.err


def test_bf16_on_a_device_without_it(face: Face) -> None:
    face.study({"train.strong.precision": "bf16"})
    ended = face.process("run", "study.yaml", "--local", env={"ONEDNN_MAX_CPU_ISA": "AVX2"})
    last = ended.err.splitlines()[-1]
    assert ended.code == 2, ended.err
    assert last.startswith("w2s: train.precision is bf16")
    assert "set train.precision: fp32" in last
    assert "Traceback" not in ended.err


def test_the_entry_point_in_a_process_of_its_own(face: Face) -> None:
    face.study({"train.strong.lr": 0, "grid": {}})
    refusal = face.process("run", "study.yaml").refusal
    assert "train.strong.lr is 0" in refusal


SOFT = (["a", "b"], [[0.5, 0.5], [0.9, 0.3]])


def test_soft_labels_that_are_no_distribution() -> None:
    with pytest.raises(DataError, match=r"sum to 1; 1 rows do not, the first is id 'b' with \[0.9, 0.3\]"):
        LabelSet.of(*SOFT)


def test_labels_of_other_rows() -> None:
    labels = LabelSet.hard(["a", "b"], np.array([0, 1]), 2)
    with pytest.raises(AlignmentError, match=r"1 of 2 ids are not among the 2 at hand, the first is 'c'"):
        labels.align(["a", "c"])


def test_an_unknown_plugin_is_a_config_error() -> None:
    from w2s_ray.core.plugins import find

    with pytest.raises(ConfigError, match="unknown format 'txt'"):
        find("w2s_ray.formats", "txt")


@pytest.fixture(autouse=True)
def _no_fit_leaves_threads() -> Iterator[None]:
    """Refused runs end their threads: the next test starts with none of theirs."""
    import threading

    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=30)
        assert not thread.is_alive(), thread.name
