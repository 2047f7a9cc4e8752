"""What a study is refused for before anything runs: names, files of labels, metrics, memory, this machine. (What does
not suit a kind of rows: tests/integration/test_kinds.py.)"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from w2s_ray.config.load import Study, expand
from w2s_ray.core.errors import ConfigError, InputError, ModelError, ResourceError
from w2s_ray.study.check import check_machine, check_memory, check_names
from w2s_ray.study.warnings import warnings_of, warnings_of_search

NANO, MICRO, MINI = "world/nano", "world/micro", "world/mini"
BIG = f"hub:Qwen/Qwen2.5-7B@{'a' * 40}"
UNHEARD = f"hub:some/body@{'a' * 40}"
RAW: dict[str, Any] = {
    "name": "tiny",
    "task": {"data": "world:topic"},
    "models": {"weak": NANO, "strong": MICRO},
    "methods": ["naive"],
    "seeds": [0, 1, 2],
}
FEW = {"data": "file:rows.jsonl"}


@pytest.fixture
def study(tmp_path: Path) -> Any:
    (tmp_path / "rows.jsonl").write_text(
        "".join(json.dumps({"text": f"t{n}", "label": n % 2, "question": "q", "answer": "a"}) + "\n" for n in range(20))
    )
    (tmp_path / "said.jsonl").write_text('{"id": "x", "label": 0.5}\n')

    def make(**more: Any) -> Study:
        return expand({**RAW, **more}, tmp_path)

    return make


def test_a_sound_study_is_refused_nothing_and_doubted_in_nothing(study: Any) -> None:
    made = study()
    for check in (check_names, check_memory, check_machine):
        check(made)
    assert list(warnings_of(made)) == []


@pytest.mark.parametrize(
    ("more", "kind", "words"),
    [
        ({"models": {"weak": "world/nanno", "strong": MICRO}}, ModelError, r"'world/nanno'.*did you mean 'nano'"),
        ({"methods": [{"type": "bootstrap", "ladder": ["world/mni"]}]}, ModelError, "'world/mni'.*'mini'"),
        ({"methods": [{"type": "model_mix", "models": [NANO, "./none"]}]}, ModelError, "'./none'.*config.json"),
        ({"grid": {"models": [{"weak": "world/pico"}]}}, ModelError, "'world/pico'"),
        ({"train": {"by_model": {"./none": {"lr": 1}}}}, ModelError, r"^train\.by_model: './none'"),
        ({"task": {"data": "world:topik"}}, ConfigError, r"^task\.data: .*'world:topic'"),
        ({"task": FEW | {"test_data": "file:none.jsonl"}}, InputError, r"^task\.test_data: .*none\.jsonl"),
        ({"task": FEW | {"pool_data": "file:none.jsonl"}}, InputError, r"^task\.pool_data: .*none\.jsonl"),
        ({"grid": {"task.pool_data": ["world:topic", "world:none"]}}, InputError, r"^task\.pool_data: .*world:none"),
        ({"task": FEW | {"format": "question"}, "metric": "auroc"}, ConfigError,
         r"metric is 'auroc', but the answers of file:rows\.jsonl are texts, .*; set metric: accuracy"),
        ({"grid": {"task.format": ["text", "txet"]}}, ConfigError, r"^task\.format: unknown format 'txet'.*'text'"),
    ],
)  # fmt: skip
def test_a_name_that_means_nothing_is_refused_under_its_key(
    study: Any, more: dict[str, Any], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words) as caught:
        check_names(study(**more))
    assert "\n" not in str(caught.value)


# --- memory and machine ---


ON_CPU = {"memory_gb": 1e-4, "gpus": 0}


def gpu(**more: Any) -> dict[str, Any]:
    return {"gpus": 1, "gpu_gb": 24, **more}


@pytest.mark.parametrize(
    ("more", "role"),
    [
        ({"models": {"weak": NANO, "strong": BIG}, "resources": {"strong": gpu()}}, "strong"),
        ({"models": {"weak": BIG, "strong": BIG}, "resources": {"weak": gpu(), "strong": gpu(gpu_gb=640)}}, "weak"),
        (
            {"models": {"weak": NANO, "strong": MICRO}, "resources": {"strong": {"memory_gb": 1e-4, "gpus": 0}}},
            "strong",
        ),
        ({"methods": [{"type": "bootstrap", "ladder": [BIG]}], "resources": {"strong": gpu()}}, "strong"),
        ({"methods": [{"type": "model_mix", "models": [BIG, NANO]}], "resources": {"weak": gpu()}}, "weak"),
    ],
)
def test_a_fit_that_its_device_cannot_hold_is_refused_under_its_role(
    study: Any, more: dict[str, Any], role: str
) -> None:
    with pytest.raises(ResourceError, match=rf"^resources\.{role}: a fit of .* does not fit"):
        check_memory(study(**more))


@pytest.mark.parametrize(
    "more",
    [
        {"resources": {"strong": {"gpus": 1}}},  # nobody says how much it holds
        {"models": {"weak": NANO, "strong": UNHEARD}, "resources": {"strong": gpu()}},
        {"train": {"strong": {"adapt": "probe"}}, "resources": {"strong": gpu()}},
        {"train": {"by_model": {BIG: {"adapt": "lora", "precision": "bf16"}}}, "resources": {"strong": gpu(gpu_gb=80)}},
        {"resources": {"strong": gpu(workers=8, gpu_gb=80)}},
    ],
)
def test_what_is_not_known_or_does_fit_is_not_refused(study: Any, more: dict[str, Any]) -> None:
    check_memory(study(**{"models": {"weak": NANO, "strong": BIG}, **more}))


def test_more_than_this_machine_has_is_refused_with_what_it_has(study: Any) -> None:
    have = os.cpu_count() or 1
    check_machine(study(resources={"strong": {"cpus": have}}))
    with pytest.raises(ResourceError) as caught:
        check_machine(study(resources={"weak": {"cpus": have, "workers": [2, 8]}}))
    assert str(caught.value) == (
        f"resources.weak: {NANO} asks for {2 * have} CPU (this machine has {have}); lower `resources`, or give a"
        " larger cluster with --address"
    )
    with pytest.raises(ResourceError, match=r"CPU \(this machine has \d+\) and 99 GPU \(this machine has \d+\)"):
        check_machine(study(resources={"strong": {"cpus": have + 1, "gpus": 99}}))
    # A probe is solved in one process.
    check_machine(study(train={"strong": {"adapt": "probe"}}, resources={"strong": {"gpus": 99}}))


# --- doubts ---


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"seeds": [0, 4]}, "seeds: [0, 4] gives intervals that say little; three or more are better"),
        ({"models": {"weak": MINI, "strong": MICRO}}, "models: weak world/mini ("),
        ({"models": {"weak": "untrained:world/mini", "strong": MICRO}}, "models: weak untrained:world/mini ("),
        ({"task": FEW, "models": {"weak": NANO, "strong": UNHEARD}},
         "models: world/nano knows the words of the built-in world alone; on file:rows.jsonl it sees little"),
        ({"grid": {"train.strong.lr": [1, 2]}, "train": {"by_model": {MICRO: {"lr": 3}}}},
         "train.strong.lr varies, but train.by_model sets lr of world/micro, which stands; drop one of them"),
        ({"grid": {"train.weak.lora.rank": [1, 2]}, "train": {"by_model": {NANO: {"lora": {"rank": 3}}}}},
         "train.weak.lora.rank varies, but train.by_model sets lora.rank of world/nano"),
        ({"grid": {"train.strong": [{"lr": 1}, {"lr": 2, "epochs": 9}]}, "train": {"by_model": {MICRO: {"lr": 3}}}},
         "train.strong.lr varies, but train.by_model sets lr of world/micro, which stands; drop one of them"),
        ({"grid": {"train": [{"weak": {"lr": 1}}, {"strong": {"lr": 2}}]}, "train": {"by_model": {NANO: {"lr": 3}}}},
         "train.weak.lr varies, but train.by_model sets lr of world/nano, which stands; drop one of them"),
        ({"train": {"by_model": {"world/mini": {"lr": 3}}}}, "train.by_model: no cell trains 'world/mini' (did you"),
    ],
)  # fmt: skip
def test_what_is_probably_not_meant_is_one_sentence(study: Any, more: dict[str, Any], words: str) -> None:
    (told,) = warnings_of(study(**more))
    assert told.startswith(words) and "\n" not in told


@pytest.mark.parametrize(
    "more",
    [
        {"models": {"weak": NANO, "strong": NANO}},
        {"models": {"weak": UNHEARD, "strong": NANO}},
        {"grid": {"train.strong.lr": [1, 2]}, "train": {"by_model": {MICRO: {"epochs": 3}, NANO: {"lr": 3}}}},
        {"grid": {"train.strong": [{"lr": 1}, {"lr": 2}]}},
        {"grid": {"train.strong": [{"lr": 1}, {"lr": 2}]}, "train": {"by_model": {MICRO: {"epochs": 3}}}},
        {"grid": {"train.by_model": [{MICRO: {"lr": 1}}, {MICRO: {"lr": 2}}]}},
    ],
)
def test_what_may_well_be_meant_is_not_doubted(study: Any, more: dict[str, Any]) -> None:
    assert list(warnings_of(study(**more))) == []


def test_a_search_is_doubted_for_what_it_looks_at_and_not_for_its_seeds(study: Any) -> None:
    space = {"space": {"train.strong.lr": {"log": [1e-4, 1e-2]}}}
    assert list(warnings_of_search(study(seeds=[0], tune=space))) == []
    (gold,) = warnings_of_search(study(tune=space | {"select_on": "gold"}))
    assert gold.startswith("tune.select_on: gold; ") and "ORACLE" in gold
    (kept,) = warnings_of_search(study(tune=space, tuned={"search": "s", "select_on": "gold"}))
    assert kept.startswith("tuned: ") and kept.endswith("keeps that mark")
    (fixed,) = warnings_of_search(study(tune=space, train={"by_model": {MICRO: {"lr": 1}}}))
    assert fixed.startswith("train.strong.lr varies, but train.by_model sets lr of world/micro")
    whole = {"space": {"train.strong": {"choice": [{"lr": 1}, {"lr": 2}]}}}
    (same,) = warnings_of_search(study(tune=whole, train={"by_model": {MICRO: {"lr": 1}}}))
    assert same == fixed
