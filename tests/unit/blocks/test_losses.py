"""Losses against numbers worked out by hand, their limits, and the properties that all of them share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from w2s_ray.blocks.losses.contract import Given
from w2s_ray.blocks.losses.entropy import Entropy
from w2s_ray.blocks.losses.kl import Kl
from w2s_ray.blocks.losses.logconf import Logconf
from w2s_ray.blocks.losses.product import Product
from w2s_ray.blocks.losses.window import Window
from w2s_ray.blocks.losses.xent import Xent
from w2s_ray.core.errors import ConfigError
from w2s_ray.core.plugins import available

ALL: list[Any] = [
    Xent(),
    Kl(),
    Kl(direction="reverse"),
    Entropy(),
    Product(),
    Window(),
    Window(radius="midweak"),
    Logconf(),
    Logconf(compat="openai"),
    Logconf(compat="eleuther"),
    Logconf(threshold="argmax"),
]
ANY_CLASSES = [c for c in ALL if not (isinstance(c, Logconf) and c.threshold != "argmax")]
ids = [repr(c) for c in ALL]


def logits_of(probs: list[list[float]]) -> torch.Tensor:
    return torch.tensor(probs, dtype=torch.float64).log()


def call(config: Any, logits: torch.Tensor, targets: Any, weights: Any = None, progress: float = 0.5) -> float:
    targets = torch.as_tensor(targets, dtype=torch.float64)
    targets = targets[:, None] if targets.ndim == 2 else targets
    weights = torch.ones(len(logits)) if weights is None else torch.as_tensor(weights)
    return float(config.build(given(targets))(logits, targets, weights, progress))


def given(targets_BMK: torch.Tensor) -> Given:
    """Of a fit whose rows are one batch."""
    means = np.nanmean(targets_BMK.numpy()[~torch.isnan(targets_BMK).all(dim=(1, 2)).numpy()], axis=1)
    return Given(targets_BMK.shape[1], 100, means)


def random_batch(
    rows: int, classes: int, teachers: int = 1, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    logits = torch.tensor(rng.normal(size=(rows, classes)))
    targets = torch.tensor(rng.dirichlet(np.ones(classes), size=(rows, teachers)))
    return logits, targets, torch.tensor(rng.uniform(0.1, 2, size=rows))


def cross_entropy(p: list[float], y: list[float]) -> float:
    return -sum(b * math.log(a) for a, b in zip(p, y, strict=True))


def test_every_builtin_loss_is_here() -> None:
    assert {type(c) for c in ALL} >= {
        plugin
        for plugin in available("w2s_ray.losses").values()
        if plugin.__module__.rsplit(".", 1)[1] in {"xent", "kl", "entropy", "product", "window", "logconf"}
    }


# by hand


def test_xent_is_the_weighted_mean_of_cross_entropies() -> None:
    probs, soft = [[0.9, 0.1], [0.3, 0.7]], [[0.8, 0.2], [0.5, 0.5]]
    first, second = (cross_entropy(p, y) for p, y in zip(probs, soft, strict=True))
    assert call(Xent(), logits_of(probs), soft, [3.0, 1.0]) == pytest.approx((3 * first + second) / 4)


def test_kl_in_both_directions() -> None:
    p, y = [0.9, 0.1], [0.6, 0.4]
    assert call(Kl(), logits_of([p]), [y]) == pytest.approx(0.6 * math.log(0.6 / 0.9) + 0.4 * math.log(0.4 / 0.1))
    assert call(Kl(direction="reverse"), logits_of([p]), [y]) == pytest.approx(
        0.9 * math.log(0.9 / 0.6) + 0.1 * math.log(0.1 / 0.4)
    )
    assert call(Kl(), logits_of([p]), [[1.0, 0.0]]) == pytest.approx(-math.log(0.9))


def test_entropy_target_mixes_in_the_soft_self_prediction() -> None:
    p, y = [0.9, 0.1], [0.4, 0.6]
    share = 0.5 * 0.05 / 0.1
    expected = cross_entropy(p, [(1 - share) * a + share * b for a, b in zip(y, p, strict=True)])
    assert call(Entropy(aux=0.5, warmup=0.1), logits_of([p]), [y], progress=0.05) == pytest.approx(expected)


def test_product_target_is_the_normalised_product() -> None:
    p, y = [0.9, 0.1], [0.4, 0.6]
    mass = 0.9 * 0.4 + 0.1 * 0.6
    assert call(Product(), logits_of([p]), [y]) == pytest.approx(cross_entropy(p, [0.36 / mass, 0.06 / mass]))


def test_product_of_a_sure_student_and_a_hard_teacher_stays_finite() -> None:
    logits = torch.tensor([[500.0, -500.0]], requires_grad=True)
    loss = Product().build(Given.of_classes(2))(logits, torch.tensor([[[0.0, 1.0]]]), torch.ones(1), 0.5)
    loss.backward()
    assert loss.item() == pytest.approx(1000.0)
    assert torch.isfinite(logits.grad).all()


def test_window_counts_unsure_rows_over_the_whole_batch() -> None:
    probs, soft = [[0.6, 0.4], [0.9, 0.1]], [[0.5, 0.5], [0.5, 0.5]]
    assert call(Window(radius=0.15), logits_of(probs), soft) == pytest.approx(cross_entropy(probs[0], soft[0]) / 2)


def test_window_midweak_radius_is_the_median_distance_of_the_labels() -> None:
    probs = [[0.55, 0.45], [0.65, 0.35], [0.8, 0.2]]
    soft = [[0.9, 0.1], [0.6, 0.4], [0.5, 0.5]]  # |y - .5| = .4, .1, 0: median .1, so only p < .6 counts
    assert call(Window(radius="midweak"), logits_of(probs), soft) == pytest.approx(cross_entropy(probs[0], soft[0]) / 3)


def test_window_midweak_is_of_all_labels_whatever_the_batch() -> None:
    labels = np.array([[0.9, 0.1], [0.6, 0.4], [0.5, 0.5]])
    loss = Window(radius="midweak").build(Given(1, 10, labels))
    assert loss.rowwise
    for row, learned in ((0.55, True), (0.61, False)):
        batch = logits_of([[row, 1 - row]]), torch.tensor(labels[None, :1]), torch.ones(1)
        assert (float(loss(*batch, 0.5)) > 0) is learned


@pytest.mark.parametrize(
    "config", [Entropy(warmup=30), Logconf(warmup=30), Logconf(warmup=30, compat="openai")], ids=repr
)
def test_a_warmup_from_1_on_is_a_number_of_steps(config: Any) -> None:
    logits, targets, weights = random_batch(16, 2)
    share = config.model_copy(update={"warmup": 0.3})
    for progress in (0.0, 0.1, 0.29, 0.31, 0.9):
        assert call(config, logits, targets, weights, progress) == call(
            share, logits, targets, weights, progress
        )  # of 100 steps


def hardened(config: Logconf, p0: list[float], y1: list[float]) -> list[int]:
    """The hard label of each row, read from the gradient: dL/dlogit_0 = (p_0 - target_0) / B with aux = 1."""
    logits = logits_of([[p, 1 - p] for p in p0]).requires_grad_()
    targets = torch.tensor([[[1 - y, y]] for y in y1], dtype=torch.float64)
    config.build(Given.of_classes(2))(logits, targets, torch.ones(len(p0)), 1.0).backward()
    assert logits.grad is not None
    return [round(p - len(p0) * float(g)) for p, g in zip(p0, logits.grad[:, 0], strict=True)]


def test_logconf_paper_puts_half_of_the_batch_above_the_threshold() -> None:
    assert hardened(Logconf(aux=1), [0.9, 0.8, 0.7, 0.6], [0.9, 0.9, 0.9, 0.9]) == [1, 1, 0, 0]


def test_logconf_openai_takes_the_quantile_at_the_mean_weak_label() -> None:
    # mean weak mass of class 1 is .75: the quantile of p0 at .75 is .825, which only .9 reaches
    assert hardened(Logconf(aux=1, compat="openai"), [0.9, 0.8, 0.7, 0.6], [1.0, 1.0, 1.0, 0.0]) == [1, 0, 0, 0]


def test_logconf_argmax_follows_the_student() -> None:
    assert hardened(Logconf(aux=1, threshold="argmax"), [0.9, 0.8, 0.7, 0.4], [0.9] * 4) == [1, 1, 1, 0]


def test_logconf_eleuther_is_the_running_median_of_32_rows() -> None:
    rng = np.random.default_rng(0)
    p0 = rng.uniform(0.05, 0.95, size=80)
    loss = Logconf(aux=1, compat="eleuther").build(Given.of_classes(2))
    targets = torch.full((40, 1, 2), 0.5, dtype=torch.float64)
    seen = []
    for part in (p0[:40], p0[40:]):
        logits = logits_of([[p, 1 - p] for p in part]).requires_grad_()
        loss(logits, targets, torch.ones(40), 1.0).backward()
        seen += [round(p - 40 * float(g)) for p, g in zip(part, logits.grad[:, 0], strict=True)]
    assert seen == [int(p0[i] >= np.median(p0[max(0, i - 31) : i + 1])) for i in range(80)]


def test_logconf_eleuther_memory_survives_a_checkpoint() -> None:
    logits, targets, weights = random_batch(40, 2)
    kept, restored = (
        Logconf(compat="eleuther").build(Given.of_classes(2)),
        Logconf(compat="eleuther").build(Given.of_classes(2)),
    )
    kept(logits, targets, weights, 1.0)
    restored.load_state_dict(kept.state_dict())
    more, targets, weights = random_batch(10, 2, seed=1)
    assert float(restored(more, targets, weights, 1.0)) == float(kept(more, targets, weights, 1.0))
    fresh = Logconf(compat="eleuther").build(Given.of_classes(2))
    assert not torch.equal(restored.state_dict()["seen"], fresh.state_dict().get("seen", torch.zeros(1)))


@pytest.mark.parametrize("seed", range(20))
def test_logconf_openai_keeps_the_class_balance_of_the_weak_labels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(8, 64))
    p0, y1 = rng.permutation(np.linspace(0.05, 0.95, size)), rng.uniform(size=size)
    share = np.mean(hardened(Logconf(aux=1, compat="openai"), p0.tolist(), y1.tolist()))
    assert abs(share - (1 - y1.mean())) <= 1 / size


def test_ramps() -> None:
    p, y = [0.9, 0.1], [0.2, 0.8]

    def share(config: Logconf, progress: float) -> float:
        loss = call(config, logits_of([p]), [y], progress=progress)
        return (cross_entropy(p, y) - loss) / (cross_entropy(p, y) - cross_entropy(p, [1.0, 0.0]))

    for compat in ("paper", "eleuther"):
        config = Logconf(aux=0.5, warmup=0.2, compat=compat)
        assert [share(config, s) for s in (0, 0.1, 0.2, 1)] == pytest.approx([0, 0.25, 0.5, 0.5])
    jumpy = Logconf(aux=0.5, warmup=0.2, compat="openai")
    assert [share(jumpy, s) for s in (0, 0.1, 0.2, 0.201, 1)] == pytest.approx([0, 0.05, 0.1, 0.5, 0.5])
    assert share(Logconf(aux=0.5, warmup=0), 0) == pytest.approx(0.5)


@pytest.mark.parametrize("config", [Logconf(compat=compat) for compat in ("paper", "eleuther")] + [Entropy()], ids=repr)
def test_no_share_jumps_but_that_of_openai_s_code(config: Any) -> None:
    """Over the end of the warm-up the loss goes on without a jump; under `compat: openai` it leaps from a tenth of the
    share to all of it."""
    logits, soft = (
        logits_of([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.2, 0.8]]),
        [[0.2, 0.8], [0.7, 0.3], [0.4, 0.6], [0.9, 0.1]],
    )

    def leap(of: Any) -> float:
        return abs(call(of, logits, soft, progress=0.1 + 1e-6) - call(of, logits, soft, progress=0.1))

    assert leap(config) < 1e-4
    assert leap(Logconf(compat="openai")) > 0.1


def test_the_quantile_is_of_all_rows_that_the_loss_is_given() -> None:
    """So another batch size is another method, as Burns et al.'s code has it: of eight rows half are above the
    threshold, of the four surest ones two."""
    p0, even = [0.95, 0.9, 0.85, 0.8, 0.4, 0.3, 0.2, 0.1], [0.5] * 8
    for config in (Logconf(aux=1), Logconf(aux=1, compat="openai")):
        assert hardened(config, p0, even) == [1, 1, 1, 1, 0, 0, 0, 0]
        assert hardened(config, p0[:4], even[:4]) == [1, 1, 0, 0]


# limits


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize(
    "config", [Entropy(aux=0), Product(beta=0), Logconf(aux=0, threshold="argmax"), Window(radius=10.0)], ids=repr
)
def test_limit_is_xent(config: Any, classes: int) -> None:
    logits, targets, weights = random_batch(16, classes)
    assert call(config, logits, targets, weights) == pytest.approx(call(Xent(), logits, targets, weights))


@pytest.mark.parametrize(
    "config", [Entropy(), Logconf(), Logconf(compat="openai"), Logconf(compat="eleuther")], ids=repr
)
def test_at_progress_0_there_is_no_self_label(config: Any) -> None:
    logits, targets, weights = random_batch(16, 2)
    assert call(config, logits, targets, weights, progress=0.0) == pytest.approx(call(Xent(), logits, targets, weights))


def test_kl_is_xent_less_the_entropy_of_the_labels_and_has_its_gradient() -> None:
    logits, targets, weights = random_batch(16, 3)
    gradients = []
    for config in (Kl(), Xent()):
        leaf = logits.clone().requires_grad_()
        config.build(Given.of_classes(3))(leaf, targets, weights, 0.5).backward()
        gradients.append(leaf.grad)
    assert torch.allclose(gradients[0], gradients[1])


@pytest.mark.parametrize("config", [Xent(), Kl(), Product()], ids=repr)
def test_one_hot_targets_give_the_negative_log_probability(config: Any) -> None:
    logits, _, weights = random_batch(6, 5)
    classes = torch.tensor([0, 1, 2, 3, 4, 0])
    expected = (weights * -logits.log_softmax(-1)[torch.arange(6), classes]).sum() / weights.sum()
    assert call(config, logits, torch.eye(5)[classes], weights) == pytest.approx(float(expected))


# properties of all


@pytest.mark.parametrize("config", ALL, ids=ids)
def test_weight_0_is_absence_for_rowwise_losses(config: Any) -> None:
    logits, targets, weights = random_batch(12, 2)
    weights[8:] = 0
    if config.build(Given.of_classes(2)).rowwise:
        assert call(config, logits, targets, weights) == pytest.approx(
            call(config, logits[:8], targets[:8], weights[:8])
        )


@pytest.mark.parametrize("config", ALL, ids=ids)
def test_rowwise_losses_sum_over_micro_batches_and_the_others_do_not(config: Any) -> None:
    logits, targets, weights = random_batch(64, 2, seed=3)
    logits, targets = (
        logits[(logits[:, 0] - logits[:, 1]).argsort()],
        targets[targets[:, 0].amax(-1).argsort()],
    )  # so that a part is unlike the whole
    mixed = torch.cat(
        [
            torch.randperm(20, generator=torch.Generator().manual_seed(0)),
            20 + torch.randperm(44, generator=torch.Generator().manual_seed(1)),
        ]
    )
    logits, targets = logits[mixed], targets[mixed]
    halves = [slice(0, 20), slice(20, 64)]
    losses = [config.build(given(targets)) for _ in range(3)]  # one of each, for some have a memory
    summed = sum(
        float(loss(logits[h], targets[h], weights[h], 0.5)) * float(weights[h].sum() / weights.sum())
        for loss, h in zip(losses, halves, strict=False)
    )
    whole = float(losses[2](logits, targets, weights, 0.5))
    assert (summed == pytest.approx(whole, rel=1e-9)) is losses[0].rowwise


@pytest.mark.parametrize(
    "config", [c for c in ALL if not (isinstance(c, Logconf) and c.compat == "eleuther")], ids=repr
)
def test_the_order_of_rows_does_not_count(config: Any) -> None:
    logits, targets, weights = random_batch(20, 2, teachers=3)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    assert call(config, logits[order], targets[order], weights[order]) == pytest.approx(
        call(config, logits, targets, weights)
    )


@pytest.mark.parametrize("config", ALL, ids=ids)
def test_teachers_are_averaged_over_those_that_speak(config: Any) -> None:
    logits, targets, weights = random_batch(12, 2, teachers=3)
    targets[2, 1] = float("nan")
    targets[5, :2] = float("nan")
    mean = torch.nanmean(targets, dim=1, keepdim=True)
    assert call(config, logits, targets, weights) == pytest.approx(call(config, logits, mean, weights))


@pytest.mark.parametrize("config", ANY_CLASSES, ids=repr)
def test_a_row_without_a_teacher_counts_nothing(config: Any) -> None:
    logits, targets, weights = random_batch(10, 3, teachers=2)
    silent = targets.clone()
    silent[9] = float("nan")
    loss = call(config, logits, silent, weights)
    assert math.isfinite(loss)
    if config.build(Given.of_classes(3)).rowwise:
        assert loss == pytest.approx(call(config, logits[:9], targets[:9], weights[:9]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scale", [1.0, 100.0])
@pytest.mark.parametrize(("config", "classes"), [(c, 2) for c in ALL] + [(c, 5) for c in ANY_CLASSES], ids=repr)
def test_gradients_are_finite(config: Any, classes: int, dtype: torch.dtype, scale: float) -> None:
    logits, targets, weights = random_batch(16, classes)
    leaf = (logits * scale).to(dtype).requires_grad_()
    hard = torch.eye(classes)[targets[:, 0].argmax(-1)][:, None]
    for labels in (targets, hard):
        leaf.grad = None
        loss = config.build(Given.of_classes(classes))(leaf, labels.float(), weights.float(), 0.7)
        loss.backward()
        assert loss.dtype == torch.float32
        assert torch.isfinite(leaf.grad).all()


@pytest.mark.parametrize("compat", ["paper", "openai", "eleuther"])
def test_ranking_thresholds_refuse_more_than_two_classes(compat: str) -> None:
    with pytest.raises(ConfigError, match=r"set loss\.threshold: argmax"):
        Logconf(compat=compat).build(Given.of_classes(3))


@pytest.mark.parametrize(
    ("config", "field", "value"),
    [(Logconf, "aux", 1.5), (Logconf, "warmup", -0.1), (Product, "alpha", 0), (Window, "radius", 0), (Kl, "floor", 0)],
)
def test_impossible_values_are_refused(config: Any, field: str, value: float) -> None:
    with pytest.raises(ValidationError, match=field):
        config(**{field: value})
