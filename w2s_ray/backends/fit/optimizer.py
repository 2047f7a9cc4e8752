"""AdamW, the learning rate of each step, and gradient clipping."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from w2s_ray.config.recipe import Recipe


def build_adamw(named: Iterable[tuple[str, nn.Parameter]], recipe: Recipe) -> torch.optim.AdamW:
    """Decoupled weight decay (Loshchilov & Hutter 2019, arXiv 1711.05101), on matrices alone: norms and biases have no
    scale to shrink to."""
    trained = [p for _, p in named if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": recipe.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [g for g in groups if g["params"]], lr=recipe.lr, betas=recipe.betas, eps=recipe.eps, fused=True
    )


def lr_factor(recipe: Recipe, step: int, total: int) -> float:
    """The share of `recipe.lr` at a step (counted from 0): linear warm-up, then cosine to 0 (Loshchilov & Hutter 2017,
    arXiv 1608.03983, eq. 5), linear or constant."""
    warmup = recipe.warmup_steps(total)
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, total - warmup)
    if recipe.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * done))
    return 1 - done if recipe.schedule == "linear" else 1.0


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr


def clip(parameters: list[nn.Parameter], largest: float | None) -> Tensor | None:
    """Clip the gradient to this norm; None: no clipping."""
    return None if largest is None else nn.utils.clip_grad_norm_(parameters, largest)
