"""Preferences, choices and generations through the one training loop, against arithmetic written out with plain
transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_rows import Place, toy, toy_answers, toy_choices, toy_preferences

from w2s_ray.backends.batch.tokens import tokenise, tokenise_answered
from w2s_ray.backends.fit.fitted import load_fitted
from w2s_ray.backends.fit.job import Job
from w2s_ray.backends.fit.probes import fit_probe
from w2s_ray.backends.fit.single import fit
from w2s_ray.backends.inference.embed import embed_base
from w2s_ray.backends.models.load import load_tokenizer
from w2s_ray.config.recipe import Recipe
from w2s_ray.core.answers import Answers
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.errors import ConfigError, DataError, ModelError
from w2s_ray.core.labels import LabelSet
from w2s_ray.core.plugins import available, build
from w2s_ray.core.resources import Resources

LOSSES = sorted(available("w2s_ray.losses"))


def run(model: str, place: Place, data: Dataset, labels: list[Any], recipe: Recipe, **resources: Any) -> Any:
    return fit(
        Job(
            data,
            labels,
            model,
            recipe,
            Resources(**{"checkpoint_every_s": 1e9} | resources),
            place,
            place.folder / "cache",
        )
    )


def one_step(**fields: Any) -> Recipe:
    return Recipe(**{"epochs": 1, "batch": 64, "lr": 1e-6, "clip": None} | fields)


def plain_causal(path: str) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()


def log_p(model: Any, ids: list[int], start: int) -> float:
    """Of the tokens from `start` on, one sequence alone."""
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].log_softmax(dim=-1)
    return float(sum(logits[place - 1, ids[place]] for place in range(start, len(ids))))


# ---- preferences


@pytest.mark.parametrize("micro_tokens", [30, 4096])
def test_the_loss_of_a_preference_is_bradley_and_terry_s(llama: str, place: Place, micro_tokens: int) -> None:
    """-q log sigmoid(r1 - r2) - (1 - q) log sigmoid(r2 - r1), with soft q and weights."""
    data, _ = toy_preferences(20)
    rng = np.random.default_rng(0)
    q_N, weight_N = rng.random(20), rng.random(20)
    soft = LabelSet.of(data.ids, np.stack([q_N, 1 - q_N], axis=1), weight_N=weight_N)
    fitted = run(llama, place, data, [soft], one_step(head_init="normal", seed=3), micro_tokens=micro_tokens)
    start = run(
        llama, Place(place.folder / "other"), data, [soft], one_step(head_init="normal", seed=3, lr=1e-30)
    ).reader
    tokenizer = load_tokenizer(llama)

    def worth(text: str) -> float:
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        with torch.no_grad():
            return float(start.head(start.backbone(ids).last_hidden_state[0, -1]))

    difference_N = torch.tensor(
        [worth(a) - worth(b) for a, b in zip(data.inputs["first"], data.inputs["second"], strict=True)]
    )
    losses_N = -torch.tensor(q_N) * torch.nn.functional.logsigmoid(difference_N) - torch.tensor(
        1 - q_N
    ) * torch.nn.functional.logsigmoid(-difference_N)
    expected = float((losses_N * torch.tensor(weight_N)).sum() / weight_N.sum())
    assert fitted.log[0]["loss"] == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(fitted.predict(data).probs_NK[:, 0], torch.sigmoid(difference_N).numpy(), atol=1e-4)


def test_a_preference_turned_round_is_the_opposite(llama: str, place: Place) -> None:
    data, truth = toy_preferences(200)
    fitted = run(llama, place, data, [truth], Recipe(lr=1e-2, epochs=4, pooling="mean"))
    turned = Dataset.of(
        "toy", "x", "preference", ("0", "1"), data.ids, first=data.inputs["second"], second=data.inputs["first"]
    )
    said = fitted.predict(data)
    np.testing.assert_allclose(said.probs_NK, fitted.predict(turned).probs_NK[:, ::-1], atol=1e-5)
    assert (said.hard_N == truth.hard_N).mean() > 0.8


def test_a_probe_of_preferences_has_no_side(llama: str) -> None:
    data, truth = toy_preferences(200)
    turned = Dataset.of(
        "toy", "x", "preference", ("0", "1"), data.ids, first=data.inputs["second"], second=data.inputs["first"]
    )
    one, other = (embed_base(llama, rows, Recipe(pooling="mean"), Resources(), None) for rows in (data, turned))
    assert one.signed
    np.testing.assert_allclose(one.array_ND, -other.array_ND, atol=1e-6)
    probe = fit_probe(one, [truth], Recipe(adapt="probe", l2=1e-3))
    np.testing.assert_allclose(probe.predict(one).probs_NK, probe.predict(other).probs_NK[:, ::-1], atol=1e-6)
    assert (probe.predict(one).hard_N == truth.hard_N).mean() > 0.6


# ---- choices


@pytest.mark.parametrize("micro_tokens", [30, 4096])
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_the_logits_of_a_choice_are_its_candidates_likelihoods(
    name: str, micro_tokens: int, place: Place, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(name)
    data, truth = toy_choices(12)
    fitted = run(path, place, data, [truth], one_step(lr=1e-30), micro_tokens=micro_tokens)
    model, tokenizer = plain_causal(path), load_tokenizer(path)
    expected = []
    for prompt, candidates in zip(data.inputs["prompt"], data.candidates, strict=True):
        start = len(tokenizer(prompt)["input_ids"])
        expected.append(
            [log_p(model, tokenizer(f"{prompt} {candidate}")["input_ids"], start) for candidate in candidates]
        )
    expected_NC = torch.tensor(expected)
    np.testing.assert_allclose(fitted.predict(data).probs_NK, expected_NC.softmax(dim=-1).numpy(), atol=1e-4)
    losses_N = torch.nn.functional.cross_entropy(expected_NC, torch.tensor(truth.hard_N), reduction="none")
    assert fitted.log[0]["loss"] == pytest.approx(float(losses_N.mean()), rel=1e-4)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_teaches_a_choice(loss: str, llama: str, place: Place) -> None:
    data, truth = toy_choices(60, choices=3)
    settings = {"type": loss} | ({"threshold": "argmax"} if loss == "logconf" else {})
    fitted = run(
        llama, place, data, [truth], Recipe(lr=1e-2, epochs=3, loss=build("w2s_ray.losses", settings)), micro_tokens=100
    )
    assert np.isfinite(fitted.predict(data).probs_NK).all()


# ---- generations


def test_the_loss_of_a_generation_is_the_answers_surprise(llama: str, place: Place) -> None:
    """The mean over an answer's tokens and its end, over the teachers that speak, over rows by weight."""
    data, truth = toy_answers(10)
    rng = np.random.default_rng(0)
    weight_N = rng.random(10)
    one = Answers.of(data.ids, truth.texts_N, weight_N=weight_N)
    other = Answers.of(data.ids, ["w1 w2 w3"] * 10, mask_N=np.arange(10) % 2 == 0, weight_N=weight_N)
    fitted = run(llama, place, data, [one, other], one_step(), micro_tokens=40)
    model, tokenizer = plain_causal(llama), load_tokenizer(llama)
    losses = []
    for n, prompt in enumerate(data.inputs["prompt"]):
        said = []
        for teacher in (one, other):
            if teacher.mask_N[n]:
                start, whole = (
                    len(tokenizer(prompt)["input_ids"]),
                    [*tokenizer(f"{prompt} {teacher.texts_N[n]}")["input_ids"], tokenizer.bos_token_id],
                )
                said.append(-log_p(model, whole, start) / (len(whole) - start))
        losses.append(np.mean(said))
    assert fitted.log[0]["loss"] == pytest.approx(float(np.average(losses, weights=weight_N)), rel=1e-5)


@pytest.mark.parametrize("adapt", ["full", "lora"])
def test_a_generation_learns_to_answer_and_to_stop(adapt: str, llama: str, place: Place, tmp_path: Path) -> None:
    data, truth = toy_answers(200)
    fitted = run(llama, place, data, [truth], Recipe(adapt=adapt, lr=2e-2, epochs=10, answer_tokens=5))
    said = fitted.predict(data)
    assert (said.hard_N == truth.hard_N).mean() > {"full": 0.8, "lora": 0.55}[adapt]
    assert np.isin(said.hard_N.astype(str), ["w7", "w8 w9", "w8", "w9"]).mean() > 0.9  # it stops
    assert (said.log_p_N < 0).all()
    fitted.save(tmp_path / "saved")
    again = load_fitted(tmp_path / "saved", llama).predict(data)
    assert again.digest == said.digest


def test_an_answer_that_was_cut_off_is_not_taught_as_one_that_ended(llama: str, place: Place, tmp_path: Path) -> None:
    data, truth = toy_answers(60)
    fitted = run(llama, place, data, [truth], Recipe(lr=2e-2, epochs=10, answer_tokens=5))
    brief = fitted.predict(data)
    assert brief.ended_N.all()
    assert brief.mask_N.sum() > 30
    data, brief = (
        data.select(brief.ids[brief.mask_N]),
        brief.align(brief.ids[brief.mask_N]),
    )  # an empty answer ends at once
    fitted.recipe = fitted.recipe.model_copy(update={"answer_tokens": 1})
    cut = fitted.predict(data)
    assert not cut.ended_N.any()
    cut.save(tmp_path)
    assert Answers.load(tmp_path).align(data.ids[::-1]).ended_N.tolist() == cut.ended_N[::-1].tolist()
    tokenizer = load_tokenizer(llama)
    for answers, ends in ((brief, True), (cut, False)):
        tokens = tokenise_answered(data, [answers], tokenizer)
        last_N = tokens.flat[tokens.offsets[1:] - 1]
        assert (np.asarray(last_N) == tokenizer.bos_token_id).tolist() == [ends] * len(data)


def test_answers_that_nobody_could_give_are_refused(llama: str, place: Place) -> None:
    data, _ = toy_answers(40)
    long = Answers.of(data.ids, ["w1 w2 w3 w4"] * 3 + ["w1"] * 37)
    with pytest.raises(
        ConfigError,
        match=(
            r"^3 of 40 answers are longer than train.\*.answer_tokens, which is 3, .*; the longest has 4 tokens: set .*"
            r" to 4$"
        ),
    ):
        run(llama, place, data, [long], one_step(answer_tokens=3))
    run(llama, place, data, [long], one_step(answer_tokens=4))
    few = Answers.of(data.ids, ["w1 w2 w3 w4"] * 2 + ["w1"] * 38)  # a twentieth
    run(llama, Place(place.folder / "few"), data, [few], one_step(answer_tokens=3))


def test_micro_batches_do_not_change_what_is_answered(llama: str, place: Place) -> None:
    data, truth = toy_answers(40)
    recipe = Recipe(lr=1e-2, epochs=2, answer_tokens=4)
    whole = run(llama, place, data, [truth], recipe)
    cut = run(llama, Place(place.folder / "other"), data, [truth], recipe, micro_tokens=20)
    np.testing.assert_allclose([p["loss"] for p in whole.log], [p["loss"] for p in cut.log], rtol=1e-4)
    np.testing.assert_allclose(whole.predict(data).log_p_N, cut.predict(data).log_p_N, atol=1e-3)


# ---- what is refused


def test_a_model_that_reads_both_ways_has_no_next_word(bert: str, place: Place) -> None:
    data, truth = toy_choices(8)
    with pytest.raises(ModelError, match="no next word"):
        run(bert, place, data, [truth], one_step())


def test_answers_and_classes_do_not_mix(llama: str, place: Place) -> None:
    data, truth = toy_answers(8)
    rows, classes = toy(8)
    with pytest.raises(DataError, match="are classes"):
        run(llama, place, data, [classes], one_step())
    with pytest.raises(DataError, match="are texts"):
        run(llama, place, rows, [truth], one_step())
    fitted = run(llama, place, rows, [classes], one_step())
    with pytest.raises(DataError, match="rows of kind 'generation'"):
        fitted.predict(data)


def test_a_choice_has_no_vector(llama: str) -> None:
    data, _ = toy_choices(4)
    with pytest.raises(DataError, match="no vector of its own"):
        embed_base(llama, data, Recipe(), Resources(), None)


def test_features_of_a_trained_choice_are_refused(llama: str, place: Place) -> None:
    data, truth = toy_choices(4)
    with pytest.raises(ConfigError, match="features of a choice"):
        run(llama, place, data, [truth], one_step()).embed(data)


def test_a_prompt_that_leaves_no_room_for_its_answer_is_refused(llama: str, place: Place) -> None:
    """The toy model reads 64 tokens."""
    data, truth = toy_answers(8)
    fitted = run(llama, place, data, [truth], one_step(answer_tokens=10))
    long = Dataset.of("toy", "x", "generation", (), ["long"], prompt=["w1 " * 58])
    with pytest.raises(DataError, match="longer than the 54 tokens"):
        fitted.predict(long)


# ---- tokens


def test_an_answer_starts_where_its_prompt_ends(llama: str) -> None:
    data, truth = toy_answers(6)
    tokens = tokenise_answered(data, [truth], load_tokenizer(llama))
    prompts = tokenise(data, load_tokenizer(llama))
    assert tokens.second_Q.tolist() == prompts.lengths_Q.tolist()
    assert 0 < tokens.answer_share < 1


def test_rows_of_several_sequences_take_what_their_longest_takes(llama: str) -> None:
    data, _ = toy_preferences(9)
    tokens = tokenise(data, load_tokenizer(llama))
    lengths = [
        [len(text.split()) + 1 for text in pair] for pair in zip(*data.select(tokens.ids).inputs.values(), strict=True)
    ]
    assert tokens.lengths_N.tolist() == [2 * max(pair) for pair in lengths]
    assert tokens.real_N.tolist() == [sum(pair) for pair in lengths]


def test_candidates_are_a_list_of_texts() -> None:
    data, _ = toy_choices(3)
    assert [len(row) for row in data.candidates] == [3, 3, 3]
    assert data.candidates[0] == tuple(json.loads(data.inputs["choices"][0]))
