"""One suite for every method of the registry: deterministic, resumable at every step boundary, blind to gold, aligned
by id."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest
from studies import config, run, run_and_die, splits_of, write_rows

from w2s_ray.core.errors import ConfigError
from w2s_ray.core.plugins import available

# Where the defaults are too many for a test, or something must be named.
PARAMETERS: dict[str, dict[str, Any]] = {
    "bagging": {"members": 2, "combine": "weighted"},
    "random_subspace": {"members": 2},
    "model_mix": {"models": ["world/nano", "world/micro"]},
    "boosting": {"members": 2},
    "gradient_boosting": {"members": 2},
    "bootstrap": {"ladder": ["world/nano"]},
    "strong_to_strong": {"iterations": 1},
    "probe_then_finetune": {"hands_on": "head"},
    "clean_labels": {"what": "filter", "by": {"type": "topofilter", "k_cc": 8, "k_zeta": 8}},
    "early_stop": {"check": {"every": 3}},
}
# As they are here: what they make changes with the gold that no other method sees.
ORACLES = {"early_stop", "gold_filter"}
METHODS = sorted(available("w2s_ray.methods"))
# One of each shape of graph is killed in every run of the tests, the others in the slow ones.
KILLED_OFTEN = ("naive", "bootstrap", "boosting", "clean_labels", "early_stop", "probe", "model_mix")
LOSSES = sorted(available("w2s_ray.losses"))


@pytest.fixture(params=METHODS)
def raw(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Members one by one: in a stack their last digits depend on who is in it (tests/integration/test_ensembles.py)."""
    return config({"type": request.param, **PARAMETERS.get(request.param, {})}, resources={"weak": {"fuse": False}})


@pytest.fixture(scope="module")
def killer() -> multiprocessing.context.ForkServerContext:
    """Starts processes that have imported the heavy packages already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["warm"])
    return context


def test_two_runs_agree_and_a_third_runs_nothing(raw: dict[str, Any], tmp_path: Path) -> None:
    write_rows(tmp_path)
    first, second = (run(raw, tmp_path, str(tmp_path / name)) for name in ("one", "two"))
    assert first.labels == second.labels
    assert first.students == second.students
    assert sorted(first.executed) == sorted(second.executed)
    third = run(raw, tmp_path, str(tmp_path / "one"))
    assert third.executed == []
    assert (third.labels, third.students, third.scores) == (first.labels, first.students, first.scores)


@pytest.mark.parametrize(
    "raw",
    [pytest.param(name, marks=[] if name in KILLED_OFTEN else [pytest.mark.slow]) for name in METHODS],
    indirect=True,
)
def test_killed_at_every_step_boundary_it_ends_the_same(
    raw: dict[str, Any], tmp_path: Path, killer: multiprocessing.context.ForkServerContext
) -> None:
    write_rows(tmp_path)
    undisturbed = run(raw, tmp_path, str(tmp_path / "undisturbed"))
    store, notes = str(tmp_path / "store"), tmp_path / "starts"
    kills = 0
    while True:
        process = killer.Process(target=run_and_die, args=(raw, tmp_path, store, kills % 2 == 1, notes))
        process.start()
        process.join(120)
        if process.exitcode == 0:
            break
        assert process.exitcode == -9
        kills += 1
        assert kills < 500
    # Each step dies once before its record and once after it; the rows' parts are published the same way.
    assert kills >= len(undisturbed.executed)
    assert not [line for line in notes.read_text().splitlines() if line.endswith("True")], "a finished step ran again"
    last = run(raw, tmp_path, store)
    assert last.executed == []
    assert (last.labels, last.students, last.scores) == (undisturbed.labels, undisturbed.students, undisturbed.scores)


def test_flipping_every_gold_label_of_pool_and_test_changes_nothing_that_a_method_makes(
    raw: dict[str, Any], tmp_path: Path
) -> None:
    write_rows(tmp_path / "true")
    write_rows(tmp_path / "flipped", flip=("pool", "test"))
    assert splits_of(tmp_path / "true") == splits_of(tmp_path / "flipped")
    true, flipped = (run(raw, tmp_path / name, str(tmp_path / f"{name}-store")) for name in ("true", "flipped"))
    assert true.scores != flipped.scores, "the scorer must see the flip, else this test sees nothing"
    if raw["methods"][0]["type"] in ORACLES:
        assert (true.labels, true.students) != (flipped.labels, flipped.students)
        assert set(true.gold_supervised.values()) == {True}
    else:
        assert true.labels == flipped.labels
        assert true.students == flipped.students
        assert set(true.gold_supervised.values()) == {False}


def test_flipping_the_labelled_half_does_change_them(raw: dict[str, Any], tmp_path: Path) -> None:
    """The power of the test above: the gold that methods may see does reach their outputs."""
    write_rows(tmp_path / "true")
    write_rows(tmp_path / "flipped", flip=("labelled",))
    true, flipped = (run(raw, tmp_path / name, str(tmp_path / f"{name}-store")) for name in ("true", "flipped"))
    assert true.labels != flipped.labels


@pytest.mark.parametrize("adapt", ["lora", "probe"])
def test_every_method_runs_with_adapters_and_with_probes(raw: dict[str, Any], adapt: str, tmp_path: Path) -> None:
    write_rows(tmp_path)
    raw["train"] = {role: {"adapt": adapt, "pooling": "mean", "lr": 0.01} for role in ("weak", "strong")}
    refused = {
        "early_stop": "nothing to stop early",
        "probe_then_finetune": "a probe is solved, so it starts from nothing",
    }
    if adapt == "probe" and (message := refused.get(raw["methods"][0]["type"])):
        with pytest.raises(AssertionError, match=message):
            run(raw, tmp_path, str(tmp_path / "store"))
        return
    ran = run(raw, tmp_path, str(tmp_path / "store"))
    assert {step.split("/")[0] for step in ran.executed} >= ({"embed", "probe"} if adapt == "probe" else {"train"})
    assert run(raw, tmp_path, str(tmp_path / "store")).executed == []


def test_a_probe_refuses_a_loss_that_it_is_not_solved_for(tmp_path: Path) -> None:
    write_rows(tmp_path)
    raw = config({"type": "naive", "loss": "logconf"}, train={"strong": {"adapt": "probe"}})
    with pytest.raises(ConfigError, match="solved for cross-entropy"):
        run(raw, tmp_path, str(tmp_path / "store"))


@pytest.mark.parametrize("loss", LOSSES)
def test_naive_runs_with_every_loss(loss: str, tmp_path: Path) -> None:
    write_rows(tmp_path)
    ran = run(config({"type": "naive", "loss": loss}), tmp_path, str(tmp_path / "store"))
    assert len(ran.students["naive 0"][0]) == 64
