"""Maximum likelihood of the truth and of each member's confusion matrix, without any gold, by EM (Dawid & Skene 1979,
doi 10.2307/2346806).

Members are taken to err independently given the truth; those that learned from the same rows do not, so the posteriors
are too sure. Shapes: N rows, M members, K true classes, L named classes (as many).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from pydantic import Field

from w2s_ray.blocks.combiners.contract import Combiner, Known, Votes
from w2s_ray.core.labels import Floats, LabelSet


class DawidSkene(Combiner):
    """Each member's confusion matrix and the truth, estimated together from hard votes."""

    type: Literal["dawid_skene"] = "dawid_skene"
    iterations: int = Field(200, ge=1)
    tolerance: float = Field(1e-6, gt=0, description="ends when no posterior moves by more")
    smoothing: float = Field(0.01, ge=0, description="added to each count of a confusion matrix, so that none is 0")

    def combine(self, votes: Sequence[LabelSet], known: Known | None = None) -> LabelSet:
        panel = Votes.of(votes)
        posterior_NK, _, _ = self.estimate(panel.hard_NMK)
        return panel.labels(posterior_NK)

    def estimate(self, hard_NML: Floats) -> tuple[Floats, Floats, Floats]:
        """(posterior_NK, confusion_MKL, prior_K). Starts from the shares of votes, as the paper does (eq. 2.5 for the
        posterior, 2.3 and 2.4 for the rest)."""
        said_N = hard_NML.sum(axis=(1, 2)) > 0
        spoken_NML = hard_NML[said_N]
        posterior_NK = spoken_NML.sum(axis=1) / spoken_NML.sum(axis=(1, 2))[:, None]
        for _ in range(self.iterations):
            before_NK = posterior_NK
            prior_K = posterior_NK.mean(axis=0)
            counts_MKL = np.einsum("nk,nml->mkl", posterior_NK, spoken_NML) + self.smoothing
            confusion_MKL = counts_MKL / np.maximum(counts_MKL.sum(axis=2, keepdims=True), np.finfo(float).tiny)
            log_NK = np.log(np.maximum(prior_K, np.finfo(float).tiny)) + np.einsum(
                "nml,mkl->nk", spoken_NML, _log(confusion_MKL)
            )
            posterior_NK = np.exp(log_NK - log_NK.max(axis=1, keepdims=True))
            posterior_NK /= posterior_NK.sum(axis=1, keepdims=True)
            if np.abs(posterior_NK - before_NK).max() < self.tolerance:
                break
        whole_NK = np.zeros((len(hard_NML), hard_NML.shape[2]))
        whole_NK[said_N] = posterior_NK
        return whole_NK, confusion_MKL, prior_K


def _log(values: Floats) -> Floats:
    logs: Floats = np.log(np.maximum(values, np.finfo(float).tiny))
    return logs
