"""Records and failures: what is written comes back, what cannot be is refused when it is written, names stay inside."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from w2s_ray.core.resources import Resources
from w2s_ray.engine.difference import difference, flat
from w2s_ray.engine.fingerprint import Key
from w2s_ray.engine.record import Failure, Record, inside, key_names
from w2s_ray.engine.step import Call, Handling, Stack

KEY, DATA, OTHER = (Key(step, "m", two * 32) for step, two in (("train", "ab"), ("dataset", "cd"), ("dataset", "ef")))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=15,
)
FIELDS = st.dictionaries(TEXT, JSON, max_size=4)


def record(**fields: Any) -> Record:
    given: dict[str, Any] = {"params": {"lr": 0.1}, "inputs": {}, "attempt": "a1", "files": {}, "value": {}} | fields
    return Record(KEY.full, "train", 1, **given)


@given(FIELDS, FIELDS, st.floats(0, 1e9), st.dictionaries(TEXT.filter(inside), st.just("0" * 64), max_size=3))
@settings(deadline=None, max_examples=50)
def test_a_record_that_was_written_comes_back_as_it_was(
    params: dict[str, Any], value: dict[str, Any], seconds: float, names: dict[str, str]
) -> None:
    files = {name: {"bytes": len(name), "sha256": digest} for name, digest in names.items()}
    made = record(
        params=params, value=value, seconds=seconds, files=files, inputs=key_names({"a": DATA, "b": (OTHER,)})
    )
    assert Record.loads(made.dumps()) == made


@given(TEXT, TEXT, TEXT)
def test_a_failure_that_was_written_comes_back_as_it_was(error: str, traceback: str, log: str) -> None:
    made = Failure(KEY.full, "a1", "driver", error, traceback, log)
    assert Failure.loads(made.dumps()) == made


@given(st.text(max_size=20), st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3))
@example("\ud800 {text}", {"\udfff": "\udcff"})
def test_half_a_character_is_replaced_and_the_rest_can_be_read(text: str, value: dict[str, str]) -> None:
    """A log may hold any bytes of a process, as Python decodes them."""
    failure = Failure.loads(Failure(KEY.full, "a1", "driver", text, text, text).dumps())
    assert failure.error == failure.traceback == failure.log == text.encode("utf-8", "replace").decode()
    assert Record.loads(record(value=value, params=value).dumps()).key == KEY.full


def test_equal_records_are_equal_bytes_whatever_the_order_of_their_fields() -> None:
    one = record(params={"a": 1, "b": 2}, value={"x": 1, "y": 2})
    other = replace(one, params={"b": 2, "a": 1}, value={"y": 2, "x": 1})
    assert one.dumps() == other.dumps(), "a lost reply is recognised by its bytes"


@pytest.mark.parametrize(
    ("name", "holds"),
    [("x.txt", True), ("sub/x.txt", True), (".hidden", True), ("a..b", True), ("...", True), ("a b/é", True),
     ("", False), (".", False), ("..", False), ("../x", False), ("a/../x", False), ("a//x", False), ("/x", False),
     ("x/", False), ("a\\b", False), ("a\x00b", False), ("./x", False)],
)  # fmt: skip
def test_a_name_of_a_file_stays_in_its_folder_or_is_refused(name: str, holds: bool) -> None:
    assert inside(name) == holds


@given(st.lists(st.sampled_from(["..", ".", "", "a", "b.txt", "\\", "/", "\x00"]), max_size=5).map("/".join))
def test_whatever_is_inside_is_below_the_folder_that_it_is_joined_to(name: str) -> None:
    if inside(name):
        joined = os.path.normpath(f"/store/attempt/{name}")
        assert joined.startswith("/store/attempt/") and PurePosixPath(joined).name


# --- what sets two records apart ---


@given(FIELDS, FIELDS)
@settings(max_examples=40)
def test_a_difference_read_backwards_is_the_difference_the_other_way(one: dict[str, Any], two: dict[str, Any]) -> None:
    there, here = difference(flat(one), flat(two)), difference(flat(two), flat(one))
    assert {name: (b, a) for name, (a, b) in there.items()} == here


# --- calls ---


def test_two_who_want_one_call_both_have_what_they_asked_for() -> None:
    one = Handling({"model": "/a", "base": "/b"}, keep=True)
    other = Handling({"model": "/c"}, member=True, stack=Stack("g", "m:f"))
    joined = one.joined(other)
    assert joined == Handling({"model": "/c", "base": "/b"}, True, True, Stack("g", "m:f"))
    assert Handling().joined(one) == one == one.joined(Handling()) == one.joined(one)
    assert replace(joined, places={}) == replace(other.joined(one), places={}), "whoever comes first"


def test_calls_are_computed_together_only_where_stack_and_resources_are_alike() -> None:
    def call(handling: Handling, **resources: Any) -> Call:
        return Call("/s", KEY, "train", 1, "m:f", {}, {}, Resources(**resources), "me", handling)

    stacked = Handling(stack=Stack("g", "m:f"))
    assert call(Handling()).group is None
    assert call(stacked).group == call(replace(stacked, keep=True)).group
    groups = [call(stacked), call(stacked, gpus=1), call(Handling(stack=Stack("h", "m:f")))]
    assert len({one.group for one in groups}) == 3
