"""Linear models solved exactly: logistic regression on soft labels by L-BFGS, ridge in closed form. Never by stochastic
steps.

The one solver of the house: probes that are trained as models (`backends/probes.py`) and cleaners of labels both call
it. Shapes: M members, N rows, D features, K classes or outputs, C columns of weights (1 for two classes, else K).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from w2s_ray.core.errors import ConfigError, DataError, FitError
from w2s_ray.core.labels import Floats

MAX_ITERATIONS = 2000


@dataclass(frozen=True)
class Probe:
    """logits = ((x - mean) / scale) W + b. Two classes share one column: the log-odds of class 1."""

    mean_D: Floats
    scale_D: Floats
    weight_DC: Floats
    bias_C: Floats

    def predict(self, features_ND: npt.NDArray[np.floating]) -> Floats:
        """Class probabilities."""
        from scipy.special import softmax

        if features_ND.shape[1] != len(self.mean_D):
            raise DataError(
                f"this probe reads {len(self.mean_D)} features, got {features_ND.shape[1]}; give it features of the"
                " model and layer it was fitted on"
            )
        scores_NC = (
            np.asarray(features_ND, dtype=np.float64) - self.mean_D
        ) / self.scale_D @ self.weight_DC + self.bias_C
        probs_NK: Floats = softmax(_all_classes(scores_NC), axis=1)
        return probs_NK


def logistic(
    features_ND: npt.NDArray[np.floating],
    targets_NK: Floats,
    l2: float,
    weight_N: Floats | None = None,
    *,
    standardise: bool = True,
) -> Probe:
    """Logistic regression with soft labels: min sum_n w_n CE(y_n, p_n) / sum_n w_n + l2/2 |W|^2 (Hastie et al. 2009, §
    4.4).

    W are the weights of the standardised features, or of the features as they are. The bias is not penalised. Convex,
    so the start (zero) does not matter.
    """
    weight_N = np.ones(len(features_ND)) if weight_N is None else weight_N
    (probe,) = logistic_many(features_ND, targets_NK[None], np.array([l2]), weight_N[None], standardise=standardise)
    return probe


def logistic_many(
    features_ND: npt.NDArray[np.floating],
    targets_MNK: Floats,
    l2_M: Floats,
    weight_MN: Floats,
    reads_MD: npt.NDArray[np.bool_] | None = None,
    *,
    standardise: bool = True,
) -> list[Probe]:
    """Several at once, on shared features: their objectives are summed, which leaves each one's minimum where it is,
    and each evaluation is one product of matrices.

    A row without weight is not a member's; a feature that a member does not read has a weight of 0.
    """
    from scipy.optimize import minimize

    features = np.asarray(features_ND, dtype=np.float64)
    centre_D = features.mean(axis=0)
    features = features - centre_D  # so that what is subtracted below is small
    members, width, columns = (
        len(targets_MNK),
        features.shape[1],
        1 if targets_MNK.shape[2] == 2 else targets_MNK.shape[2],
    )
    share_MN1 = (weight_MN / weight_MN.sum(axis=1, keepdims=True))[:, :, None]
    mean_MD = weight_MN @ features / weight_MN.sum(axis=1, keepdims=True)
    scale_MD = np.stack(
        [
            np.sqrt(share_N1[:, 0] @ (features - mean_D) ** 2)
            for share_N1, mean_D in zip(share_MN1, mean_MD, strict=True)
        ]
    )
    if not standardise:
        # No part of the objective then, but a change of variables: loss, where p(1-p) <= 1/4, and penalty together
        # curve alike in all directions.
        scale_MD = np.sqrt(scale_MD**2 + 4 * l2_M[:, None])
    scale_MD[scale_MD < 1e-12 * max(1.0, float(np.abs(features).max(initial=0.0)))] = (
        1.0  # a constant on a member's rows
    )
    read_MD1 = np.ones((members, width, 1)) if reads_MD is None else reads_MD[:, :, None].astype(np.float64)
    price_MD1 = (np.ones_like(scale_MD) if standardise else scale_MD**-2)[:, :, None]
    totals_MN1 = targets_MNK.sum(axis=2, keepdims=True)
    shape = (members, width + 1, columns)

    def objective(flat: Floats) -> tuple[float, Floats]:
        weight_MDC, bias_M1C = flat.reshape(shape)[:, :width] * read_MD1, flat.reshape(shape)[:, width:]
        raw_MDC = weight_MDC / scale_MD[:, :, None]
        scores_MNC = (
            (features @ raw_MDC.transpose(1, 0, 2).reshape(width, -1)).reshape(-1, members, columns).transpose(1, 0, 2)
        )
        scores_MNC = scores_MNC - mean_MD[:, None, :] @ raw_MDC + bias_M1C
        log_probs_MNK = _log_softmax(_all_classes(scores_MNC))
        value = (
            -(share_MN1 * targets_MNK * log_probs_MNK).sum()
            + 0.5 * (l2_M * (price_MD1 * weight_MDC**2).sum(axis=(1, 2))).sum()
        )
        residual_MNC = (share_MN1 * (totals_MN1 * np.exp(log_probs_MNK) - targets_MNK))[:, :, -columns:]
        slope_M1C = residual_MNC.sum(axis=1, keepdims=True)
        crossed_MDC = (
            (features.T @ residual_MNC.transpose(1, 0, 2).reshape(len(features), -1))
            .reshape(width, members, columns)
            .transpose(1, 0, 2)
        )
        slope_MDC = (crossed_MDC - mean_MD[:, :, None] * slope_M1C) / scale_MD[:, :, None] + l2_M[
            :, None, None
        ] * price_MD1 * weight_MDC
        return float(value), np.concatenate([slope_MDC * read_MD1, slope_M1C], axis=1).ravel()

    found = minimize(
        objective,
        np.zeros(shape).ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": MAX_ITERATIONS, "maxfun": 2 * MAX_ITERATIONS, "ftol": 1e-14, "gtol": 1e-8},
    )
    if not np.isfinite(found.x).all():
        raise FitError(f"the linear probe did not converge: {found.message}; raise its l2 above {l2_M.min():g}")
    solved = found.x.reshape(shape)
    return [
        Probe(mean_MD[m] + centre_D, scale_MD[m], solved[m, :width] * read_MD1[m], solved[m, width])
        for m in range(members)
    ]


def ridge(
    features_ND: npt.NDArray[np.floating], targets_NK: npt.NDArray[np.floating], l2: float
) -> tuple[Floats, Floats]:
    """(weight_DK, bias_K) that minimise |X W + b - Y|^2 / N + l2 |W|^2, in closed form (Hoerl & Kennard 1970), by the
    smaller of the two Gram matrices."""
    features, targets = np.asarray(features_ND, dtype=np.float64), np.asarray(targets_NK, dtype=np.float64)
    if l2 <= 0:
        raise ConfigError(f"l2 of a ridge must be above 0, got {l2}; without it the solution is not unique")
    mean_D, mean_K = features.mean(axis=0), targets.mean(axis=0)
    x_ND, y_NK = features - mean_D, targets - mean_K
    rows, width = x_ND.shape
    if width <= rows:
        weight_DK = np.linalg.solve(x_ND.T @ x_ND + rows * l2 * np.eye(width), x_ND.T @ y_NK)
    else:
        weight_DK = x_ND.T @ np.linalg.solve(x_ND @ x_ND.T + rows * l2 * np.eye(rows), y_NK)
    return weight_DK, mean_K - mean_D @ weight_DK


def _all_classes(scores: Floats) -> Floats:
    """The last dimension with one entry a class."""
    return scores if scores.shape[-1] > 1 else np.concatenate([np.zeros_like(scores), scores], axis=-1)


def _log_softmax(scores: Floats) -> Floats:
    from scipy.special import log_softmax

    out: Floats = log_softmax(scores, axis=-1)
    return out
