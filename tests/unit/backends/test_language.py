"""Causal language models against plain transformers: the loss, the fit, likelihoods and greedy words; and untrained
copies of a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_rows import WORDS, Place, shuffled

from w2s_ray.backends.batch.order import epoch_batches, id_hashes
from w2s_ray.backends.batch.tokens import end_id, tokenise, tokenizer_digest
from w2s_ray.backends.fit.fitted import Fitted
from w2s_ray.backends.fit.job import Job
from w2s_ray.backends.fit.single import fit
from w2s_ray.backends.inference.embed import embed_base
from w2s_ray.backends.inference.hf import HuggingFaceModel, open_model
from w2s_ray.backends.models.load import load_tokenizer
from w2s_ray.backends.models.scratch import build_untrained
from w2s_ray.config.recipe import Recipe
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.errors import DataError, Interrupted, ModelError
from w2s_ray.core.resources import Resources

RECIPE = Recipe(lr=3e-3, epochs=2, batch=16, bucket=2, warmup=2, weight_decay=0.1, clip=0.5)


def texts(count: int, seed: int = 0) -> Dataset:
    """Texts of 2 to 20 words that say the words in order, from anywhere, with now and then one that does not belong."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        start, length = rng.integers(60), rng.integers(2, 21)
        rows.append(
            " ".join(WORDS[rng.integers(60) if rng.random() < 0.1 else (start + i) % 60] for i in range(length))
        )
    return Dataset.of("toy", "corpus", "generation", (), [f"r{i}" for i in range(count)], prompt=rows)


def fitted(
    model: str,
    folder: Path,
    recipe: Recipe = RECIPE,
    data: Dataset | None = None,
    progress: Any = None,
    **resources: Any,
) -> Fitted:
    folder.mkdir(exist_ok=True)
    settings = {"checkpoint_every_s": 1e9} | resources
    return fit(
        Job(data or texts(80), (), model, recipe, Resources(**settings), Place(folder), folder / "cache", progress)
    )


def surprise(model: HuggingFaceModel, data: Dataset) -> float:
    return model.surprise(data.inputs["prompt"].tolist())


def words(model: HuggingFaceModel, prompts: Sequence[str], most: int) -> list[str]:
    return [said.text for said in model.generate(prompts, most)]


def loaded(model: str, micro_tokens: int = 4096) -> HuggingFaceModel:
    return open_model(model, Recipe(), Resources(micro_tokens=micro_tokens))


def plain(model: str) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(model).eval()


def losses(fitted: Fitted) -> list[float]:
    return [point["loss"] for point in fitted.log]


def weights(fitted: Fitted) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = fitted.reader.backbone.state_dict()
    return found


# ---- how surprised it is


@pytest.mark.parametrize("micro_tokens", [21, 100, 10**6])
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_surprise_is_the_loss_of_transformers(name: str, micro_tokens: int, request: pytest.FixtureRequest) -> None:
    """Its mean over all tokens of all rows: padding has the label -100, which is left out."""
    path, data = request.getfixturevalue(name), texts(30)
    rows = [torch.tensor(ids) for ids in load_tokenizer(path)(data.inputs["prompt"].tolist())["input_ids"]]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=0)
    labels = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-100)
    with torch.no_grad():
        expected = plain(path)(input_ids=ids, attention_mask=(labels >= 0).long(), labels=labels).loss.item()
    assert surprise(loaded(path, micro_tokens), data) == pytest.approx(expected, abs=1e-5)
    assert surprise(loaded(path, micro_tokens), shuffled(data)) == pytest.approx(expected, abs=1e-5)
    assert 0.9 * np.log(63) < expected < 2 * np.log(63), "an untrained model knows nothing"


def test_an_empty_text_weighs_nothing(llama: str) -> None:
    """It has a bos and no next token, of which there is no surprise: not zero, for that would lower the mean."""
    one, two = (Dataset.of("t", "x", "generation", (), ["a", "b"][:n], prompt=["w1 w2 w3", ""][:n]) for n in (1, 2))
    language = loaded(llama)
    assert surprise(language, two) == pytest.approx(surprise(language, one), abs=1e-6)


# ---- the fit


def test_it_is_the_plain_loop(llama: str, tmp_path: Path) -> None:
    """The same batches, whole, through plain transformers and its own loss, with unfused AdamW and a schedule written
    out."""
    data = texts(70)
    language = fitted(llama, tmp_path / "fit", data=data, micro_tokens=50)
    model, tokens = plain(llama), tokenise(data, load_tokenizer(llama))
    parameters = list(model.parameters())
    decayed, free = [p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim == 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": free, "weight_decay": 0.0}], foreach=False
    )
    expected = []
    for step in range(10):
        rows = epoch_batches(id_hashes(tokens.ids), tokens.lengths_N, batch=16, bucket=2, seed=0, epoch=step // 5)[
            step % 5
        ]
        ids = torch.tensor(tokens.padded(rows, 0))
        mask = torch.arange(ids.shape[1]) < torch.tensor(tokens.lengths_N[rows])[:, None]
        loss = model(input_ids=ids, attention_mask=mask.long(), labels=ids.masked_fill(~mask, -100)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 0.5)
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * ((step + 1) / 2 if step < 2 else 0.5 * (1 + np.cos(np.pi * (step - 2) / 8)))
        optimizer.step()
        optimizer.zero_grad()
        expected.append(loss.item())
    assert losses(language) == pytest.approx(expected, abs=2e-5)
    trained = weights(language)
    assert all(torch.allclose(value, trained[name], atol=1e-4) for name, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_it_learns_what_comes_next_also_in_texts_that_it_has_not_read(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(name)
    before, unread = surprise(loaded(path), texts(60, seed=1)), texts(60, seed=1)
    made = fitted(path, tmp_path / "fit", Recipe(lr=2e-2, epochs=12, batch=16), texts(160))
    language = made.model
    after = surprise(language, unread)
    # Even who knows the order is surprised by the one word in ten that does not belong, and by the first one.
    assert after < 2 < before - 2
    said = words(language, [f"w{i} w{(i + 1) % 60} w{(i + 2) % 60}" for i in range(60)], 1)
    assert sum(word == f"w{(i + 3) % 60}" for i, word in enumerate(said)) > 40
    assert losses(made)[-1] < losses(made)[0] - 1

    made.save_pretrained(tmp_path / "saved")
    again = loaded(str(tmp_path / "saved"))
    assert surprise(again, unread) == pytest.approx(after, abs=1e-6)
    assert {file.suffix for file in (tmp_path / "saved").iterdir()} == {".json", ".safetensors"}
    made.save_pretrained(tmp_path / "half", half=True)
    assert surprise(loaded(str(tmp_path / "half")), unread) == pytest.approx(after, abs=0.01)
    assert (tmp_path / "half" / "model.safetensors").stat().st_size < 0.6 * (
        tmp_path / "saved" / "model.safetensors"
    ).stat().st_size


def test_micro_batches_do_not_change_what_is_learned(llama: str, tmp_path: Path) -> None:
    one, other = (fitted(llama, tmp_path / str(micro), micro_tokens=micro) for micro in (25, 4096))
    assert losses(one) == pytest.approx(losses(other), abs=1e-5)
    unread = texts(20, seed=1)
    assert surprise(one.model, unread) == pytest.approx(surprise(other.model, unread), abs=1e-5)


def test_the_order_of_rows_does_not_count(llama: str, tmp_path: Path) -> None:
    one, other = fitted(llama, tmp_path / "a"), fitted(llama, tmp_path / "b", data=shuffled(texts(80)))
    assert losses(one) == losses(other)


@pytest.mark.parametrize("dropout", [False, True])
def test_an_interrupted_fit_ends_bit_equal_to_one_never_interrupted(dropout: bool, gpt2: str, tmp_path: Path) -> None:
    recipe = RECIPE.model_copy(update={"dropout": dropout})

    def stop(state: dict[str, Any], curve: object) -> None:
        if state["step"] == 7:
            raise Interrupted("asked to stop")

    never = fitted(gpt2, tmp_path / "never", recipe)
    with pytest.raises(Interrupted):
        fitted(gpt2, tmp_path / "stopped", recipe, progress=stop)
    resumed = fitted(gpt2, tmp_path / "stopped", recipe)
    assert (never.facts["resumed"], [entry["step"] for entry in resumed.facts["resumed"]]) == ([], [7])
    assert losses(resumed) == losses(never)
    assert all(torch.equal(value, weights(never)[name]) for name, value in weights(resumed).items())
    assert [resumed.facts[fact] for fact in ("rows", "tokens")] == [never.facts[fact] for fact in ("rows", "tokens")]
    # Another recipe in the same place starts anew.
    assert fitted(gpt2, tmp_path / "stopped", recipe.model_copy(update={"seed": 1, "epochs": 1})).facts["resumed"] == []


def test_a_fit_leaves_the_streams_of_others_alone(llama: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    fitted(llama, tmp_path / "fit", Recipe(epochs=1))
    build_untrained(tmp_path / "untrained", Path(llama))
    assert torch.equal(torch.rand(3), expected)


def test_progress_is_told(llama: str, tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    language = fitted(
        llama, tmp_path / "fit", Recipe(lr=1e-3, epochs=2, batch=32), progress=lambda state, _: seen.append(state)
    )
    assert [state["step"] for state in seen] == [1, 2, 3, 4, 5, 6]
    assert [state["loss"] for state in seen] == losses(language)


# ---- candidates


PROMPTS = ["w1", "w5 w6 w7 w8 w9 w10", "w3 w2", "w40 w41 w42 w43"]
CANDIDATES = [
    ["w2", "w9 w8", "w1 w2 w3 w4"],
    ["w11", "w11 w12 w13", "w0 w0"],
    ["w1", "w1", "nope w1"],
    ["w44 w45 w46 w47 w48 w49", "w44", "w2 w3"],
]


def log_p(model: Any, tokenizer: Any, prompt: str, candidate: str) -> float:
    """One candidate alone, its tokens one after another."""
    known = tokenizer(prompt)["input_ids"]
    total = 0.0
    for token in tokenizer(candidate, add_special_tokens=False)["input_ids"]:
        with torch.no_grad():
            total += model(input_ids=torch.tensor([known])).logits[0, -1].double().log_softmax(dim=-1)[token].item()
        known = [*known, token]
    return total


@pytest.mark.parametrize("micro_tokens", [1, 24, 4096])
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_likelihoods_are_those_of_each_candidate_alone(
    name: str, micro_tokens: int, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(name)
    model, tokenizer = plain(path), load_tokenizer(path)
    expected = [
        [log_p(model, tokenizer, prompt, candidate) for candidate in row]
        for prompt, row in zip(PROMPTS, CANDIDATES, strict=True)
    ]
    found = loaded(path, micro_tokens).likelihoods(PROMPTS, CANDIDATES)
    assert found.shape == (4, 3)
    assert found == pytest.approx(np.array(expected), abs=1e-4)
    assert np.ptp(found) > 5, "short and long candidates differ"


def test_all_one_word_candidates_share_one(llama: str) -> None:
    """Words, special tokens among them, are all that may come next."""
    tokenizer = load_tokenizer(llama)
    vocabulary = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    found = loaded(llama).likelihoods(["w4 w5", "w9"], [vocabulary] * 2)
    assert np.exp(found).sum(axis=1) == pytest.approx([1, 1], abs=1e-5)


def test_an_empty_candidate_is_refused(llama: str) -> None:
    with pytest.raises(DataError, match="adds no token to the prompt"):
        loaded(llama).likelihoods(["w1", "w2"], [["w3", "w4"], ["w3", " "]])


# ---- words to come


def greedy(path: str, prompts: Sequence[str], max_tokens: int, end: int | None = None) -> list[str]:
    """transformers' own, one prompt at a time."""
    model, tokenizer = plain(path), load_tokenizer(path)
    out = []
    for prompt in prompts:
        ids = torch.tensor([tokenizer(prompt)["input_ids"]])
        model.generation_config.eos_token_id = end
        made = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=max_tokens, pad_token_id=0
        )[0, ids.shape[1] :].tolist()
        out.append(tokenizer.decode([token for token in made if token != end], skip_special_tokens=True).strip())
    return out


@pytest.mark.parametrize("micro_tokens", [1, 30, 4096])
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_generated_words_are_those_of_transformers(
    name: str, micro_tokens: int, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(name)
    expected = greedy(path, PROMPTS, 6, end_id(load_tokenizer(path)))
    assert words(loaded(path, micro_tokens), PROMPTS, 6) == expected
    assert len(set(expected)) > 1


@pytest.mark.parametrize("micro_tokens", [1, 4096])
def test_generation_ends_at_the_end_token(micro_tokens: int, llama: str) -> None:
    """Made the end of a text, a word that comes ends its own prompt's words and no other's."""
    free = greedy(llama, PROMPTS, 6)
    end = next(word for word in free[0].split() if sum(word in text.split() for text in free) < len(free))
    language = loaded(llama, micro_tokens)
    language.tokenizer.add_special_tokens({"eos_token": end})
    expected = [text.split()[: text.split().index(end)] if end in text.split() else text.split() for text in free]
    assert [text.split() for text in words(language, PROMPTS, 6)] == expected
    assert greedy(llama, PROMPTS, 6, language.tokenizer.eos_token_id) == [" ".join(words) for words in expected]


# ---- what is refused


def test_a_model_that_reads_both_ways_has_no_next_word(bert: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"reads both ways \(bert\).*name a causal language model"):
        open_model(bert, Recipe(), Resources())
    with pytest.raises(ModelError, match="reads both ways"):
        fitted(bert, tmp_path / "fit")


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_texts_longer_than_the_model_reads_are_refused_by_name(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """As `fit` refuses them: a model of 64 positions has none for the 70th word."""
    long = Dataset.of("t", "x", "generation", (), ["short", "long"], prompt=["w1 w2", "w1 " * 70])
    with pytest.raises(DataError, match=r"1 rows are longer than the 64 tokens .*'long' with 71 tokens"):
        fitted(request.getfixturevalue(name), tmp_path / "fit", data=long)


# ---- untrained copies


@pytest.mark.parametrize("name", ["llama", "gpt2", "bert"])
def test_an_untrained_model_has_the_shape_and_the_tokenizer_and_weights_of_its_own(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    from transformers import AutoModel

    path = request.getfixturevalue(name)
    like = tmp_path / "like"
    AutoModel.from_pretrained(path).half().save_pretrained(like)  # a ladder keeps half precision
    load_tokenizer(path).save_pretrained(like)
    made = [build_untrained(tmp_path / str(i), like, seed=seed) for i, seed in enumerate((0, 0, 1))]
    assert (made[0] / "model.safetensors").read_bytes() == (made[1] / "model.safetensors").read_bytes()
    before, one, other = (AutoModel.from_pretrained(folder).state_dict() for folder in (like, made[0], made[2]))
    assert {key: value.shape for key, value in one.items()} == {key: value.shape for key, value in before.items()}
    matrices = [key for key, value in one.items() if value.ndim > 1 and value.is_floating_point()]
    assert matrices
    for key in matrices:
        assert one[key].dtype == torch.float32
        assert not torch.allclose(one[key], before[key].float(), atol=1e-2)
        assert not torch.equal(one[key], other[key])
    assert tokenizer_digest(load_tokenizer(str(made[0]))) == tokenizer_digest(load_tokenizer(path))
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["0", "1", "2", "like"], "no part is left behind"


def test_an_untrained_model_is_drawn_as_its_architecture_draws_it(llama: str, tmp_path: Path) -> None:
    """The config's own initializer_range, not the weights' spread after training."""
    from transformers import AutoConfig, AutoModel

    model = AutoModel.from_pretrained(build_untrained(tmp_path / "made", Path(llama)))
    spread = AutoConfig.from_pretrained(llama).initializer_range
    assert spread == 0.2
    assert model.layers[0].mlp.up_proj.weight.std().item() == pytest.approx(spread, rel=0.1)
    assert torch.equal(model.norm.weight, torch.ones(16))
    data = texts(5)
    features = [
        embed_base(str(folder), data, Recipe(), Resources(), None).array_ND for folder in (llama, tmp_path / "made")
    ]
    assert features[0].shape == features[1].shape
    assert not np.allclose(features[0], features[1], atol=0.1)
