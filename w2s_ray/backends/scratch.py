"""Small models with random weights, written as ordinary Hugging Face folders: for tests, benchmarks and the built-in world, where nothing can be downloaded."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from w2s_ray.backends.models import quiet
from w2s_ray.core.errors import ModelError
from w2s_ray.core.seeds import stream

PAD, BOS, UNK = "<pad>", "<bos>", "<unk>"
SPECIAL = (PAD, BOS, UNK)


def build_scratch(
    folder: Path, vocabulary: Sequence[str], *, hidden: int, layers: int, heads: int, ffn: int, seed: int, init_std: float = 0.02, positions: int = 512
) -> Path:
    """Write a Llama of this shape with a word-level tokenizer; the ids 0 to 2 are pad, bos and unk. Equal arguments give equal bytes. An existing folder is replaced."""
    _check_vocabulary(vocabulary)
    if hidden % heads:
        raise ModelError(f"hidden is {hidden}, which {heads} heads do not divide; choose a multiple")
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        with quiet():
            word_tokenizer(vocabulary, positions).save_pretrained(made)
            model = _random_llama(len(SPECIAL) + len(vocabulary), hidden, layers, heads, ffn, seed, init_std, positions)
            model.save_pretrained(made, safe_serialization=True)
        _swap(made, folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder


def word_tokenizer(vocabulary: Sequence[str], positions: int) -> Any:
    """One token a word, split at white space; a bos before each text, so that the two texts of a pair are told apart."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(WordLevel({word: i for i, word in enumerate([*SPECIAL, *vocabulary])}, unk_token=UNK))
    words.pre_tokenizer = WhitespaceSplit()
    words.post_processor = TemplateProcessing(single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, SPECIAL.index(BOS))])
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token=PAD, bos_token=BOS, unk_token=UNK, padding_side="right", model_max_length=positions)


def _random_llama(num_tokens: int, hidden: int, layers: int, heads: int, ffn: int, seed: int, init_std: float, positions: int) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=num_tokens,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        intermediate_size=ffn,
        max_position_embeddings=positions,
        initializer_range=init_std,
        tie_word_embeddings=True,
        pad_token_id=SPECIAL.index(PAD),
        bos_token_id=SPECIAL.index(BOS),
        eos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        model = LlamaForCausalLM(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim >= 2:  # norms keep their ones; numpy's streams are the same on every machine
                parameter.copy_(torch.from_numpy(stream(seed, "scratch", name).normal(0, init_std, tuple(parameter.shape))))
    return model


def _check_vocabulary(vocabulary: Sequence[str]) -> None:
    bad = [word for word in vocabulary if not word or word != "".join(word.split()) or word in SPECIAL]
    if bad or len(set(vocabulary)) < len(vocabulary) or not vocabulary:
        raise ModelError(
            f"a vocabulary holds distinct words without white space, other than {', '.join(SPECIAL)}; got {len(vocabulary)} words, {len(set(vocabulary))} distinct, not usable: {bad[:3]}"
        )


def _swap(made: Path, folder: Path) -> None:
    """Put the finished folder in place. A racing writer makes the same bytes, so whoever comes first is right."""
    old = made.with_name(f"{made.name}.old")
    with suppress(FileNotFoundError):
        os.replace(folder, old)
    try:
        os.replace(made, folder)
    except OSError:
        if not (folder / "config.json").is_file():
            raise
    shutil.rmtree(old, ignore_errors=True)
