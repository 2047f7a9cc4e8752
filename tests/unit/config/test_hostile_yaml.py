"""Whatever a YAML holds, it is a study or one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from w2s_ray.config.load import Study, load_study
from w2s_ray.core.errors import InputError

SOUND = (Path(__file__).parents[3] / "experiments/quickstart.yaml").read_text(encoding="utf-8")
KEYS = (
    "name",
    "task",
    "models",
    "methods",
    "train",
    "seeds",
    "grid",
    "resources",
    "tune",
    "extends",
    "convention",
    "baseline",
    "type",
    "loss",
    "strong",
    "weak",
    "lr",
)
LEAVES: Any = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["naive", "logconf", "openai", "world:topic", "world/nano"])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)


def outcome(folder: Path, data: bytes) -> None:
    path = folder / "study.yaml"
    path.write_bytes(data)
    try:
        found: Study | str = load_study(path)
    except InputError as error:
        found = str(error)
    assert isinstance(found, Study) or 0 < len(found) < 5000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("yaml")


LIMITS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@LIMITS
@given(
    st.binary(max_size=60) | st.text(alphabet="{}[]&*a:<-!?|> \n'\"%@0.", max_size=60).map(lambda text: text.encode())
)
@example(b"? [a]\n: b")
@example(b"a: !!binary x")
def test_any_bytes(folder: Path, data: bytes) -> None:
    outcome(folder, data)


@LIMITS
@given(st.integers(0, len(SOUND) - 1), st.text(alphabet="{}[]&*:<-!?|>\n'\"%@0x\t\x00é", min_size=1, max_size=3))
def test_a_study_with_something_typed_into_it(folder: Path, at: int, typed: str) -> None:
    outcome(folder, (SOUND[:at] + typed + SOUND[at:]).encode())


@LIMITS
@given(st.sampled_from(KEYS), VALUES)
def test_a_study_with_another_value(folder: Path, key: str, value: Any) -> None:
    outcome(folder, yaml.safe_dump({**yaml.safe_load(SOUND), key: value}, allow_unicode=True).encode())


def sound_with(line: str) -> str:
    """A sound study in which this line stands for its key."""
    kept = {key: value for key, value in yaml.safe_load(SOUND).items() if key != line.partition(":")[0]}
    return f"{yaml.safe_dump(kept)}{line}\n"


@pytest.mark.parametrize(
    ("text", "sets", "line"),
    [
        (r'train: {strong: {prompt: "\ud800 {text}"}}', (), r"PATH: train.strong.prompt is '\ud800 {text}', with half"),
        (r'methods: [naive, {type: naive, name: "x\udfff"}]', (), r"PATH: methods.1.name is 'x\udfff', with half"),
        (r'train: {by_model: {"m\udc00": {lr: 1}}}', (), r"PATH: a key of train.by_model is 'm\udc00', with half"),
        (r'"\ud800": 1', (), r"PATH: a key is '\ud800', with half"),
        (r'extends: "\ud800.yaml"', (), r"PATH: extends is '\ud800.yaml', with half"),
        ("", (r'name="\ud83d"',), r"""--set 'name="\\ud83d"': it is '\ud83d', with half"""),
        (
            "",
            ("train.by_model.\udcff.lr=1",),
            r"--set 'train.by_model.\udcff.lr=1': the key is 'train.by_model.\udcff.",
        ),
        ("", ("name=\udcff",), r"--set 'name=\udcff': '\udcff' is not a value: "),
    ],
)
def test_half_a_character_is_refused_where_it_enters(
    tmp_path: Path, text: str, sets: tuple[str, ...], line: str
) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(sound_with(text), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_study(path, sets)
    told = str(caught.value)
    assert told.startswith(line.replace("PATH", str(path))) and "\n" not in told and told.encode("utf-8")


def test_a_whole_character_is_a_character_however_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(sound_with(r'hypothesis: "\U0001F600 é"'), encoding="utf-8")
    assert load_study(tmp_path / "study.yaml").config.hypothesis == "😀 é"


@LIMITS
@given(VALUES)
def test_any_values(folder: Path, value: Any) -> None:
    outcome(folder, yaml.safe_dump(value, allow_unicode=True).encode())
