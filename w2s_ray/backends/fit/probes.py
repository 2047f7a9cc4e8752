"""Linear probes on frozen features: which rows and labels they are fitted on, and their files. The solver is
`blocks/linear.py`.

Shapes: M members, N rows, D features, K classes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from w2s_ray.backends.batch.targets import Targets, join
from w2s_ray.blocks.linear import Probe, logistic_many
from w2s_ray.config.recipe import Recipe
from w2s_ray.core.features import Features
from w2s_ray.core.labels import LabelSet

PROBE_FILE = "probe.safetensors"


def fit_probe(features: Features, labels: Sequence[LabelSet], recipe: Recipe) -> FittedProbe:
    """Solve on the rows that at least one teacher labels; the soft labels are the mean over the teachers that do not
    abstain."""
    (fitted,) = fit_probes(features, [labels], [recipe])
    return fitted


def fit_probes(
    features: Features, labels: Sequence[Sequence[LabelSet]], recipes: Sequence[Recipe]
) -> list[FittedProbe]:
    """One probe for each pair of labels and recipe, on the same features, as one computation."""
    targets = [join(features.ids, each, each[0].num_classes if each else 0) for each in labels]
    return solve_probes(features, targets, recipes)


def solve_probes(features: Features, targets: Sequence[Targets], recipes: Sequence[Recipe]) -> list[FittedProbe]:
    """The same with labels that are joined to the rows, all of as many classes."""
    started = time.monotonic()
    array_ND = features.align(np.sort(features.ids)).array_ND
    used = np.unique(np.concatenate([each.labelled for each in targets]))
    targets_MNK = np.zeros((len(targets), len(array_ND), targets[0].probs_NMK.shape[2]))
    reads_MD = np.zeros((len(targets), array_ND.shape[1]), dtype=bool)
    for m, (each, recipe) in enumerate(zip(targets, recipes, strict=True)):
        targets_MNK[m, each.labelled] = each.mean_NK
        reads_MD[m, recipe.read_features(array_ND.shape[1])] = True
    weight_MN = np.stack([each.weight_N for each in targets])
    l2_M = np.array([recipe.l2 for recipe in recipes])
    array_ND, targets_MNK, weight_MN = array_ND[used], targets_MNK[:, used], weight_MN[:, used]
    # each pair in both orders: the order carries no information, so the solution has neither a mean nor a bias
    if features.signed:
        array_ND = np.concatenate([array_ND, -array_ND])
        targets_MNK, weight_MN = (
            np.concatenate([targets_MNK, targets_MNK[:, :, ::-1]], axis=1),
            np.concatenate([weight_MN, weight_MN], axis=1),
        )
    probes = logistic_many(array_ND, targets_MNK, l2_M, weight_MN, reads_MD)
    seconds = (time.monotonic() - started) / len(probes)
    facts = {"fused": len(probes)} if len(probes) > 1 else {}
    return [
        FittedProbe(probe, facts={"rows": len(each.labelled), "seconds": {"train": seconds}, **facts})
        for probe, each in zip(probes, targets, strict=True)
    ]


@dataclass
class FittedProbe:
    """A fitted linear probe, with facts on its fit. It takes features, and does not record which model made them."""

    probe: Probe
    log: list[dict[str, float]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def predict(self, features: Features) -> LabelSet:
        return LabelSet.of(features.ids, self.probe.predict(features.array_ND))

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=True)
        probe = self.probe
        save_file(
            {
                "mean": probe.mean_D,
                "scale": probe.scale_D,
                "weight": np.ascontiguousarray(probe.weight_DC),
                "bias": probe.bias_C,
            },
            folder / PROBE_FILE,
        )

    @staticmethod
    def load(folder: Path) -> FittedProbe:
        from safetensors.numpy import load_file

        tensors = load_file(folder / PROBE_FILE)
        return FittedProbe(Probe(tensors["mean"], tensors["scale"], tensors["weight"], tensors["bias"]))
