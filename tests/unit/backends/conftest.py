"""Tiny models of several architectures, built offline."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from toy_rows import WORDS, Place, write_model

from w2s_ray.backends.models.scratch import build_scratch


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "place").mkdir()
    return Place(tmp_path / "place")


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("models") / "llama"
    return str(build_scratch(folder, WORDS, hidden=16, layers=2, heads=2, ffn=32, seed=0, init_std=0.2, positions=64))


@pytest.fixture(scope="session")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> str:
    from transformers import GPT2Config, GPT2Model

    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=63,
        n_positions=64,
        n_embd=16,
        n_layer=2,
        n_head=2,
        initializer_range=0.2,
        bos_token_id=1,
        eos_token_id=1,
    )
    return write_model(tmp_path_factory.mktemp("models") / "gpt2", GPT2Model(config))


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=63,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        initializer_range=0.2,
    )
    return write_model(tmp_path_factory.mktemp("models") / "bert", BertModel(config))
