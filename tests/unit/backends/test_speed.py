"""Model FLOPs utilisation: the formula against a count by hand and against torch's own counter."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaModel

from w2s_ray.backends.devices.memory import Shape
from w2s_ray.backends.devices.speed import flops_per_token, peak_flops, utilisation

CONFIG = {
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "intermediate_size": 160,
    "vocab_size": 500,
}
SHAPE = Shape.of({"model_type": "llama", **CONFIG})


def test_flops_by_hand() -> None:
    """6 N + 12 L D T, and 4 N + 12 L D T where weights are frozen."""
    multiplied = 3 * (4 * 64 * 64 + 3 * 64 * 160)
    assert flops_per_token(SHAPE, 100, frozen=False) == 6 * multiplied + 12 * 3 * 64 * 100
    assert flops_per_token(SHAPE, 100, frozen=True) == 4 * multiplied + 12 * 3 * 64 * 100


@pytest.mark.parametrize("frozen", [False, True])
def test_flops_are_those_that_torch_counts(frozen: bool) -> None:
    model = LlamaModel(LlamaConfig(**CONFIG, attn_implementation="eager"))
    model.requires_grad_(not frozen)
    embedded = model.embed_tokens(torch.arange(50)[None]).detach().requires_grad_()
    with FlopCounterMode(display=False) as counter:
        model(inputs_embeds=embedded, use_cache=False).last_hidden_state.sum().backward()
    assert counter.get_total_flops() / 50 == pytest.approx(
        flops_per_token(SHAPE, 50, frozen=frozen), rel=0.02
    )  # rotary embeddings multiply too


def test_the_share_of_the_peak() -> None:
    per_token = flops_per_token(SHAPE, 100, frozen=False)
    found = utilisation(SHAPE, 1e6, 100, 2.0, "NVIDIA H100 80GB HBM3", "bf16", 4, frozen=False)
    assert found == pytest.approx(per_token * 1e6 / 2 / (4 * 989e12))


@pytest.mark.parametrize(
    ("device", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA A10G", 70e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA L4", 121e12),
    ],
)
def test_peaks_go_by_name(device: str, peak: float) -> None:
    assert peak_flops(device, "bf16") == peak


def test_what_is_not_known_is_said() -> None:
    assert utilisation(SHAPE, 1e6, 100, 1.0, "cpu (1 threads, AVX512)", "fp32", 1, frozen=False) == "unknown device"
    assert utilisation(SHAPE, 1e6, 100, 1.0, "NVIDIA H100", "fp32", 1, frozen=False) == "known for bf16 alone"
    assert utilisation(SHAPE, 1e6, 100, 1.0, "Some GPU", "bf16", 1, frozen=False) == "unknown device"
