"""The driver: what is reused, what is launched, what waits, what fails, what is made again."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from toys import ADD, ADD_INLINE, TIMES

from w2s_ray.core.errors import Interrupted, Planned, StepFailed
from w2s_ray.engine import context as context_module
from w2s_ray.engine.context import Context
from w2s_ray.engine.executor import InlineExecutor
from w2s_ray.engine.fingerprint import Key
from w2s_ray.engine.handle import RiderSpec
from w2s_ray.engine.progress import progress_name
from w2s_ray.engine.store import open_store


def context(url: str) -> Context:
    return Context(open_store(url), InlineExecutor)


def starts(notes: Path) -> int:
    return len(list(notes.glob("start.*")))


def test_a_result_is_computed_once_and_read_ever_after(store_url: str, notes: Path) -> None:
    for _ in range(2):
        with context(store_url) as ctx:
            one = ctx.submit(ADD, {"number": 1})
            two = ctx.submit(ADD, {"number": 2}, {"x": one, "more": (one, one)})
            assert two.value == {"total": 5}
            assert (two.artifact().path / "number.txt").read_text() == "5"
    assert starts(notes) == 2
    assert (len(ctx.executed), len(ctx.reused)) == (0, 2)


def test_equal_submissions_share_one_node(store_url: str, notes: Path) -> None:
    with context(store_url) as ctx:
        handles = [ctx.submit(ADD, {"number": 7, "slow": 0.1}) for _ in range(20)]
        assert {handle.value["total"] for handle in handles} == {7}
    assert starts(notes) == 1


def test_equal_submissions_from_threads_run_once(store_url: str, notes: Path) -> None:
    with context(store_url) as ctx:
        totals = []
        threads = [
            threading.Thread(target=lambda: totals.append(ctx.submit(ADD, {"number": 3, "slow": 0.05}).value["total"]))
            for _ in range(16)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert totals == [3] * 16 and starts(notes) == 1


def test_riders_are_made_with_their_owner_and_late_ones_by_it_again(store_url: str, notes: Path) -> None:
    with context(store_url) as ctx:
        data = ctx.submit(ADD_INLINE, {"number": 10})
        owner = ctx.submit(ADD, {"number": 1}, riders=[RiderSpec(TIMES, {"times": 2}, {"data": data})])
        early = ctx.ride(owner, RiderSpec(TIMES, {"times": 2}, {"data": data}))
        assert (early.artifact().path / "number.txt").read_text() == "2"
        assert starts(notes) == 2
        late = ctx.ride(owner, RiderSpec(TIMES, {"times": 5}, {"data": data}))
        assert (late.artifact().path / "number.txt").read_text() == "5"
        assert starts(notes) == 3
        assert late.record().made_by == owner.key.full
    with context(store_url) as ctx:
        owner = ctx.submit(
            ADD,
            {"number": 1},
            riders=[RiderSpec(TIMES, {"times": t}, {"data": ctx.submit(ADD_INLINE, {"number": 10})}) for t in (2, 5)],
        )
        owner.record()
    assert starts(notes) == 3 and not ctx.executed


def test_an_error_is_recorded_reported_and_tried_again_by_the_next_run(store_url: str, notes: Path) -> None:
    for run in (1, 2):
        with context(store_url) as ctx:
            bad = ctx.submit(ADD, {"number": 1, "bad": True})
            after = ctx.submit(ADD, {"number": 2}, {"x": bad})
            fine = ctx.submit(ADD, {"number": 3})
            assert fine.value == {"total": 3}
            with pytest.raises(StepFailed, match="number 1 is bad"):
                after.record()
            failure = ctx.store.failure(bad.key)
            assert failure is not None and "RuntimeError" in failure.traceback
        assert starts(notes) == 1 + run


def test_a_damaged_artifact_is_set_aside_and_made_again(store_url: str, notes: Path) -> None:
    with context(store_url) as ctx:
        one = ctx.submit(ADD, {"number": 1})
        path = one.artifact().path / "number.txt"
    path.write_text("999")
    open_store.cache_clear()
    seen = []
    with Context(open_store(store_url), InlineExecutor, sinks=[lambda event: seen.append(event.what)]) as ctx:
        one = ctx.submit(ADD, {"number": 1})
        two = ctx.submit(ADD, {"number": 2}, {"x": one})
        assert two.value == {"total": 3}
        assert (one.artifact().path / "number.txt").read_text() == "1"
    assert "damaged" in seen and starts(notes) == 3


def test_a_damaged_artifact_is_noticed_when_the_driver_looks(store_url: str, notes: Path) -> None:
    with context(store_url) as ctx:
        data = ctx.submit(ADD, {"number": 10})
        owner = ctx.submit(ADD, {"number": 1}, riders=[RiderSpec(TIMES, {"times": 2}, {"data": data})])
        rider = ctx.ride(owner, RiderSpec(TIMES, {"times": 2}, {"data": data}))
        (rider.artifact().path / "number.txt").unlink()
    open_store.cache_clear()
    with context(store_url) as ctx:
        owner = ctx.submit(ADD, {"number": 1})
        rider = ctx.ride(owner, RiderSpec(TIMES, {"times": 2}, {"data": ctx.submit(ADD, {"number": 10})}))
        assert (rider.artifact().path / "number.txt").read_text() == "2"
    assert starts(notes) == 3


def test_a_stop_ends_what_waits(store_url: str, notes: Path) -> None:
    with context(store_url) as ctx:
        slow = ctx.submit(ADD, {"number": 1, "slow": 0.5})
        after = ctx.submit(ADD, {"number": 2}, {"x": slow})
        ctx.interrupt()
        with pytest.raises(Interrupted):
            after.record()
        with pytest.raises(Interrupted):
            ctx.submit(ADD, {"number": 3}).record()
    with context(store_url) as ctx:
        assert ctx.submit(ADD, {"number": 2}, {"x": ctx.submit(ADD, {"number": 1, "slow": 0.5})}).value == {"total": 3}


def test_two_drivers_share_the_work(store_url: str, notes: Path) -> None:
    with context(store_url) as first, context(store_url) as second:
        handles = [ctx.submit(ADD, {"number": n, "slow": 0.05}) for n in range(10) for ctx in (first, second)]
        assert [handle.value["total"] for handle in handles] == [n for n in range(10) for _ in range(2)]
    assert starts(notes) == 10
    assert len(first.executed) + len(second.executed) == 10


def test_several_who_meet_the_same_damage_are_all_served(store_url: str, notes: Path) -> None:
    with context(store_url) as ctx:
        path = ctx.submit(ADD, {"number": 1}).artifact().path / "number.txt"
    path.write_text("999")
    open_store.cache_clear()
    with context(store_url) as ctx:
        one = ctx.submit(ADD, {"number": 1})
        after = [ctx.submit(ADD, {"number": n}, {"x": one}) for n in range(2, 6)]
        assert [handle.node.future.result(timeout=30).value["total"] for handle in after] == [3, 4, 5, 6]
        assert (one.artifact().path / "number.txt").read_text() == "1"


def test_an_input_that_another_set_aside_meanwhile_is_made_again(store_url: str, notes: Path) -> None:
    """Between a call's launch and its start; the other's own repair may be under way or not."""

    class Takes(InlineExecutor):
        taken = False

        def launch(self, call, started):  # type: ignore[no-untyped-def]
            if call.inputs and not self.taken:
                self.taken = True
                open_store(store_url).set_aside(call.inputs["x"])
            return super().launch(call, started)

    with Context(open_store(store_url), Takes) as ctx:
        one = ctx.submit(ADD, {"number": 1})
        assert ctx.submit(ADD, {"number": 2}, {"x": one}).value == {"total": 3}
        assert (one.artifact().path / "number.txt").read_text() == "1"
    assert len(list(notes.glob("start.*"))) == 3


def test_a_record_that_cannot_be_read_is_made_again(store_url: str, notes: Path) -> None:
    with context(store_url) as ctx:
        key = ctx.submit(ADD, {"number": 1}).key
        ctx.submit(ADD, {"number": 1}).record()
    (Path(store_url) / key.path / "record.json").write_text("{half")
    open_store.cache_clear()
    with context(store_url) as ctx:
        assert ctx.submit(ADD, {"number": 2}, {"x": ctx.submit(ADD, {"number": 1})}).value == {"total": 3}
    assert len(list((Path(store_url) / key.path).glob("record.damaged-*.json"))) == 1


def test_a_call_that_ray_repeats_after_its_commit_loses_nothing(store_url: str, notes: Path) -> None:
    """A worker may die between its commit and its answer; the same call then runs once more."""
    calls = []

    class Twice(InlineExecutor):
        def launch(self, call, started):  # type: ignore[no-untyped-def]
            calls.append(call)
            super().launch(call, started).result()
            return super().launch(call, started)

    with Context(open_store(store_url), Twice) as ctx:
        one = ctx.submit(ADD, {"number": 1})
        one.record()
        ctx.store._verified.clear()
        assert (one.artifact().path / "number.txt").read_text() == "1"
        assert len(calls) == 1
    assert len([path for path in (Path(store_url) / one.key.path).iterdir() if path.is_dir()]) == 1


def test_one_steps_trouble_with_the_store_is_its_own(store_url: str, notes: Path) -> None:
    with context(store_url) as ctx:
        real = ctx.leases.acquire
        bad_key = ADD.key({"number": 1}, {})

        def acquire(key: Key) -> object:
            if key == bad_key:
                raise OSError("the store is away")
            return real(key)

        ctx.leases.acquire = acquire  # type: ignore[method-assign, assignment]
        bad, good = ctx.submit(ADD, {"number": 1}), ctx.submit(ADD, {"number": 2, "slow": 0.1})
        with pytest.raises(OSError, match="away"):
            bad.record()
        assert good.value == {"total": 2}


def test_a_riders_failed_input_fails_the_rider_alone(store_url: str, notes: Path) -> None:
    with context(store_url) as ctx:
        bad = ctx.submit(ADD, {"number": 1, "bad": True})
        owner = ctx.submit(
            ADD,
            {"number": 2},
            riders=[
                RiderSpec(TIMES, {"times": 2}, {"data": bad}),
                RiderSpec(TIMES, {"times": 3}, {"data": ctx.submit(ADD, {"number": 4})}),
            ],
        )
        assert owner.value == {"total": 2}
        with pytest.raises(StepFailed, match="bad"):
            ctx.ride(owner, RiderSpec(TIMES, {"times": 2}, {"data": bad})).record()
        assert (
            ctx.ride(owner, RiderSpec(TIMES, {"times": 3}, {"data": ctx.submit(ADD, {"number": 4})})).artifact().path
            / "number.txt"
        ).read_text() == "6"


def test_no_trouble_of_reading_progress_ends_a_run(
    store_url: str, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []

    def broken(data: bytes) -> dict[str, float]:
        asked.append(data)
        raise OverflowError("int too large to convert to float")

    monkeypatch.setattr(context_module, "parse_progress", broken)
    monkeypatch.setattr(context_module, "every_s", lambda store: 0.01)
    with Context(open_store(store_url), InlineExecutor, sinks=[lambda event: None]) as ctx:
        handle = ctx.submit(ADD, {"number": 1, "slow": 0.3})
        ctx.store.write(progress_name(handle.key), b"{}")
        assert handle.value == {"total": 1} and asked


def test_a_rider_may_need_what_its_owner_makes(store_url: str, notes: Path) -> None:
    with context(store_url) as ctx:
        owner = ctx.submit(ADD, {"number": 2, "slow": 0.1})
        child = ctx.submit(ADD, {"number": 3}, {"x": owner})
        rider = ctx.ride(owner, RiderSpec(TIMES, {"times": 2}, {"data": child}))
        assert rider.node.future.result(timeout=30).made_by == owner.key.full


def test_riders_that_are_asked_for_at_once_never_make_the_owner_run_twice(store_url: str, notes: Path) -> None:
    with context(store_url) as ctx:
        data = ctx.submit(ADD_INLINE, {"number": 10})
        data.record()
        for round_ in range(30):
            barrier = threading.Barrier(6)

            def ask(round_: int = round_, barrier: threading.Barrier = barrier) -> None:
                barrier.wait()
                ctx.submit(
                    ADD, {"number": round_}, riders=[RiderSpec(TIMES, {"times": t}, {"data": data}) for t in (2, 3)]
                ).record()

            threads = [threading.Thread(target=ask) for _ in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert starts(notes) == 31


def test_a_dry_context_launches_nothing_and_waits_for_nobody(store_url: str, notes: Path) -> None:
    with context(store_url) as busy, Context(open_store(store_url), InlineExecutor, dry=True) as dry:
        slow = busy.submit(ADD, {"number": 1, "slow": 1.0})
        with pytest.raises(Planned):
            dry.submit(ADD, {"number": 2}, {"x": dry.submit(ADD, {"number": 1, "slow": 1.0})}).record()
        assert not slow.node.future.done()
        assert dry.submit(ADD_INLINE, {"number": 5}).value == {"total": 5}
