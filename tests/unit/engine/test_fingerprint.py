"""Identity: what counts, what does not, and what is refused."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from w2s_ray.core.errors import IdentityError
from w2s_ray.engine.fingerprint import Key, canonical, digest, make_key, slugify

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), JSON))
def test_the_order_of_keys_does_not_count(value: dict) -> None:
    assert digest(value) == digest(dict(reversed(value.items())))


@given(JSON, JSON)
def test_other_values_have_other_digests(one: object, other: object) -> None:
    assert (digest(one) == digest(other)) == (repr(canonical(one)) == repr(canonical(other)))


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, object(), {1: 2}, {"a": {2}}, [print], b"x", 1j],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_stable_identity_is_refused(value: object) -> None:
    with pytest.raises(IdentityError):
        digest({"a": [value]})


def test_the_error_says_where() -> None:
    with pytest.raises(IdentityError, match=r"params\.a\[1\]\.b is nan"):
        canonical({"a": [0, {"b": math.nan}]})


def test_minus_zero_is_zero_and_one_is_not_true() -> None:
    assert digest(-0.0) == digest(0.0)
    assert digest(True) != digest(1) != digest(1.0)


def test_a_key_counts_name_version_params_and_inputs_and_not_the_slug() -> None:
    one = make_key("train", 1, "a", {"lr": 0.1}, {"data": Key("dataset", "x", "0" * 64)})
    assert make_key("train", 1, "b", {"lr": 0.1}, {"data": Key("dataset", "y", "0" * 64)}).digest == one.digest
    others = [
        make_key("fit", 1, "a", {"lr": 0.1}, {"data": Key("dataset", "x", "0" * 64)}),
        make_key("train", 2, "a", {"lr": 0.1}, {"data": Key("dataset", "x", "0" * 64)}),
        make_key("train", 1, "a", {"lr": 0.2}, {"data": Key("dataset", "x", "0" * 64)}),
        make_key("train", 1, "a", {"lr": 0.1}, {"data": Key("dataset", "x", "1" * 64)}),
        make_key("train", 1, "a", {"lr": 0.1}, {"rows": Key("dataset", "x", "0" * 64)}),
        make_key("train", 1, "a", {"lr": 0.1}, {"data": (Key("dataset", "x", "0" * 64),)}),
    ]
    assert len({one.digest, *(key.digest for key in others)}) == 7


@given(st.text(), st.from_regex(r"[0-9a-f]{64}", fullmatch=True))
def test_a_key_survives_its_written_form(slug: str, hash_: str) -> None:
    key = Key("train", slugify(slug), hash_)
    assert Key.parse(key.full) == key
    assert "/" not in key.slug
    assert key.slug == slugify(key.slug)


def test_a_golden_digest() -> None:
    """Must never change: it would orphan every store."""
    key = make_key(
        "train", 1, "m", {"lr": 1e-3, "epochs": 2, "loss": {"type": "xent"}}, {"data": Key("dataset", "d", "ab" * 32)}
    )
    assert key.path == "train/m-c3a8f4fe4145"
