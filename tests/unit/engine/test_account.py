"""What devices did: closed forms on a clock of ours, and what is written and read again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from clock import Clock

from w2s_ray.core.errors import BudgetSpent, Interrupted, OutOfMemory, StepFailed
from w2s_ray.core.resources import Resources
from w2s_ray.engine import account as module
from w2s_ray.engine.account import KEPT, Account, Ledger, cause_of, devices_of, keep, ledgers
from w2s_ray.engine.context import Context
from w2s_ray.engine.executor import InlineExecutor
from w2s_ray.engine.store import open_store


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_seconds_of_devices_are_added_up(clock: Clock) -> None:
    account = Account()
    account.resize({"CPU": 8, "GPU": 2, "memory": 1e9})
    account.begin("a", "train/a", {"CPU": 1, "GPU": 1})
    clock.now += 10
    account.begin("b", "train/b", {"CPU": 2})
    account.resize({"CPU": 4, "GPU": 1})
    clock.now += 5
    account.end("a")
    clock.now += 1
    ledger = account.ledger("d", "s")
    assert ledger.seconds == 16
    assert ledger.there == {"CPU": 8 * 10 + 4 * 6, "GPU": 2 * 10 + 1 * 6}
    assert ledger.busy == {"CPU": 15 + 2 * 6, "GPU": 15}
    assert ledger.spent == account.spent == 15 + 12, "of a step on GPUs those, of another its CPUs"
    assert ledger.running == {"train/b": 6}
    assert ledger.lost == {"CPU": 0, "GPU": 0}


def test_no_more_works_than_is_there(clock: Clock) -> None:
    """A gang of eight that waits for its machine to come back."""
    account = Account()
    account.resize({"CPU": 4, "GPU": 8})
    account.begin("gang", "train/g", {"CPU": 8, "GPU": 8})
    clock.now += 1
    account.resize({"CPU": 4})
    clock.now += 100
    account.resize({"CPU": 4, "GPU": 8})
    account.change("gang", {"CPU": 2, "GPU": 2})
    clock.now += 1
    account.lose("gang", "node", "by a clock that went back", seconds=-5)
    ledger = account.ledger("d", "s")
    assert ledger.busy == {"CPU": 4 + 400 + 2, "GPU": 8 + 2}
    assert ledger.spent == 10
    assert ledger.lost == {"CPU": 0, "GPU": 0}


def test_what_is_lost_has_a_cause_and_goes_on(clock: Clock) -> None:
    account = Account()
    account.begin("a", "train/a", {"CPU": 2})
    clock.now += 7
    account.lose("a", "node", "a node\n died")
    clock.now += 4
    account.lose("a", "process", "x" * 1000, seconds=1)
    account.lose("a", "process", "told late", seconds=100)
    clock.now += 2
    account.end("a")
    account.end("a")
    account.lose("a", "error", "it has ended")
    ledger = account.ledger("d", "s")
    assert [(loss.cause, loss.seconds) for loss in ledger.losses] == [("node", 7), ("process", 1), ("process", 3)]
    assert ledger.losses[0].detail == "a node died"
    assert len(ledger.losses[1].detail) == 300
    assert ledger.lost == {"CPU": 2 * 11, "GPU": 0}, "never more than it ran"
    assert ledger.busy["CPU"] == 2 * 13
    for _ in range(KEPT + 5):
        account.begin("b", "b", {"CPU": 1})
        account.lose("b", "stopped", "")
    assert account.num_losses == KEPT + 8
    assert len(account.ledger("d", "s").losses) == KEPT


def test_ledgers_are_read_again_and_others_are_left_out(tmp_path: Path, clock: Clock) -> None:
    account = Account()
    account.begin("a", "k", {"GPU": 1})
    clock.now += 3
    account.lose("a", "preemption", "the machine leaves")
    store = open_store(str(tmp_path))
    one, other = account.ledger("d1", "mine", ended=True), account.ledger("d2", "other")
    keep(store, one)
    keep(store, other)
    (sound,) = (tmp_path / "ledger").glob("*-d1.json")
    hostile = {
        "empty": "",
        "another": "{}",
        "deep": "[" * 5000,
        "nan": sound.read_text().replace('"GPU": 3.0', '"GPU": NaN'),
        "below zero": sound.read_text().replace('"seconds": 3.0', '"seconds": -3.0'),
        "escape codes": sound.read_text().replace("the machine leaves", "\\u001b[2J"),
        "long": sound.read_text().replace("the machine leaves", "x" * 2000),
    }
    for name, data in hostile.items():
        assert data != sound.read_text(), name
        (tmp_path / "ledger" / f"{sound.name.partition('-')[0]}-{name}.json").write_text(data)
    assert list(ledgers(store, "mine")) == [one]
    assert len(list(ledgers(store))) == 2
    assert isinstance(one, Ledger) and one.losses[0].cause == "preemption"


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (OutOfMemory(8, 4, "x"), "out of memory"),
        (StepFailed("train", "k", "OutOfMemoryError: CUDA out of memory"), "out of memory"),
        (MemoryError(), "out of memory"),
        (Interrupted("stop"), "stopped"),
        (StepFailed("train", "k", "ValueError: 3"), "error"),
    ],
)
def test_a_step_that_raised_has_a_cause(error: BaseException, cause: str) -> None:
    assert cause_of(error) == cause


def test_devices_are_those_of_all_processes() -> None:
    assert devices_of(Resources(cpus=2, gpus=1, workers=(2, 4))) == {"CPU": 4, "GPU": 2}
    assert devices_of(Resources(cpus=2, gpus=1, workers=(2, 4)), 3) == {"CPU": 6, "GPU": 3}


def test_a_budget_ends_a_run_and_says_how_to_go_on(
    tmp_path: Path, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from toys import ADD

    from w2s_ray.engine import context

    monkeypatch.setattr(context, "ACCOUNT_S", 0.1)
    store = open_store(str(tmp_path / "store"))
    made = []
    for budget_h in (0.3 / 3600, 0.0):
        with Context(store, InlineExecutor, name="s", budget_h=budget_h) as ctx:
            handles = [ctx.submit(ADD, {"number": n, "slow": 0.4}) for n in range(3)]
            if budget_h:
                with pytest.raises(BudgetSpent, match=r"budget of 8.33.* is spent .*run the same command"):
                    handles[-1].record()
            else:
                assert [handle.value["total"] for handle in handles] == [0, 1, 2]
            made.append(len(ctx.executed))
    assert made[0] < 3
    assert len(list(notes.glob("start.*"))) <= 4, "what was finished is not made again"
    found = json.loads(next((tmp_path / "store/ledger").glob("*.json")).read_text())
    assert found["name"] == "s"
    assert found["ended"]


def test_a_run_without_a_name_leaves_no_ledger(tmp_path: Path, notes: Path) -> None:
    from toys import ADD

    with Context(open_store(str(tmp_path / "store")), InlineExecutor) as ctx:
        ctx.submit(ADD, {"number": 1}).record()
        assert ctx.ledgers()[-1].busy["CPU"] > 0
    assert not list((tmp_path / "store").glob("ledger/*"))
