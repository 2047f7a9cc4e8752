"""What is known of a cluster's nodes."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from w2s_ray.core.errors import ResourceError, StoreError
from w2s_ray.runtime import nodes as module
from w2s_ray.runtime.meeting import interface_of
from w2s_ray.runtime.nodes import PACKAGES, Report, packages


def report(began: float = 0.0, ended: float = 0.0, **versions: str) -> Report:
    return Report("10.0.0.1", "", packages() | versions, "3.11.7", (), 10.0, began, ended)


@given(st.floats(0, 60), st.floats(0, 60), st.floats(0, 60), st.floats(-1000, 1000))
def test_a_clock_is_called_wrong_only_by_what_is_certain(wait: float, work: float, back: float, skew: float) -> None:
    """The way there and back takes time that nobody knows: so much less is said than the clocks differ."""
    asked, began, ended = 0.0, wait, wait + work
    said = report(began + skew, ended + skew).skew_s(asked, ended + back)
    assert abs(said) <= abs(skew) + 1e-9
    assert said * skew >= 0
    if skew > wait + work + back:
        assert said == pytest.approx(skew - back)


def test_packages_that_differ_are_named() -> None:
    mine = packages()
    assert set(mine) == set(PACKAGES)
    assert mine["torch"] and report().differs(mine) == []
    assert report(torch="", peft="0.0").differs(mine) == [
        f"torch missing (here {mine['torch']})", f"peft 0.0 (here {mine['peft']})",
    ]  # fmt: skip


def test_the_interface_of_an_address() -> None:
    assert interface_of("127.0.0.1") == "lo"
    assert interface_of("203.0.113.7") is None


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (report(), None),
        (
            report(peft="", numpy=""),
            r"the node 10\.0\.0\.1 has no numpy for Python 3\.11\.7; install there what this machine has: pip install"
            rf" numpy=={packages()['numpy']} peft=={packages()['peft']}$",
        ),
        (
            replace(report(), problem="PermissionError: Forbidden"),
            r"not every node shares the store s3://b/x: 10\.0\.0\.1: PermissionError: Forbidden; give one that all",
        ),
    ],
)
def test_a_node_without_a_package_or_a_right_is_refused_before_anything_runs(
    answer: Report, said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.cluster, "nodes", lambda: [{"NodeID": "far", "Resources": {"CPU": 1.0}}])
    monkeypatch.setattr(module, "_here", lambda node: False)
    monkeypatch.setattr(module, "ask", lambda url, nodes: [answer])
    with pytest.raises((ResourceError, StoreError), match=said) if said else nullcontext():
        module.check("s3://b/x")
