"""Linear probes against scikit-learn, and against what must hold exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler
from toy_rows import shuffled, toy

from w2s_ray.backends.fit.probes import FittedProbe, fit_probe, fit_probes
from w2s_ray.backends.inference.embed import embed_base
from w2s_ray.blocks.linear import logistic, ridge
from w2s_ray.config.recipe import Recipe
from w2s_ray.core.errors import ConfigError, DataError
from w2s_ray.core.features import Features
from w2s_ray.core.labels import LabelSet
from w2s_ray.core.resources import Resources


def blobs(count: int, width: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, count)
    return (
        rng.normal(size=(count, width)) * np.linspace(0.1, 30, width) + 3 * rng.normal(size=(classes, width))[truth],
        truth,
    )


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("l2", [1e-3, 0.1])
def test_logistic_is_scikit_learns(classes: int, l2: float) -> None:
    features, truth = blobs(300, 8, classes)
    found = logistic(features, np.eye(classes)[truth], l2)
    standard = StandardScaler().fit(features)
    theirs = LogisticRegression(C=1 / (l2 * 300), tol=1e-10, max_iter=5000).fit(standard.transform(features), truth)
    assert np.allclose(found.predict(features), theirs.predict_proba(standard.transform(features)), atol=1e-5)
    assert np.allclose(found.weight_DC.T, theirs.coef_, atol=1e-4)


@pytest.mark.parametrize("classes", [2, 4])
def test_probes_that_are_solved_together_are_those_that_are_solved_alone(classes: int) -> None:
    """Bootstraps, penalties, features and teachers of their own; rows that no other member sees; features far from
    zero."""
    array, truth = blobs(120, 6, classes)
    ids = [f"r{n}" for n in range(120)]
    features = Features.of(ids, (array + 1000).astype(np.float32), layer=-1)
    rng = np.random.default_rng(0)
    labels = [
        [
            LabelSet.of(
                ids,
                np.eye(classes)[rng.permutation(truth) if n == 2 else truth],
                weight_N=np.bincount(rng.integers(120, size=120), minlength=120),
            )
        ]
        for n in range(5)
    ]
    labels[1].append(LabelSet.of(ids, np.full((120, classes), 1 / classes), mask_N=np.arange(120) < 60))
    recipes = [
        Recipe(adapt="probe", l2=l2, features=share, seed=n)
        for n, (l2, share) in enumerate([(1e-3, 1.0), (0.1, 1.0), (1e-2, 0.5), (1.0, 0.5), (1e-3, 0.7)])
    ]
    together = fit_probes(features, labels, recipes)
    for one, taught, recipe in zip(together, labels, recipes, strict=True):
        alone = fit_probe(features, taught, recipe)
        assert np.allclose(one.predict(features).probs_NK, alone.predict(features).probs_NK, atol=1e-5)
        assert one.facts["rows"] == alone.facts["rows"]
        assert one.facts["fused"] == 5
        unread = np.setdiff1d(np.arange(6), recipe.read_features(6))
        assert not one.probe.weight_DC[unread].any()


def test_a_feature_that_is_constant_on_a_members_rows_says_nothing() -> None:
    rng = np.random.default_rng(0)
    array = rng.normal(size=(200, 4))
    array[:100, 0], array[:100, 1] = 1.7, 12.3
    truth = rng.integers(0, 2, 200)
    ids = [f"r{n:03d}" for n in range(200)]
    features, half = Features.of(ids, array.astype(np.float32), layer=-1), np.arange(200) < 100
    labels = [[LabelSet.of(ids, np.eye(2)[truth], weight_N=weight)] for weight in (half.astype(float), np.ones(200))]
    recipes = [Recipe(adapt="probe", l2=1e-3)] * 2
    member, _ = fit_probes(features, labels, recipes)
    alone = fit_probe(
        Features.of(ids[:100], array[:100].astype(np.float32), layer=-1),
        [LabelSet.of(ids[:100], np.eye(2)[truth[:100]])],
        recipes[0],
    )
    assert np.allclose(member.predict(features).probs_NK, alone.predict(features).probs_NK, atol=1e-5)


def test_soft_labels_and_weights_are_shares_of_rows() -> None:
    features, truth = blobs(60, 4, 3)
    rng = np.random.default_rng(1)
    counts = rng.integers(1, 4, size=(60, 3))
    soft = counts / counts.sum(axis=1, keepdims=True)
    weighted = logistic(features, soft, 0.01, counts.sum(axis=1).astype(float))
    rows, classes = np.nonzero(np.ones_like(counts))
    again, labels = np.repeat(features[rows], counts.ravel(), axis=0), np.repeat(classes, counts.ravel())
    copied = logistic(again, np.eye(3)[labels], 0.01)
    assert np.allclose(weighted.predict(features), copied.predict(features), atol=1e-5)
    assert not np.allclose(
        weighted.predict(features), logistic(features, np.eye(3)[truth], 0.01).predict(features), atol=0.1
    )


def test_without_information_the_probe_says_the_mean_label() -> None:
    soft = np.tile([0.2, 0.5, 0.3], (20, 1))
    assert np.allclose(logistic(np.ones((20, 3)), soft, 0.1).predict(np.ones((5, 3))), soft[:5], atol=1e-6)


def test_more_features_than_rows_and_a_saved_probe(tmp_path: Path) -> None:
    features, truth = blobs(20, 50, 2)
    found = logistic(features, np.eye(2)[truth], 1e-2)
    assert (found.predict(features).argmax(1) == truth).all()
    FittedProbe(found).save(tmp_path / "p")
    assert np.array_equal(FittedProbe.load(tmp_path / "p").probe.predict(features), found.predict(features))


@pytest.mark.parametrize("shape", [(80, 6), (20, 50)])
def test_ridge_is_scikit_learns_in_both_forms(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    features, targets = rng.normal(size=shape) + 2, rng.normal(size=(shape[0], 3)) - 5
    weight, bias = ridge(features, targets, 0.05)
    theirs = Ridge(alpha=0.05 * shape[0]).fit(features, targets)
    assert np.allclose(weight, theirs.coef_.T)
    assert np.allclose(bias, theirs.intercept_)
    with pytest.raises(ConfigError, match="above 0"):
        ridge(features, targets, 0)


def test_embeddings_belong_to_ids(llama: str, tmp_path: Path) -> None:
    data, _ = toy(30)
    one = embed_base(llama, data, Recipe(layer=1), Resources(), tmp_path)
    other = embed_base(llama, shuffled(data), Recipe(layer=1), Resources(micro_tokens=20), tmp_path)
    assert np.allclose(other.align(one.ids).array_ND, one.array_ND, atol=1e-5)
    assert one.array_ND.shape == (30, 16)
    assert not np.allclose(one.array_ND, embed_base(llama, data, Recipe(), Resources(), tmp_path).array_ND)


def test_a_probe_joins_by_id_and_leaves_out_who_abstains(tmp_path: Path) -> None:
    array, truth = blobs(50, 4, 3)
    features = Features.of([f"r{i}" for i in range(50)], array)
    kept = np.arange(50) % 4 > 0
    labels = LabelSet.of(features.ids, np.eye(3)[truth], mask_N=kept)
    backwards = labels.align(labels.ids[::-1])
    fitted = fit_probe(features, [backwards], Recipe(l2=0.01))
    assert fitted.facts["rows"] == kept.sum()
    expected = logistic(features.array_ND[kept], np.eye(3)[truth[kept]], 0.01)
    assert np.allclose(fitted.predict(features).probs_NK, expected.predict(features.array_ND), atol=1e-6)
    fitted.save(tmp_path / "p")
    assert np.array_equal(
        FittedProbe.load(tmp_path / "p").predict(features).probs_NK, fitted.predict(features).probs_NK
    )
    with pytest.raises(DataError, match="reads 4 features, got 5"):
        fitted.predict(Features.of(["a"], np.ones((1, 5))))


def test_a_probe_of_a_share_of_the_features_ignores_the_others() -> None:
    rng = np.random.default_rng(0)
    ids = [f"r{n}" for n in range(80)]
    array = rng.normal(size=(80, 10))
    labels = LabelSet.hard(ids, (array[:, 0] + array[:, 1] > 0).astype(int), 2)
    recipe = Recipe(adapt="probe", features=0.4, seed=3)
    read = recipe.read_features(10)
    assert len(read) == 4
    whole = fit_probe(Features.of(ids, array), [labels], recipe).probe
    alone = fit_probe(Features.of(ids, array[:, read]), [labels], Recipe(adapt="probe")).probe
    np.testing.assert_allclose(whole.weight_DC[read], alone.weight_DC)
    assert not np.delete(whole.weight_DC, read, axis=0).any()
    np.testing.assert_allclose(whole.predict(array), alone.predict(array[:, read]))
