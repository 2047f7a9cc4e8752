"""Linear models solved exactly: logistic regression on soft labels by L-BFGS, ridge in closed form. Never by stochastic
steps.

The only linear solver: probes that are trained as models (`backends/fit/probes.py`) and cleaners of labels both call
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
    problem = _Problem.of(features - centre_D, targets_MNK, l2_M, weight_MN, reads_MD, standardise)
    found = minimize(
        problem.objective,
        np.zeros(problem.shape).ravel(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": MAX_ITERATIONS, "maxfun": 2 * MAX_ITERATIONS, "ftol": 1e-14, "gtol": 1e-8},
    )
    if not np.isfinite(found.x).all():
        raise FitError(f"the linear probe did not converge: {found.message}; raise its l2 above {l2_M.min():g}")
    weight_MDC, bias_M1C = problem.split(found.x)
    return [
        Probe(mean_D + centre_D, scale_D, weight_DC, bias_C[0])
        for mean_D, scale_D, weight_DC, bias_C in zip(
            problem.mean_MD, problem.scale_MD, weight_MDC, bias_M1C, strict=True
        )
    ]


@dataclass(frozen=True)
class _Problem:
    """What the solver needs: features around their mean, each member's own standardisation, and the objective."""

    features_ND: Floats
    targets_MNK: Floats
    totals_MN1: Floats
    l2_M: Floats
    share_MN1: Floats  # of each row in its member's weight
    mean_MD: Floats
    scale_MD: Floats
    read_MD1: Floats
    price_MD1: Floats  # of a squared weight

    @staticmethod
    def of(
        features_ND: Floats,
        targets_MNK: Floats,
        l2_M: Floats,
        weight_MN: Floats,
        reads_MD: npt.NDArray[np.bool_] | None,
        standardise: bool,
    ) -> _Problem:
        share_MN = weight_MN / weight_MN.sum(axis=1, keepdims=True)
        mean_MD = weight_MN @ features_ND / weight_MN.sum(axis=1, keepdims=True)
        spreads = [
            np.sqrt(share_N @ (features_ND - mean_D) ** 2) for share_N, mean_D in zip(share_MN, mean_MD, strict=True)
        ]
        scale_MD = np.stack(spreads)
        if not standardise:
            # No part of the objective then, but a change of variables: loss, where p(1-p) <= 1/4, and penalty together
            # curve alike in all directions.
            scale_MD = np.sqrt(scale_MD**2 + 4 * l2_M[:, None])
        constant = 1e-12 * max(1.0, float(np.abs(features_ND).max(initial=0.0)))  # on a member's rows
        scale_MD[scale_MD < constant] = 1.0
        read_MD = np.ones_like(scale_MD) if reads_MD is None else reads_MD.astype(np.float64)
        price_MD1 = (np.ones_like(scale_MD) if standardise else scale_MD**-2)[:, :, None]
        totals_MN1 = targets_MNK.sum(axis=2, keepdims=True)
        return _Problem(
            features_ND,
            targets_MNK,
            totals_MN1,
            l2_M,
            share_MN[:, :, None],
            mean_MD,
            scale_MD,
            read_MD[:, :, None],
            price_MD1,
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Members, weights with the bias, columns: of two classes one tells both."""
        members, _, classes = self.targets_MNK.shape
        return members, self.features_ND.shape[1] + 1, 1 if classes == 2 else classes

    def split(self, flat: Floats) -> tuple[Floats, Floats]:
        """weight_MDC and bias_M1C."""
        whole = flat.reshape(self.shape)
        return whole[:, :-1] * self.read_MD1, whole[:, -1:]

    def objective(self, flat: Floats) -> tuple[float, Floats]:
        """The sum over members, and its slope."""
        weight_MDC, bias_M1C = self.split(flat)
        raw_MDC = weight_MDC / self.scale_MD[:, :, None]
        scores_MNC = self._products(raw_MDC) - self.mean_MD[:, None, :] @ raw_MDC + bias_M1C
        log_probs_MNK = _log_softmax(_all_classes(scores_MNC))
        value = -(self.share_MN1 * self.targets_MNK * log_probs_MNK).sum()
        value += 0.5 * (self.l2_M * (self.price_MD1 * weight_MDC**2).sum(axis=(1, 2))).sum()
        residual_MNK = self.share_MN1 * (self.totals_MN1 * np.exp(log_probs_MNK) - self.targets_MNK)
        residual_MNC = residual_MNK[:, :, -self.shape[2] :]
        slope_M1C = residual_MNC.sum(axis=1, keepdims=True)
        crossed_MDC = self._crossed(residual_MNC) - self.mean_MD[:, :, None] * slope_M1C
        penalty_MDC = self.l2_M[:, None, None] * self.price_MD1 * weight_MDC
        slope_MDC = crossed_MDC / self.scale_MD[:, :, None] + penalty_MDC
        return float(value), np.concatenate([slope_MDC * self.read_MD1, slope_M1C], axis=1).ravel()

    def _products(self, raw_MDC: Floats) -> Floats:
        """features @ raw of every member, as one product."""
        members, _, columns = self.shape
        flat = self.features_ND @ raw_MDC.transpose(1, 0, 2).reshape(len(raw_MDC[0]), -1)
        products_MNC: Floats = flat.reshape(-1, members, columns).transpose(1, 0, 2)
        return products_MNC

    def _crossed(self, residual_MNC: Floats) -> Floats:
        """features.T @ residual of every member, as one product."""
        members, width, columns = self.shape
        flat = self.features_ND.T @ residual_MNC.transpose(1, 0, 2).reshape(len(self.features_ND), -1)
        crossed_MDC: Floats = flat.reshape(width - 1, members, columns).transpose(1, 0, 2)
        return crossed_MDC


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
