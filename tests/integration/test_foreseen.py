"""What `w2s plan` tells of a run before it: rows, lengths, time, and what would fail."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from integration.face import Face
from studies import config

from w2s_ray.config.load import expand
from w2s_ray.core.errors import ConfigError
from w2s_ray.core.resources import Resources
from w2s_ray.engine.store import open_store
from w2s_ray.ops.models import folder_of
from w2s_ray.study.check import check_names
from w2s_ray.study.forecast import forecast

COMMIT = 40 * "a"


@pytest.fixture
def short_sighted(face: Face) -> str:
    """A model that reads rows of few tokens, beside the YAML."""
    folder = Path(shutil.copytree(folder_of("world/nano", Path()), face.folder / "short"))
    read = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(read | {"max_position_embeddings": 12}))
    return "short"


def test_a_plan_shows_rows_classes_lengths_and_what_is_short(face: Face) -> None:
    rows = [{"text": f"word {n} " * (2000 if n == 7 else 2), "label": "no" if n % 3 else "yes"} for n in range(60)]
    task = {"data": face.rows("rows.jsonl", rows), "labelled": 100, "max_chars": 50}
    ended = face.w2s("plan", face.study({"task": task}))
    assert ended.code == 0, ended.err
    head, *lines = (
        line.split() for line in ended.out.splitlines() if re.match("file:rows|labelled|heldout|pool|test", line)
    )
    assert head == ["file:rows.jsonl", "rows", "asked", "for", "cut", "classes"]
    by_split = {split: rest for split, *rest in lines}
    assert by_split.keys() == {"labelled", "heldout", "pool", "test"}
    assert by_split["labelled"][1] == "90"
    assert sum(int(split[0]) for split in by_split.values()) == 60
    cut = {split: int(rest[2 if split in ("labelled", "heldout") else 1]) for split, rest in by_split.items()}
    assert sorted(cut.values()) == [0, 0, 0, 1]
    assert "world/nano: the longest row has " in ended.out and " tokens of the 512 that it reads\n" in ended.out
    assert "estimated" not in ended.out, "an empty store says nothing of time"


def test_rows_that_are_too_long_would_fail_and_are_counted_as_the_run_counts_them(
    face: Face, short_sighted: str
) -> None:
    changes = {"models.strong": short_sighted, "seeds": [0]}
    ended = face.w2s("plan", face.study(changes))
    assert ended.code == 2
    (said,) = [line for line in ended.out.splitlines() if line.startswith("would fail ")]
    found = re.search(
        r"longer than the 12 tokens that short reads \((\d+) of world:topic pool, (\d+) of world:topic", said
    )
    assert found and "set task.max_words" in said
    refused = face.run(changes)
    assert refused.code == 2
    assert f"{found[1]} rows are longer than the 12 tokens" in refused.err
    ended = face.w2s("plan", face.study(changes | {"task.max_words": 4}))
    assert (ended.code, "would fail" in ended.out) == (0, False)


def test_labelled_rows_that_the_strong_model_never_reads_do_not_fail(face: Face, short_sighted: str) -> None:
    long = [{"text": "a " * 30 + str(n), "label": n % 2} for n in range(40)]
    short = [{"text": f"b {n}", "label": n % 2} for n in range(60)]
    task = {"data": face.rows("long.jsonl", long), "pool_data": face.rows("pool.jsonl", short[:30]),
            "test_data": face.rows("test.jsonl", short[30:])}  # fmt: skip
    changes: dict[str, Any] = {"task": task, "models.strong": short_sighted}
    ended = face.w2s("plan", face.study(changes))
    assert ended.code == 0, ended.out
    assert re.search(r"short: the longest row has \d+ tokens of the 12 .*; longer: \d+ of file:long.jsonl ", ended.out)
    assert face.w2s("plan", face.study(changes | {"ceiling_on": "labelled"})).code == 2


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"train": {"strong": {"layer": 9}, "weak": {}}}, "train.strong"),
        ({"methods": [{"type": "probe", "layer": 9}]}, "methods probe"),
        ({"methods": [{"type": "random_subspace", "layers": [-1, 9]}]}, "methods random_subspace"),
        ({"methods": [{"type": "clean_labels", "layer": -9}]}, "methods clean_labels"),
    ],
)
def test_a_layer_that_a_model_lacks_is_refused_before_anything_runs(changes: dict[str, Any], place: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"{place}: layer is -?9, but world/\w+ has the layers 0 \(embeddings\) to \d"
    ):
        check_names(expand(config("naive") | {"task": {"data": "world:topic"}} | changes, Path()))


def test_the_layers_that_a_model_has_are_all_allowed() -> None:
    for layer in (0, -1, "middle", 2, -3):
        probe = {"type": "probe", "layer": layer}
        check_names(expand(config(probe) | {"task": {"data": "world:topic"}}, Path()))


def test_what_this_machine_lacks_would_fail_here_and_not_on_a_cluster(face: Face) -> None:
    study = face.study({"models.strong": f"hub:org/name@{COMMIT}", "resources.weak.gpus": 64})
    here = face.w2s("plan", study)
    assert here.code == 2
    problems = [line for line in here.out.splitlines() if line.startswith("would fail ")]
    assert len(problems) == 2
    assert "resources.weak: world/nano asks for 64 GPU (this machine has" in problems[0]
    assert f"hf download org/name --revision {COMMIT}" in problems[1]
    there = face.w2s("plan", study, "--address", "auto")
    assert (there.code, "would fail" in there.out) == (0, False)


def test_the_time_is_that_of_like_steps_scaled_by_rows_and_epochs(finished: Face) -> None:
    again = finished.w2s("plan", "study.yaml")
    assert "estimated" not in again.out, "nothing would run"
    more = finished.w2s("plan", "study.yaml", "--set", "train.weak.lr=5e-3", "--set", "train.weak.epochs=3")
    (said,) = [line for line in more.out.splitlines() if line.startswith("estimated: ")]
    assert "CPU-minutes for all 6 fits and readings, by 9 like ones in this store" in said
    none = finished.w2s("plan", "study.yaml", "--set", "train.weak.batch=8")
    assert "for 3 of the 6 fits and readings, by 6 like ones" in none.out


def test_the_forecast_is_linear_in_the_rows(finished: Face) -> None:
    """Three times the epochs take about three times the fit, and what asks for other devices is like none."""
    store = open_store(str(finished.store))
    records = [record for key in store.finished("train") if (record := store.record(key)) is not None]
    one = min(records, key=lambda record: record.key)
    base = _submission(one, {}, Resources())
    more = _submission(one, {"epochs": 3, "lr": 0.5}, Resources())
    once, thrice = (forecast(store, [each]).seconds["CPU"] for each in (base, more))
    assert once < thrice < 3 * once + 1e-9
    assert forecast(store, [_submission(one, {}, Resources(cpus=2))]).known == 0
    assert forecast(store, [_submission(one, {"adapt": "lora"}, Resources())]).known == 0


def _submission(record: Any, recipe: dict[str, Any], resources: Resources) -> Any:
    from w2s_ray.engine.fingerprint import Key
    from w2s_ray.engine.handle import Submission

    params = record.params | {"recipe": record.params["recipe"] | recipe}
    return Submission(Key.parse(record.key), params, record.inputs, record.version, False, resources)
