"""What resources mean to Ray, and which nodes may hold them."""

from __future__ import annotations

from typing import Any

import pytest
import ray

from w2s_ray.core.errors import ResourceError
from w2s_ray.core.resources import GB, Resources
from w2s_ray.runtime.admission import Admission
from w2s_ray.runtime.demand import demand, lacking, matches, may_hold, options, request, room, totals


def node(cpu: float = 4, gpu: float = 0, labels: dict[str, str] | None = None, **more: float) -> dict[str, Any]:
    return {"Resources": {"CPU": cpu, "GPU": gpu, "memory": 8 * GB, **more}, "Labels": labels or {}, "Alive": True}


SMALL = node(4, 4, {"zone": "a"}, **{"accelerator_type:T4": 1.0})
LARGE = node(16, 8, {"zone": "b", "ray.io/market-type": "spot"}, **{"accelerator_type:H100": 1.0, "licence": 2.0})
BOTH = [SMALL, LARGE]


@pytest.mark.parametrize(
    ("asked", "holders"),
    [
        (Resources(), [SMALL, LARGE]),
        (Resources(gpus=1, accelerator="T4"), [SMALL]),
        (Resources(custom={"licence": 1}), [LARGE]),
        (Resources(labels={"zone": "a"}), [SMALL]),
        (Resources(labels={"zone": "!a"}), [LARGE]),
        (Resources(labels={"zone": "in(a, b)", "ray.io/market-type": "!in(spot)"}), [SMALL]),
        (Resources(gpus=1, accelerator="A100"), []),
    ],
)
def test_the_nodes_that_may_hold_it(asked: Resources, holders: list[dict[str, Any]]) -> None:
    assert [one for one in BOTH if may_hold(one, asked)] == holders
    assert lacking(asked, BOTH) == [] if holders else lacking(asked, BOTH)


@pytest.mark.parametrize(
    ("wanted", "fitting"),
    [("a", {"a"}), ("!a", {"b", None}), ("in(a, b)", {"a", "b"}), ("!in(a,b)", {None}), ("in(b)", {"b"})],
)
def test_a_label_matches_as_ray_documents_it(wanted: str, fitting: set[str | None]) -> None:
    """docs.ray.io, "Use labels to control scheduling": a node without the label matches what is negated."""
    assert {value for value in ("a", "b", None) if matches(value, wanted)} == fitting


def test_ray_takes_the_options_and_requests() -> None:
    asked = Resources(cpus=2, gpus=1, memory_gb=1, accelerator="T4", custom={"licence": 1}, labels={"zone": "in(a,b)"})
    ray.remote(lambda: 1).options(**options(asked))  # checks them
    group = request({"CPU": 2.0, "GPU": 0.0}, asked.labels)
    assert group.bundles == [{"CPU": 2.0}]
    assert options(Resources()) == {"num_cpus": 1.0, "num_gpus": 0.0, "max_retries": 0}


def test_nodes_that_are_chosen_are_counted_by_themselves() -> None:
    asked = Resources(cpus=1, gpus=1, accelerator="T4")
    have = totals(BOTH, [asked])
    assert (have["GPU"], have["GPU@T4"], have["CPU@T4"]) == (12, 4, 4)
    devices: Admission[int] = Admission(have)
    for n in range(6):
        devices.add(n, demand(asked, 1))
    assert devices.admit() == [0, 1, 2, 3], "four small GPUs, whatever else is free"
    assert room(asked, have) == 4


def test_what_the_cluster_can_never_give_is_said_with_the_arithmetic() -> None:
    assert lacking(Resources(gpus=2, accelerator="A100"), BOTH) == ["nodes with A100 (there are none)"]
    assert lacking(Resources(cpus=20), BOTH) == ["20 CPU (the largest node has 16 CPU)"]
    assert lacking(Resources(gpus=8, workers=2), BOTH) == [
        "2 workers with 8 GPU each, 16 GPU in all (the cluster has 12 GPU)"
    ]
    spread = lacking(Resources(gpus=4, workers=2, accelerator="T4"), BOTH)
    assert spread == [
        "2 workers with 4 GPU on nodes with T4 each, 8 GPU on nodes with T4 in all"
        " (the cluster has 4 GPU on nodes with T4)"
    ]
    assert lacking(Resources(gpus=4, workers=3), BOTH) == []


def test_resources_with_names_compare_and_look_up() -> None:
    one, same = Resources(custom={"a": 1, "b": 2}), Resources(custom={"b": 2, "a": 1})
    assert one == same and hash(one) == hash(same)
    assert hash(Resources(labels={"zone": "a"})) != hash(Resources(labels={"zone": "b"}))


@pytest.mark.parametrize(
    ("bad", "said"), [({"custom": {"a": 0}}, "custom.a is 0"), ({"accelerator": "T4"}, "gpus is 0; set gpus: 1")]
)
def test_resources_that_mean_nothing_are_refused(bad: dict[str, Any], said: str) -> None:
    with pytest.raises(ResourceError, match=said):
        Resources(**bad)
