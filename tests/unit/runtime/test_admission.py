"""Admission: nothing is over-booked, nothing starves, everything that is released can be taken again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from w2s_ray.runtime.admission import Admission

DEMANDS = st.lists(
    st.fixed_dictionaries(
        {"CPU": st.sampled_from([0.25, 0.5, 1.0, 2.0, 4.0]), "GPU": st.sampled_from([0.0, 0.25, 1.0])}
    ),
    max_size=30,
)


@given(DEMANDS, st.randoms())
def test_first_come_first_served_within_the_devices(demands: list[dict[str, float]], random: object) -> None:
    total = {"CPU": 4.0, "GPU": 1.0}
    devices: Admission[int] = Admission(dict(total))
    for n, demand in enumerate(demands):
        devices.add(n, demand)
    running: list[int] = []
    order: list[int] = []
    while len(order) < len(demands) or running:
        admitted = devices.admit()
        running += admitted
        order += admitted
        for name, amount in total.items():
            assert sum(demands[n][name] for n in running) <= amount + 1e-6
        assert running, "something always fits on free devices"
        done = running.pop(random.randrange(len(running)))  # type: ignore[attr-defined]
        devices.release(demands[done])
    assert order == list(range(len(demands)))


def test_a_large_request_is_not_overtaken_by_small_ones() -> None:
    devices: Admission[str] = Admission({"CPU": 4.0})
    for n in range(4):
        devices.add(f"small {n}", {"CPU": 1.0})
    assert len(devices.admit()) == 4
    devices.add("gang", {"CPU": 4.0})
    devices.add("late", {"CPU": 1.0})
    for _ in range(4):
        assert devices.admit() == []
        devices.release({"CPU": 1.0})
    assert devices.admit() == ["gang"]


def test_a_cluster_that_grows_and_shrinks() -> None:
    devices: Admission[str] = Admission({"CPU": 1.0})
    for n in range(3):
        devices.add(str(n), {"CPU": 1.0})
    assert devices.admit() == ["0"]
    devices.resize({"CPU": 2.0})
    assert devices.admit() == ["1"]
    devices.resize({"CPU": 1.0})
    devices.release({"CPU": 1.0})
    assert devices.admit() == [], "what still runs takes the whole of the smaller cluster"
    devices.release({"CPU": 1.0})
    assert devices.admit() == ["2"]
    assert devices.withdraw() == []


def test_what_the_first_lacks_is_told() -> None:
    devices: Admission[str] = Admission({"CPU": 4.0, "GPU": 1.0})
    assert devices.shortage() is None
    devices.add("runs", {"CPU": 3.0, "GPU": 1.0})
    devices.add("waits", {"CPU": 1.0, "GPU": 1.0})
    devices.add("behind", {"CPU": 2.0})
    assert devices.admit() == ["runs"]
    assert devices.shortage() == ("waits", {"GPU": (1.0, 0.0)})
    assert len(devices) == 2
    devices.release({"CPU": 3.0, "GPU": 1.0})
    assert devices.admit() == ["waits", "behind"]
    assert devices.shortage() is None
