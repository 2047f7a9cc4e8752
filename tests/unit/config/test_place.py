"""Place files: where a study runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from w2s_ray.config.load import load_study
from w2s_ray.config.place import joinable, load_place
from w2s_ray.core.errors import ConfigError, ResourceError

STUDY = """
name: s
task: {data: "world:topic", labelled: 20, pool: 20, test: 20}
models: {weak: world/nano, strong: world/small}
methods: [naive]
resources: {weak: {cpus: 2}, strong: {cpus: 3, memory_gb: 1}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "place.yaml"
    path.write_text("store: s3://b/s\nenv: {A: '1', B: null}\nresources: {strong: {cpus: 8, custom: {big: 1}}}\n")
    return path


def test_options_stand_above_the_file(file: Path) -> None:
    place = load_place(file, ["A=2", "C=a=b"], store="/shared", address="auto")
    assert (place.store, place.address, place.runs) == ("/shared", "auto", "")
    assert place.variables({"B": "secret"}) == {"A": "2", "B": "secret", "C": "a=b"}
    assert load_place(None).env == {}


def test_a_place_stands_above_the_study_field_by_field_and_a_set_above_both(file: Path, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY)
    place = load_place(file)
    here, there = load_study(tmp_path / "study.yaml"), load_study(tmp_path / "study.yaml", (), place.resources)
    strong = there.config.resources.strong
    assert (strong.cpus, strong.memory_gb, strong.custom) == (8, 1, {"big": 1})
    assert there.config.resources.weak == here.config.resources.weak
    over = load_study(tmp_path / "study.yaml", ["resources.strong.cpus=1"], place.resources)
    assert over.config.resources.strong.cpus == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("adress: x", "adress is not a known key (did you mean 'address'?)"),
        ("resources: {weak: {gpus: one}}", "resources.weak.gpus is 'one'; it must be a number"),
        ("resources: {weka: {gpus: 1}}", "resources.weka is not a known key (did you mean 'weak'?)"),
        ("resources: {weak: {labels: [a]}}", "resources.weak.labels"),
        ("driver: {cpus: -1}", "driver.cpus is -1; it must be at least 0"),
        ("autoscale: maybe", "autoscale is 'maybe'; it must be true or false"),
        ("[]", "must be a mapping"),
    ],
)
def test_a_typo_is_one_line_with_its_remedy(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_place(tmp_path / "p.yaml")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_variable_that_is_nowhere_is_refused_and_no_value_is_shown(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"env\.B has no value, and B is not set here"):
        load_place(file).variables({})
    with pytest.raises(ConfigError, match="NAME=VALUE"):
        load_place(None, ["=x"])


@pytest.mark.parametrize(
    ("address", "said"), [("http://h:8265", "w2s submit --address http://h:8265"), ("ray://h:10001", "w2s submit")]
)
def test_an_address_of_another_door_is_refused_with_the_right_one(
    address: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    for given in (address, None):
        with pytest.raises(ResourceError, match=said):
            joinable(given)
    assert joinable("h:6379") == "h:6379"
    monkeypatch.delenv("RAY_ADDRESS")
    assert joinable(None) is None
