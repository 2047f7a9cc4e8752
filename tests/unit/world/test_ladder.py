"""The models that are shipped are what their record says, and the record is what their recipe makes."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from integration.face import Face

from w2s_ray.backends.models.scratch import SPECIAL
from w2s_ray.cli.world import TOLERANCE, compare
from w2s_ray.core.resources import Resources
from w2s_ray.ops.models import folder_digest, identify, locate, num_parameters
from w2s_ray.world import corpus as corpus_module
from w2s_ray.world.corpus import corpus
from w2s_ray.world.examine import PROBED, examine, words_sorted
from w2s_ray.world.ladder import LADDER, RECORD, read_record
from w2s_ray.world.lexicon import FIRST_HARD, NUM_HARD, NUM_SUBJECTS, vocabulary
from w2s_ray.world.models import TOKENIZER, WEIGHTS, folder

NAMES = ("nano", "micro", "mini", "small")
MEGABYTE = 2**20


@cache
def record() -> dict[str, Any]:
    return read_record()


def numbers(examination: dict[str, Any], prefix: str = "") -> dict[str, float]:
    flat: dict[str, float] = {}
    for name, value in examination.items():
        flat |= numbers(value, f"{prefix}{name} ") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


@pytest.fixture
def face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Face:
    monkeypatch.delenv("W2S_STORE", raising=False)
    return Face(tmp_path, monkeypatch)


# ---- what is shipped


def test_the_ladder_is_small_and_holds_nothing_else() -> None:
    files = [path for path in WEIGHTS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 8 * MEGABYTE
    assert {path.name for path in WEIGHTS.iterdir()} == {*NAMES, TOKENIZER.name, RECORD}
    model, words = (
        {"config.json", "generation_config.json", "model.safetensors"},
        {"tokenizer.json", "tokenizer_config.json"},
    )
    assert all({path.name for path in (WEIGHTS / name).iterdir()} == model for name in NAMES)
    assert all({path.name for path in folder(name).iterdir()} == model | words for name in NAMES)
    assert not any(
        text in path.read_text()
        for path in files
        if path.suffix == ".json"
        for text in ("/tmp", "/home", "/root", "/work")
    )


def test_every_file_travels_with_the_package() -> None:
    """setuptools ships what its globs name."""
    import tomllib

    root = Path(__file__).parents[3]
    globs = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["w2s_ray"]
    shipped = {path for pattern in globs for path in (root / "w2s_ray").glob(pattern)}
    assert {path for path in WEIGHTS.rglob("*") if path.is_file()} <= shipped


def test_the_record_is_of_these_bytes_and_of_this_recipe() -> None:
    assert tuple(record()) == tuple(LADDER) == NAMES
    for name, rung in LADDER.items():
        assert record()[name]["digest"] == folder_digest(folder(name)), name
        assert record()[name]["recipe"] == asdict(rung), name
        assert record()[name]["corpus"] == corpus_module.VERSION
        assert record()[name]["examination"]["parameters"] == num_parameters(f"world/{name}", Path()), name


def test_sizes_ascend_and_so_does_what_is_read() -> None:
    parameters = [record()[name]["examination"]["parameters"] for name in NAMES]
    assert all(larger > 1.5 * smaller for smaller, larger in pairwise(parameters))
    assert 1e5 < parameters[0] < parameters[-1] < 2e6
    steps = [LADDER[name].steps for name in NAMES]
    assert steps == sorted(set(steps))


@pytest.mark.parametrize("name", NAMES)
def test_a_model_is_an_ordinary_folder(name: str) -> None:
    from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder(name)), AutoTokenizer.from_pretrained(folder(name))
    known = tokenizer.get_vocab()
    assert tuple(sorted(known, key=known.get)) == (*SPECIAL, *vocabulary())
    assert model.config.vocab_size == len(known) == model.get_input_embeddings().weight.shape[0]
    assert tokenizer.tokenize(" ".join(vocabulary())) == list(vocabulary())
    assert model.lm_head.weight.data_ptr() == model.get_input_embeddings().weight.data_ptr()
    assert all(bool(torch.isfinite(weight).all()) for weight in model.parameters())
    one = AutoModel.from_pretrained(folder(name))
    assert sum(weight.numel() for weight in one.parameters()) == record()[name]["examination"]["parameters"]


def test_names_are_found_by_their_digest_and_untrained_ones_are_made(tmp_path: Path) -> None:
    from transformers import AutoModel

    for name in NAMES:
        found = identify(f"world/{name}", tmp_path)
        assert found.identity == f"world-{name}@{record()[name]['digest']}"
        assert Path(locate(found.path)) == folder(name)
    untrained = identify("untrained:world/nano", tmp_path)
    assert record()["nano"]["digest"] in untrained.identity
    assert untrained.identity != identify("world/nano", tmp_path).identity
    one, like = (AutoModel.from_pretrained(locate(ref.path)) for ref in (untrained, identify("world/nano", tmp_path)))
    assert {key: value.shape for key, value in one.state_dict().items()} == {
        key: value.shape for key, value in like.state_dict().items()
    }
    assert not torch.allclose(one.embed_tokens.weight, like.embed_tokens.weight.float(), atol=1e-2)


# ---- what they know


def test_larger_models_know_more() -> None:
    """The ladder is a ladder: each rung is less surprised and has sorted more words than the one below."""
    known = [record()[name]["examination"] for name in NAMES]
    assert all(above["nats_per_token"] < below["nats_per_token"] - 0.05 for below, above in pairwise(known))
    assert all(above["words_sorted"] > below["words_sorted"] for below, above in pairwise(known))
    assert known[0]["words_sorted"] < 0.3, "the smallest must have something to be taught"
    assert known[-1]["words_sorted"] > 0.9


def test_what_a_probe_reads_grows_with_the_model_most_of_all_on_hard_rows() -> None:
    nano, small = (record()[name]["examination"]["probes"] for name in ("nano", "small"))
    for task in PROBED:
        assert set(small[task]) == {"all", "easy", "hard", "overlap"}
        assert small[task]["hard"] > nano[task]["hard"] + 0.15, task
    chance = {task: 0.2 if task == "topic5" else 0.5 for task in PROBED}
    assert all(abs(nano[task]["hard"] - chance[task]) < 0.1 for task in PROBED), "hard words are beyond the smallest"
    assert all(small[task]["all"] > 0.9 for task in ("topic", "topic5"))


def test_the_strong_model_knows_answers_and_when_it_knows_them() -> None:
    nano, small = (record()[name]["examination"]["qa"] for name in ("nano", "small"))
    assert abs(nano["chosen"] - 0.25) < 0.1, "of four names the smallest finds the right one by chance"
    assert small["chosen"] > nano["chosen"] + 0.2
    assert small["generated"] > nano["generated"] + 0.2
    assert small["auroc_of_knowing"] >= 0.7


def test_an_examination_of_nano_today_agrees_with_its_record() -> None:
    made, known = numbers(examine(folder("nano"), Resources())), numbers(record()["nano"]["examination"])
    assert made.keys() == known.keys()
    for name, value in made.items():
        assert value == pytest.approx(known[name], abs=TOLERANCE), name


def test_surprise_in_the_record_is_the_loss_of_transformers() -> None:
    """On the same unread documents, one by one."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = (auto.from_pretrained(folder("micro")) for auto in (AutoModelForCausalLM, AutoTokenizer))
    model = model.float().eval()
    total = count = 0.0
    for text in corpus(512, 1).inputs["prompt"].tolist():
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        with torch.no_grad():
            total += model(input_ids=ids, labels=ids).loss.item() * (ids.shape[1] - 1)
        count += ids.shape[1] - 1
    assert total / count == pytest.approx(record()["micro"]["examination"]["nats_per_token"], abs=2e-3)


def test_words_are_sorted_when_each_is_nearest_to_its_own_topic() -> None:
    rng = np.random.default_rng(0)
    centres, first = rng.normal(size=(NUM_SUBJECTS, 8)), len(SPECIAL) + FIRST_HARD
    table = rng.normal(size=(len(SPECIAL) + len(vocabulary()), 8))
    chance = words_sorted(table)
    assert abs(chance - 1 / NUM_SUBJECTS) < 0.03
    table[first : first + NUM_SUBJECTS * NUM_HARD] = np.repeat(centres, NUM_HARD, axis=0) + rng.normal(
        scale=0.01, size=(NUM_SUBJECTS * NUM_HARD, 8)
    )
    assert words_sorted(table) == 1
    # Every asked word of the first topic moved to the second.
    table[first + 1 : first + NUM_HARD : 2] = centres[1]
    assert words_sorted(table) == pytest.approx(1 - 1 / NUM_SUBJECTS)


# ---- made again


def changed(**more: Any) -> dict[str, Any]:
    made = copy.deepcopy(record()["nano"])
    for name, value in more.items():
        made[name] = value
    return made


def test_verdicts() -> None:
    known = record()["nano"]
    assert compare(known, known) == "the same bytes as shipped"
    near, far = copy.deepcopy(known["examination"]), copy.deepcopy(known["examination"])
    near["qa"]["chosen"] += 0.9 * TOLERANCE
    far["probes"]["topic"]["hard"] -= 1.2 * TOLERANCE
    assert (
        compare(changed(digest="other", examination=near), known)
        == "agrees with what is shipped; at most 0.045 apart (qa.chosen)"
    )
    assert (
        compare(changed(digest="other", examination=far), known)
        == "differs from what is shipped; at most 0.060 apart (probes.topic.hard)"
    )
    for other in (changed(recipe=known["recipe"] | {"steps": 61}), changed(corpus=-1)):
        assert compare(other, known).startswith("differs: the shipped model was made by another recipe")
    assert compare(known, None).startswith("differs")


def test_the_face_shows_the_record(face: Face) -> None:
    text = face.w2s("world").out
    for name in NAMES:
        (line,) = [line for line in text.splitlines() if line.startswith(f"world/{name} ")]
        seen = record()[name]["examination"]
        expected = [
            f"{seen['parameters']:,}",
            str(LADDER[name].steps),
            f"{seen['nats_per_token']:.2f}",
            f"{seen['words_sorted']:.2f}",
        ]
        expected += [*(f"{seen['probes'][task]['hard']:.2f}" for task in PROBED), f"{seen['qa']['chosen']:.2f}"]
        assert line.split()[1:] == expected


def test_a_rung_that_is_not_there_is_refused(face: Face) -> None:
    refusal = face.w2s("world", "build", "nanno", "--local", "--store", str(face.store)).refusal
    assert all(part in refusal for part in ("'nanno' is not a rung", "did you mean 'nano'", "micro, mini, small")), (
        refusal
    )
    assert not (face.folder / "world").exists()


@pytest.mark.slow
def test_nano_is_made_again_from_its_seeds(face: Face) -> None:
    """Another machine's last digits differ, so what must agree is the examination; bytes may."""
    ended = face.w2s("world", "build", "nano", "--local", "--store", str(face.store), "--out", "made")
    assert ended.code == 0, ended.out + ended.err
    (verdict,) = [line for line in ended.out.splitlines() if line.startswith("nano: ")]
    assert verdict.startswith(("nano: the same bytes as shipped", "nano: agrees with what is shipped"))
    made = json.loads((face.folder / "made" / RECORD).read_text())["nano"]
    assert made["digest"] == folder_digest(face.folder / "made" / "nano")
    assert (face.folder / "made" / "nano" / "tokenizer.json").read_bytes() == (
        TOKENIZER / "tokenizer.json"
    ).read_bytes()
    assert {path.name for path in (face.folder / "made" / "nano").iterdir()} == {
        path.name for path in (folder("nano")).iterdir()
    }
    known = numbers(record()["nano"]["examination"])
    assert numbers(made["examination"]) == pytest.approx(known, abs=TOLERANCE)
    # A second build finds the first one in the store.
    assert face.w2s("world", "build", "nano", "--local", "--store", str(face.store), "--out", "again").code == 0
    assert folder_digest(face.folder / "again" / "nano") == made["digest"]
    assert len(list((face.store / "pretrain").iterdir())) == 1


def test_the_pretraining_reads_each_document_once() -> None:
    texts = corpus(2000, 0).inputs["prompt"].tolist()
    assert len(texts) == len(set(texts)) > 1990
    assert all(rung.recipe.epochs == 1 for rung in LADDER.values())
