"""Backbones: what is found out about them, what is refused, and that padding never changes an answer."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_rows import WORDS, toy, write_model

from w2s_ray.backends.batch.padded import Padded
from w2s_ray.backends.batch.tokens import tokenise
from w2s_ray.backends.models.classifier import build_classifier, training_mode
from w2s_ray.backends.models.load import load_backbone, load_tokenizer, pad_id, source
from w2s_ray.backends.models.scratch import build_scratch
from w2s_ray.config.recipe import Recipe
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.errors import ConfigError, DataError, ModelError

CPU = torch.device("cpu")


def test_causality_is_asked_of_the_model(llama: str, gpt2: str, bert: str) -> None:
    assert [load_backbone(path).causal for path in (llama, gpt2, bert)] == [True, True, False]


def test_positions_are_known(llama: str, tmp_path: Path) -> None:
    from transformers import RobertaConfig, RobertaModel

    assert load_backbone(llama).positions == 64
    config = RobertaConfig(
        vocab_size=63,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=66,
        pad_token_id=1,
    )
    roberta = load_backbone(write_model(tmp_path, RobertaModel(config)))
    assert roberta.positions == 64  # 2 of the 66 are never used
    with torch.no_grad():
        roberta.model(input_ids=torch.full((1, 64), 5))
        with pytest.raises((IndexError, RuntimeError)):
            roberta.model(input_ids=torch.full((1, 65), 5))


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_fused_kernels_compute_the_same(name: str, request: pytest.FixtureRequest) -> None:
    from transformers import AutoModel

    path = request.getfixturevalue(name)
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        fused, eager = load_backbone(path).model, AutoModel.from_pretrained(path).eval()
        assert {type(m) for m in fused.modules()} != {type(m) for m in eager.modules()}
        assert torch.allclose(fused(ids).last_hidden_state, eager(ids).last_hidden_state, atol=1e-5)
    assert fused.state_dict().keys() == eager.state_dict().keys()


@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize("name", ["llama", "gpt2", "bert"])
def test_a_row_among_longer_rows_has_the_logits_it_has_alone(
    name: str, pooling: Any, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(name)
    classifier = build_classifier(path, Recipe(pooling=pooling, head_init="normal"), 3).eval()
    data, _ = toy(12)
    tokens = tokenise(data, load_tokenizer(path))
    rows = np.arange(12)
    with torch.no_grad():
        for fill in (0, 7):  # 7 is a word: what stands in the padding must not matter
            together = classifier(Padded.of(tokens, rows, fill, CPU))
            alone = torch.cat([classifier(Padded.of(tokens, rows[i : i + 1], fill, CPU)) for i in rows])
            assert torch.allclose(together, alone, atol=1e-5)
    assert together.std(dim=0).min() > 1e-4


def test_last_pooling_reads_the_last_real_token_even_if_it_is_the_pad_token(llama: str) -> None:
    tokens = tokenise(
        Dataset.of("t", "x", "text", ("a", "b"), ["1", "2"], text=["w1 w2 <pad>", "w1 w2 w3 w4 w5"]),
        load_tokenizer(llama),
    )
    classifier = build_classifier(llama, Recipe(), 2).eval()
    with torch.no_grad():
        pooled = classifier.pooled(Padded.of(tokens, np.array([0, 1]), 0, CPU))
        direct = classifier.backbone(input_ids=torch.tensor([[1, 4, 5, 0]])).last_hidden_state[0, 3]
    assert torch.allclose(pooled[0], direct, atol=1e-6)


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_tokens_of_id_0_are_content(name: str, request: pytest.FixtureRequest) -> None:
    """In GPT-2 and Qwen id 0 is "!". openai/weak-to-strong counts the ids that are not 0 and so reads a text with two
    of them two tokens before its end."""
    path = request.getfixturevalue(name)
    text = "w1 <pad> w2 <pad> w3"
    data = Dataset.of("t", "x", "text", ("a", "b"), ["1", "2"], text=[text, f"{text} w4 w5 w6"])
    tokens = tokenise(data, load_tokenizer(path))
    ids = tokens.flat[: tokens.offsets[1]].astype(np.int64).tolist()
    assert ids.count(0) == 2 and tokens.lengths_Q[0] == len(ids)
    classifier = build_classifier(path, Recipe(head_init="normal"), 2).eval()
    with torch.no_grad():
        states = classifier.backbone(input_ids=torch.tensor([ids])).last_hidden_state[0]
        for fill in (0, 7):
            pooled = classifier.pooled(Padded.of(tokens, np.array([0, 1]), fill, CPU))
            assert torch.allclose(pooled[0], states[-1], atol=1e-5)
            assert not torch.allclose(pooled[0], states[-1 - 2], atol=1e-2), "what their count reads"


def test_mean_pooling_is_the_mean_over_real_tokens(bert: str) -> None:
    data, _ = toy(5)
    tokens = tokenise(data, load_tokenizer(bert))
    classifier = build_classifier(bert, Recipe(pooling="mean"), 2).eval()
    with torch.no_grad():
        pooled = classifier.pooled(Padded.of(tokens, np.arange(5), 0, CPU))
        for i in range(5):
            ids = torch.tensor(tokens.flat[tokens.offsets[i] : tokens.offsets[i + 1]].astype(np.int64))[None]
            assert torch.allclose(pooled[i], classifier.backbone(input_ids=ids).last_hidden_state[0].mean(0), atol=1e-5)


def test_layers_are_hidden_states(llama: str) -> None:
    tokens = tokenise(toy(3)[0], load_tokenizer(llama))
    classifier = build_classifier(llama, Recipe(), 2).eval()
    batch = Padded.of(tokens, np.arange(3), 0, CPU)
    with torch.no_grad():
        embedded = classifier.pooled(batch, 0)
        last_ids = batch.ids_QT[torch.arange(3), batch.lengths_Q - 1]
        assert torch.equal(embedded, classifier.backbone.get_input_embeddings()(last_ids))
        assert torch.allclose(classifier.pooled(batch, 2), classifier.pooled(batch, -1))
    with pytest.raises(ConfigError, match=r"layer is 3, .* 0 \(embeddings\) to 2"):
        classifier.pooled(batch, 3)


def test_an_encoder_tells_the_texts_of_a_pair_apart(tmp_path: Path) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from tokenizers.processors import TemplateProcessing
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = Tokenizer(WordLevel({w: i for i, w in enumerate(["[PAD]", "[CLS]", "[SEP]", "a", "b"])}, unk_token="[PAD]"))
    words.pre_tokenizer = WhitespaceSplit()
    words.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    torch.manual_seed(0)
    model = BertModel(
        BertConfig(
            vocab_size=5,
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=8,
            initializer_range=0.3,
        )
    )
    model.save_pretrained(tmp_path)
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]").save_pretrained(tmp_path)
    tokens = tokenise(
        Dataset.of("t", "x", "pair", ("n", "y"), ["1", "2"], first=["a a", "b"], second=["b", "a b a"]),
        load_tokenizer(str(tmp_path)),
    )
    assert tokens.second_Q.tolist() == [4, 3]
    classifier = build_classifier(str(tmp_path), Recipe(), 2).eval()
    with torch.no_grad():
        pooled = classifier.pooled(Padded.of(tokens, np.arange(2), 0, CPU))
        direct = classifier.backbone(
            input_ids=torch.tensor([[1, 3, 3, 2, 4, 2]]), token_type_ids=torch.tensor([[0, 0, 0, 0, 1, 1]])
        ).last_hidden_state[0, -1]
    assert torch.allclose(pooled[0], direct, atol=1e-5)


def test_the_head_is_seeded_and_zero_by_default(llama: str) -> None:
    assert not build_classifier(llama, Recipe(), 3).head.weight.any()
    one, same, other = (build_classifier(llama, Recipe(head_init="normal", seed=s), 3).head.weight for s in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_training_mode_has_no_dropout_unless_asked(gpt2: str) -> None:
    data, _ = toy(4)
    batch = Padded.of(tokenise(data, load_tokenizer(gpt2)), np.arange(4), 0, CPU)
    for dropout, checkpointing in ((False, False), (False, True), (True, False)):
        recipe = Recipe(dropout=dropout, head_init="normal")
        classifier = build_classifier(gpt2, recipe, 2)
        training_mode(classifier, recipe, activation_checkpointing=checkpointing)
        assert torch.equal(classifier(batch), classifier(batch)) is not dropout


def test_rows_longer_than_the_model_are_refused_by_name(llama: str) -> None:
    tokens = tokenise(
        Dataset.of("t", "x", "text", ("a", "b"), ["short", "long"], text=["w1", "w1 " * 70]), load_tokenizer(llama)
    )
    with pytest.raises(
        DataError, match=r"1 rows are longer than the 64 tokens .*'long' with 71 tokens: set task\.max_words"
    ):
        tokens.check_lengths(64, "m")
    tokens.check_lengths(71, "m")


def test_a_tokenizer_without_pad_token_will_do(llama: str) -> None:
    tokenizer = copy.deepcopy(load_tokenizer(llama))
    tokenizer.pad_token = None
    tokenizer.eos_token = None
    assert pad_id(tokenizer) == 0
    tokenizer.eos_token = "w3"
    assert pad_id(tokenizer) == 6


def test_what_cannot_be_loaded_is_refused(llama: str, tmp_path: Path) -> None:
    from transformers import T5Config, T5Model

    with pytest.raises(ModelError, match=r"no config\.json"):
        load_backbone(str(tmp_path))
    with pytest.raises(ModelError, match="names no revision"):
        source("hub:org/name")
    assert source("hub:org/name@abc") == ("org/name", "abc")
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text((Path(llama) / "config.json").read_text())
    torch.save(load_backbone(llama).model.state_dict(), pickled / "pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors"):
        load_backbone(str(pickled))
    T5Model(T5Config(vocab_size=30, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)).save_pretrained(
        tmp_path / "t5"
    )
    with pytest.raises(ModelError, match="encoder-decoder"):
        load_backbone(str(tmp_path / "t5"))


def test_scratch_models_are_ordinary_folders_with_equal_bytes(llama: str, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    again = build_scratch(
        tmp_path / "again", WORDS, hidden=16, layers=2, heads=2, ffn=32, seed=0, init_std=0.2, positions=64
    )
    files = sorted(path.name for path in Path(llama).iterdir())
    assert files == sorted(path.name for path in again.iterdir())
    assert all((again / name).read_bytes() == (Path(llama) / name).read_bytes() for name in files)
    model = AutoModelForCausalLM.from_pretrained(again)
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    assert model.model.embed_tokens.weight.std().item() == pytest.approx(0.2, rel=0.1)
    tokenizer = AutoTokenizer.from_pretrained(again)
    assert tokenizer("w0 nope w2")["input_ids"] == [1, 3, 2, 5]
    assert tokenizer("w0", "w1")["input_ids"] == [1, 3, 1, 4]
    build_scratch(again, WORDS, hidden=16, layers=2, heads=2, ffn=32, seed=1, init_std=0.2, positions=64)
    assert (again / "model.safetensors").read_bytes() != (Path(llama) / "model.safetensors").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["again"]


@pytest.mark.parametrize("vocabulary", [[], ["a", "a"], ["a b"], ["<pad>"], [""]])
def test_scratch_refuses_a_vocabulary_it_cannot_split(vocabulary: list[str], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="distinct words"):
        build_scratch(tmp_path / "m", vocabulary, hidden=8, layers=1, heads=2, ffn=8, seed=0)
    with pytest.raises(ModelError, match="heads"):
        build_scratch(tmp_path / "m", ["a"], hidden=9, layers=1, heads=2, ffn=8, seed=0)
