"""The auxiliary confidence loss: the student is also taught its own hardened prediction, so that it may disagree with
its teacher.

target = (1 - c) y + c h, CE(p, target), where h is the student's hard label and c ramps up to `aux`. Source: Burns et
al. 2023 (arXiv 2312.09390) § 4.3.2 and Appendix A.4. Three forms are in use, and differ in the ramp and in the
threshold t of h = [p_0 >= t]:

| compat | ramp of c | threshold t |
|---|---|---|
| paper | linear to aux | half of the batch is above it |
| openai | aux * progress, then a jump to aux (*) | quantile of p_0 at the mean weak label of class 1 |
| eleuther | linear to aux | median of the last 32 p_0, row by row (their micro-batch has one row) |

(*) A bug of the public code that its published numbers have.

`openai`: weak_to_strong/loss.py logconf_loss_fn. `eleuther`: w2s/loss.py log_confidence_loss. For more than two classes
no ranking of rows is defined: `threshold: argmax` takes the student's top class (AugConf of Guo et al. 2024, arXiv
2402.03749).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from w2s_ray.blocks.losses.contract import (
    Given,
    LossFn,
    cross_entropy,
    full_precision,
    linear_ramp,
    merge_teachers,
    require_binary,
    share_of,
    weighted_mean,
)
from w2s_ray.core.frozen import Frozen

if TYPE_CHECKING:
    from torch import Tensor

Threshold = Literal["half", "weak", "running", "argmax"]

BUFFER_ROWS = 32

_THRESHOLD_OF: dict[str, Threshold] = {"paper": "half", "openai": "weak", "eleuther": "running"}


class Logconf(Frozen):
    """Cross-entropy with a mixture of the teacher's labels and the student's own hardened ones."""

    type: Literal["logconf"] = "logconf"
    aux: float = Field(
        0.5,
        ge=0,
        le=1,
        description=(
            "the hard self-label's share of the target after the warm-up (paper: 0.5, 0.75 for the largest students)"
        ),
    )
    warmup: float = Field(
        0.1,
        ge=0,
        description="over which that share grows from 0: below 1 a share of all steps, from 1 on a number of steps",
    )
    compat: Literal["paper", "openai", "eleuther"] = Field("paper", description="whose ramp and threshold")
    threshold: Threshold | None = Field(
        None, description="default: that of `compat`; argmax works for any number of classes"
    )

    def build(self, given: Given) -> LossFn:
        threshold = self.threshold or _THRESHOLD_OF[self.compat]
        if threshold != "argmax":
            require_binary(given.num_classes, "loss.threshold", threshold, "set loss.threshold: argmax")
        warmup = share_of(self.warmup, given.steps)
        ramp = _jump if self.compat == "openai" else linear_ramp
        if threshold == "running":
            return _RunningLogconf(self.aux, warmup, ramp)
        return _Logconf(self.aux, warmup, ramp, _HARDEN[threshold], rowwise=threshold == "argmax")


def _jump(top: float, warmup: float, progress: float) -> float:
    return top * (1.0 if progress > warmup else progress)


def _above(p0_B: Tensor, threshold: Tensor) -> Tensor:
    """One-hot [B, 2]: class 0 where p_0 reaches the threshold."""
    import torch

    zero_B = p0_B >= threshold
    return torch.stack([zero_B, ~zero_B], dim=-1)


def _harden_half(probs_BK: Tensor, targets_BK: Tensor) -> Tensor:
    import torch

    return _above(probs_BK[:, 0], torch.quantile(probs_BK[:, 0], 0.5))


def _harden_weak(probs_BK: Tensor, targets_BK: Tensor) -> Tensor:
    import torch

    return _above(probs_BK[:, 0], torch.quantile(probs_BK[:, 0], targets_BK[:, 1].mean().clamp(0, 1)))


def _harden_argmax(probs_BK: Tensor, targets_BK: Tensor) -> Tensor:
    import torch

    return torch.nn.functional.one_hot(probs_BK.argmax(dim=-1), probs_BK.shape[-1])


Harden = Callable[["Tensor", "Tensor"], "Tensor"]
_HARDEN: dict[str, Harden] = {"half": _harden_half, "weak": _harden_weak, "argmax": _harden_argmax}


class _Logconf:
    def __init__(
        self, aux: float, warmup: float, ramp: Callable[[float, float, float], float], harden: Harden, *, rowwise: bool
    ) -> None:
        self.aux, self.warmup, self.ramp, self.harden, self.rowwise = aux, warmup, ramp, harden, rowwise

    def __call__(self, logits_BK: Tensor, targets_BMK: Tensor, weights_B: Tensor, progress: float) -> Tensor:
        logits_BK = full_precision(logits_BK)
        targets_BK, weights_B = merge_teachers(targets_BMK, weights_B, logits_BK)
        share = self.ramp(self.aux, self.warmup, progress)
        hard_BK = self.harden(logits_BK.detach().softmax(dim=-1), targets_BK).to(targets_BK)
        return weighted_mean(cross_entropy(logits_BK, (1 - share) * targets_BK + share * hard_BK), weights_B)


class _RunningLogconf(_Logconf):
    """Its memory: the p_0 of the last rows. The order of the rows in a batch counts here, as it does in the code it
    follows."""

    def __init__(self, aux: float, warmup: float, ramp: Callable[[float, float, float], float]) -> None:
        super().__init__(aux, warmup, ramp, self._harden_running, rowwise=False)
        self._seen: Tensor | None = None

    def state_dict(self) -> dict[str, Any]:
        return {} if self._seen is None else {"seen": self._seen.clone()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._seen = state_dict["seen"].clone() if "seen" in state_dict else None

    def _harden_running(self, probs_BK: Tensor, targets_BK: Tensor) -> Tensor:
        import torch

        p0_B = probs_BK[:, 0]
        before = p0_B.new_zeros(0) if self._seen is None else self._seen.to(p0_B)
        stream = torch.cat([before, p0_B])
        self._seen = stream[-BUFFER_ROWS:].clone()
        padding = stream.new_full((BUFFER_ROWS - 1,), float("nan"))  # the first rows have fewer before them
        windows_BW = torch.cat([padding, stream]).unfold(0, BUFFER_ROWS, 1)[len(before) :]
        return _above(p0_B, torch.nanquantile(windows_BW, 0.5, dim=1))
