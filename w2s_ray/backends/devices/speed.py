"""How well a device was used: model FLOPs utilisation, by a stated formula.

FLOPs of a token in training: 6 N for a forward and a backward pass through N parameters that multiply (Kaplan et al.
2020, arXiv 2001.08361 § 2.1), and 12 L D T for attention over rows of T tokens (Chowdhery et al. 2022, arXiv
2204.02311, Appendix B; half of it where attention is causal, which is not subtracted, as there). With frozen weights no
gradient of theirs is computed: 4 N, and attention as before. Padding and recomputation are no work. Word vectors are
looked up, not multiplied, so they do not count.
"""

from __future__ import annotations

from w2s_ray.backends.devices.memory import Shape

# Dense tensor-core peaks in FLOP/s from NVIDIA's data sheets, bf16 with fp32 accumulation; most specific name first.
_PEAKS = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "A800": 312e12,
    "L40S": 362e12,
    "L40": 181e12,
    "L4": 121e12,
    "A10G": 70e12,
    "A10": 125e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
}


def flops_per_token(shape: Shape, mean_length: float, *, frozen: bool) -> float:
    multiplied = shape.parameters - shape.vocab * shape.width
    return (4.0 if frozen else 6.0) * multiplied + 12.0 * shape.layers * shape.width * mean_length


def peak_flops(device: str, precision: str) -> float | None:
    """Of one device by its name; None where the name is not known, or for fp32, whose peak depends on settings."""
    if precision != "bf16":
        return None
    return next((peak for name, peak in _PEAKS.items() if name in device), None)


def utilisation(
    shape: Shape,
    tokens: float,
    mean_length: float,
    seconds: float,
    device: str,
    precision: str,
    workers: int,
    *,
    frozen: bool,
) -> float | str:
    """The share of the devices' peak that went into the model's own work, or why it is not known."""
    peak = peak_flops(device, precision)
    if peak is None:
        return "unknown device" if precision == "bf16" or "cpu" in device else "known for bf16 alone"
    return flops_per_token(shape, mean_length, frozen=frozen) * tokens / (max(seconds, 1e-9) * peak * workers)
