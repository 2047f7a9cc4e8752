"""A mistake in a YAML is one line that names the key, the value, what is allowed, and often the remedy."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from w2s_ray.config.load import SHOWN, checked, expand
from w2s_ray.core.errors import ConfigError
from w2s_ray.core.frozen import Frozen
from w2s_ray.core.plugins import available, find

RAW: dict[str, Any] = {
    "name": "tiny",
    "task": {"data": "world:topic"},
    "models": {"weak": "world/nano", "strong": "world/micro"},
    "methods": ["naive"],
}


class Inner(Frozen):
    """A part."""

    share: float = Field(0.5, gt=0, lt=1)
    kind: Literal["left", "right"] = "left"


class Whole(Frozen):
    """A config with a field of every sort."""

    text: str = ""
    number: float = Field(1.0, ge=0, le=10)
    count: int = Field(1, gt=0)
    switch: bool = False
    pair: tuple[int, int] = (0, 1)
    some: Annotated[tuple[int, ...], Field(min_length=1, max_length=2)] = (1,)
    named: dict[str, float] = Field(default_factory=dict)
    inner: Inner = Inner()
    either: int | Literal["auto"] = "auto"


def refusal(model: type[BaseModel], raw: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        checked(model, raw)
    return str(caught.value)


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        ({"text": 3}, "text is 3; it must be text (put it in quotes if it looks like a number, a date, yes or no)"),
        (
            {"text": None},
            "text is empty; it must be text (put it in quotes if it looks like a number, a date, yes or no)",
        ),
        ({"number": "much"}, "number is 'much'; it must be a number"),
        ({"number": [1]}, "number is [1]; it must be a number"),
        ({"number": float("nan")}, "number is nan; it must be a finite number"),
        ({"number": -0.5}, "number is -0.5; it must be at least 0"),
        ({"number": 11}, "number is 11; it must be at most 10"),
        ({"count": 0}, "count is 0; it must be above 0"),
        ({"count": 1.5}, "count is 1.5; it must be a whole number"),
        ({"count": "x"}, "count is 'x'; it must be a whole number"),
        ({"count": []}, "count is []; it must be a whole number"),
        ({"switch": "perhaps"}, "switch is 'perhaps'; it must be true or false"),
        ({"switch": []}, "switch is []; it must be true or false"),
        ({"pair": 3}, "pair is 3; it must be a list: [a, b]"),
        ({"pair": [3]}, "pair is [3], which has too few entries"),
        ({"pair": [1, 2, 3]}, "pair is [1, 2, 3]; it must have 2 entries or fewer"),
        ({"some": []}, "some is []; it must have 1 or more entries"),
        ({"some": [1, 2, 3]}, "some is [1, 2, 3]; it must have 2 entries or fewer"),
        ({"some": [1, "a"]}, "some.1 is 'a'; it must be a whole number"),
        ({"named": [1]}, "named is [1]; it must be a mapping: {key: value}"),
        ({"named": {"a": "b"}}, "named.a is 'b'; it must be a number"),
        ({"inner": "left"}, "inner is 'left'; it must be a mapping: {key: value}"),
        ({"inner": {"share": 1}}, "inner.share is 1; it must be below 1"),
        ({"inner": {"kind": "lefft"}}, "inner.kind is 'lefft' (did you mean 'left'?); it must be 'left' or 'right'"),
        ({"inner": {"kind": 7}}, "inner.kind is 7; it must be 'left' or 'right'"),
        ({"inner": {"shares": 1}}, "inner.shares is not a known key (did you mean 'share'?); there are: kind, share"),
        ({"either": "never"}, "either is 'never'; it must be a whole number or must be 'auto'"),
    ],
)
def test_a_value_of_each_sort_is_refused_in_these_words(raw: dict[str, Any], line: str) -> None:
    assert refusal(Whole, raw) == line


def test_of_many_mistakes_three_are_told_on_one_line() -> None:
    raw = {"text": 3, "number": -1, "count": 0, "switch": "x", "inner": {"share": 2}}
    told = refusal(Whole, raw)
    assert told.count("; it must be") == 3 and told.startswith("text is 3") and "\n" not in told


def test_a_long_value_is_cut_and_one_with_line_ends_stays_on_the_line() -> None:
    assert refusal(Whole, {"count": "x" * 1000}) == f"count is '{'x' * (SHOWN - 1)}…; it must be a whole number"
    assert refusal(Whole, {"count": "a\nb"}) == r"count is 'a\nb'; it must be a whole number"


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats()
    | st.text("ab\n\x00é'{}", max_size=4)
    | st.just("auto"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["share", "kind", "x"]), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*Whole.model_fields, "txet"]), VALUES, max_size=4))
@settings(deadline=None)
def test_whatever_stands_there_it_is_a_config_or_one_line_that_names_its_keys(raw: dict[str, Any]) -> None:
    try:
        found = checked(Whole, raw)
    except ConfigError as error:
        line = str(error)
        assert line and "\n" not in line and any(line.startswith(key) for key in [*raw, ""] if key), line
    else:
        assert set(raw) <= set(Whole.model_fields) and isinstance(found, Whole)


# --- plug-ins ---

STAMP = '''
from typing import ClassVar, Literal
from w2s_ray.config.method import MethodParams

class Stamp(MethodParams):
    """A method of another package."""

    type: Literal["{name}"] = "{name}"
    times: int = 2
'''


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Install a distribution with one method under a name; all is as before when the test ends."""

    def install(name: str, package: str) -> None:
        (tmp_path / f"{package}.py").write_text(STAMP.format(name=name))
        info = tmp_path / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[w2s_ray.methods]\n{name} = {package}:Stamp\n")
        available.cache_clear()

    monkeypatch.syspath_prepend(tmp_path)
    yield install
    available.cache_clear()
    for package in ("stamp_one", "stamp_two"):
        sys.modules.pop(package, None)


def test_a_method_of_another_package_is_a_method(installed: Any) -> None:
    installed("stamp", "stamp_one")
    assert any(entry.name == "stamp" for entry in entry_points(group="w2s_ray.methods"))
    made = expand(RAW | {"methods": [{"type": "stamp", "times": 3}, "naive"]}, Path())
    assert [(cell.method.label, getattr(cell.method, "times", None)) for cell in made.cells] == [
        ("stamp", 3), ("naive", None)
    ]  # fmt: skip
    with pytest.raises(ConfigError, match=r"methods\.0\.tims is not a known key \(did you mean 'times'\?\)"):
        expand(RAW | {"methods": [{"type": "stamp", "tims": 3}]}, Path())
    with pytest.raises(ConfigError, match=r"unknown method 'stmp' \(did you mean 'stamp'\?\); there are: .*stamp"):
        expand(RAW | {"methods": ["stmp"]}, Path())


@pytest.mark.parametrize("names", [("naive",), ("stamp", "stamp")])
def test_two_plug_ins_of_one_name_are_refused_with_both_places(installed: Any, names: tuple[str, ...]) -> None:
    for name, package in zip(names, ("stamp_one", "stamp_two"), strict=False):
        installed(name, package)
    with pytest.raises(
        ConfigError, match=rf"two methods are named '{names[0]}': .*stamp_(one|two).*; uninstall or rename"
    ):
        find("w2s_ray.methods", "naive")
