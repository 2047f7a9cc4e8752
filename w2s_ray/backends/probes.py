"""Linear probes on frozen features, solved exactly: logistic regression by L-BFGS, ridge in closed form. Never by stochastic steps.

Shapes: N rows, D features, K classes or outputs, C columns of weights (1 for two classes, else K).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from w2s_ray.backends.targets import join
from w2s_ray.config.recipe import Recipe
from w2s_ray.core.errors import ConfigError, DataError, FitError
from w2s_ray.core.features import Features
from w2s_ray.core.labels import Floats, LabelSet

PROBE_FILE = "probe.safetensors"
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
                f"this probe reads {len(self.mean_D)} features, got {features_ND.shape[1]}; give it features of the model and layer it was fitted on"
            )
        scores_NC = (np.asarray(features_ND, dtype=np.float64) - self.mean_D) / self.scale_D @ self.weight_DC + self.bias_C
        probs_NK: Floats = softmax(_all_classes(scores_NC), axis=1)
        return probs_NK

    def save(self, path: Path) -> None:
        from safetensors.numpy import save_file

        save_file({"mean": self.mean_D, "scale": self.scale_D, "weight": np.ascontiguousarray(self.weight_DC), "bias": self.bias_C}, path)

    @staticmethod
    def load(path: Path) -> Probe:
        from safetensors.numpy import load_file

        tensors = load_file(path)
        return Probe(tensors["mean"], tensors["scale"], tensors["weight"], tensors["bias"])


def logistic(features_ND: npt.NDArray[np.floating], targets_NK: Floats, l2: float, weight_N: Floats | None = None) -> Probe:
    """Logistic regression with soft labels: min sum_n w_n CE(y_n, p_n) / sum_n w_n + l2/2 |W|^2 on standardised features (Hastie et al. 2009, § 4.4).

    The bias is not penalised. Convex, so the start (zero) does not matter.
    """
    from scipy.optimize import minimize

    features = np.asarray(features_ND, dtype=np.float64)
    weight_N = np.ones(len(features)) if weight_N is None else weight_N
    share_N1 = (weight_N / weight_N.sum())[:, None]
    mean_D = (share_N1 * features).sum(axis=0)
    scale_D = np.sqrt((share_N1 * (features - mean_D) ** 2).sum(axis=0))
    scale_D[scale_D < 1e-12] = 1.0
    standard_ND = (features - mean_D) / scale_D
    shape = (standard_ND.shape[1], 1 if targets_NK.shape[1] == 2 else targets_NK.shape[1])

    def objective(flat: Floats) -> tuple[float, Floats]:
        weight_DC, bias_C = _unpack(flat, shape)
        log_probs_NK = _log_softmax(_all_classes(standard_ND @ weight_DC + bias_C))
        value = -(share_N1 * targets_NK * log_probs_NK).sum() + 0.5 * l2 * (weight_DC**2).sum()
        residual_NC = (share_N1 * (targets_NK.sum(axis=1, keepdims=True) * np.exp(log_probs_NK) - targets_NK))[:, -shape[1] :]
        return float(value), np.concatenate([(standard_ND.T @ residual_NC + l2 * weight_DC).ravel(), residual_NC.sum(axis=0)])

    start = np.zeros(shape[0] * shape[1] + shape[1])
    found = minimize(
        objective, start, jac=True, method="L-BFGS-B", options={"maxiter": MAX_ITERATIONS, "maxfun": 2 * MAX_ITERATIONS, "ftol": 1e-14, "gtol": 1e-8}
    )
    if not np.isfinite(found.x).all():
        raise FitError(f"the linear probe did not converge: {found.message}; raise train.l2 above {l2:g}")
    return Probe(mean_D, scale_D, *_unpack(found.x, shape))


def ridge(features_ND: npt.NDArray[np.floating], targets_NK: npt.NDArray[np.floating], l2: float) -> tuple[Floats, Floats]:
    """(weight_DK, bias_K) that minimise |X W + b - Y|^2 / N + l2 |W|^2, in closed form (Hoerl & Kennard 1970), by the smaller of the two Gram matrices."""
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


def fit_probe(features: Features, labels: Sequence[LabelSet], recipe: Recipe) -> FittedProbe:
    """Solve on the rows that at least one teacher labels; the soft labels are the mean over the teachers that speak."""
    started = time.monotonic()
    targets = join(features.ids, labels, labels[0].num_classes if labels else 0)
    array_ND = features.align(np.sort(features.ids)[targets.labelled]).array_ND
    read = recipe.read_features(array_ND.shape[1])
    probe = logistic(array_ND[:, read], targets.mean_NK, recipe.l2, targets.weight_N[targets.labelled])
    if recipe.features < 1:
        probe = _spread(probe, read, array_ND.shape[1])
    return FittedProbe(probe, facts={"rows": len(array_ND), "seconds": {"train": time.monotonic() - started}})


def _spread(probe: Probe, read: npt.NDArray[np.int64], width: int) -> Probe:
    """A probe of some features as one of all, the others with weight 0."""
    mean_D, scale_D, weight_DC = np.zeros(width), np.ones(width), np.zeros((width, probe.weight_DC.shape[1]))
    mean_D[read], scale_D[read], weight_DC[read] = probe.mean_D, probe.scale_D, probe.weight_DC
    return Probe(mean_D, scale_D, weight_DC, probe.bias_C)


@dataclass
class FittedProbe:
    """A linear probe and what it took. It reads features; whose they are is known to those who made them."""

    probe: Probe
    log: list[dict[str, float]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def predict(self, features: Features) -> LabelSet:
        return LabelSet.of(features.ids, self.probe.predict(features.array_ND))

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.probe.save(folder / PROBE_FILE)

    @staticmethod
    def load(folder: Path) -> FittedProbe:
        return FittedProbe(Probe.load(folder / PROBE_FILE))


def _all_classes(scores_NC: Floats) -> Floats:
    return scores_NC if scores_NC.shape[1] > 1 else np.concatenate([np.zeros_like(scores_NC), scores_NC], axis=1)


def _unpack(flat: Floats, shape: tuple[int, int]) -> tuple[Floats, Floats]:
    split = shape[0] * shape[1]
    return flat[:split].reshape(shape), flat[split:]


def _log_softmax(scores_NK: Floats) -> Floats:
    from scipy.special import log_softmax

    out: Floats = log_softmax(scores_NK, axis=1)
    return out
