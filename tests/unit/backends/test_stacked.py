"""Members that are trained together are those that are trained alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_rows import Place, toy

from w2s_ray.backends.fit.checkpoint import CHECKPOINT
from w2s_ray.backends.fit.fitted import Fitted
from w2s_ray.backends.fit.job import Job
from w2s_ray.backends.fit.single import fit
from w2s_ray.backends.fit.stacked import StackedLoops, fit_many
from w2s_ray.config.recipe import Recipe
from w2s_ray.core.errors import DataError, FitError
from w2s_ray.core.labels import LabelSet
from w2s_ray.core.resources import Resources
from w2s_ray.core.watch import Watch

# Adam divides by a gradient's own size, so that one which is nothing but rounding (that of a key's bias) would become a
# whole step; a larger eps keeps it small.
PLAIN = Recipe(lr=3e-3, epochs=3, batch=8, bucket=2, pooling="mean", warmup=0.1, eps=1e-4)
# What members may differ in.
OWN = [
    {},
    {"lr": 1e-3, "schedule": "constant", "weight_decay": 0.1},
    {"epochs": 2, "batch": 12, "clip": None},
    {"betas": (0.8, 0.99), "eps": 1e-3},
]


def jobs(model: str, folder: Path, base: Recipe, **resources: Any) -> list[Job]:
    """Bootstraps of the rows, so that weights and numbers of steps differ."""
    made = []
    for n, own in enumerate(OWN):
        data, truth = toy(70)
        counts = np.bincount(np.random.default_rng(n).integers(70, size=70), minlength=70)
        labels = LabelSet.of(truth.ids, 0.9 * truth.probs_NK + 0.05, weight_N=counts)
        place = Place(folder / str(n))
        place.folder.mkdir(parents=True)
        options = {"checkpoint_every_s": 1e9, "fuse": True} | resources
        made.append(
            Job(
                data,
                [labels],
                model,
                base.model_copy(update={**own, "seed": n}),
                Resources(**options),
                place,
                folder / "cache",
            )
        )
    return made


def assert_equal(together: Any, alone: Fitted) -> None:
    data, _ = toy(50, seed=9)
    assert isinstance(together, Fitted)
    assert [entry["step"] for entry in together.log] == [entry["step"] for entry in alone.log]
    np.testing.assert_allclose(
        [entry["loss"] for entry in together.log], [entry["loss"] for entry in alone.log], atol=1e-5
    )
    np.testing.assert_allclose(together.predict(data).probs_NK, alone.predict(data).probs_NK, atol=1e-5)
    assert {"tokens", "rows", "steps"} <= set(together.facts)
    assert all(together.facts[name] == alone.facts[name] for name in ("tokens", "rows", "steps"))


@pytest.mark.parametrize(
    ("kind", "adapt", "features"),
    [
        ("llama", "full", 1.0),
        ("llama", "full", 0.5),
        ("llama", "lora", 0.5),
        ("gpt2", "full", 1.0),
        ("gpt2", "lora", 1.0),
        ("bert", "full", 1.0),
        ("bert", "lora", 1.0),
    ],
)
def test_each_member_is_the_one_that_is_trained_alone(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, adapt: str, features: float
) -> None:
    model = request.getfixturevalue(kind)
    base = PLAIN.model_copy(update={"adapt": adapt, "head_init": "normal", "features": features})
    together = list(fit_many(jobs(model, tmp_path / "together", base)))
    for made, job in zip(together, jobs(model, tmp_path / "alone", base), strict=True):
        assert_equal(made, fit(job))
        assert isinstance(made, Fitted)
        assert made.facts["fused"] == len(OWN)


def test_a_step_may_be_cut_and_the_base_of_adapters_is_one(llama: str, tmp_path: Path) -> None:
    base = PLAIN.model_copy(update={"adapt": "lora"})
    whole = list(fit_many(jobs(llama, tmp_path / "whole", base)))
    cut = list(fit_many(jobs(llama, tmp_path / "cut", base, micro_tokens=20)))
    for one, other in zip(cut, whole, strict=True):
        assert isinstance(other, Fitted)
        assert_equal(one, other)
    frozen = [
        [p.data_ptr() for p in made.reader.parameters() if not p.requires_grad]
        for made in whole
        if isinstance(made, Fitted)
    ]
    assert all(each == frozen[0] for each in frozen)


def test_one_member_that_fails_does_not_stop_the_others(llama: str, tmp_path: Path) -> None:
    wanted = jobs(llama, tmp_path / "a", PLAIN)
    bad = Job(
        wanted[1].data,
        wanted[1].labels,
        llama,
        wanted[1].recipe.model_copy(update={"lr": 1e30, "clip": None}),
        *[getattr(wanted[1], n) for n in ("resources", "place", "cache")],
    )
    made = list(fit_many([wanted[0], bad, *wanted[2:]]))
    assert isinstance(made[1], FitError)
    for n, job in enumerate(jobs(llama, tmp_path / "b", PLAIN)):
        if n != 1:
            assert_equal(made[n], fit(job))


def test_one_member_with_rows_that_are_too_long_fails_alone(llama: str, tmp_path: Path) -> None:
    wanted = jobs(llama, tmp_path / "a", PLAIN)
    long = replace(wanted[2], recipe=wanted[2].recipe.model_copy(update={"prompt": "w1 " * 300 + "{text}"}))
    made = list(fit_many([*wanted[:2], long]))
    assert isinstance(made[2], DataError)
    assert all(isinstance(one, Fitted) for one in made[:2])


def test_members_that_were_stopped_go_on_together_or_alone(
    llama: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checkpoint at every step, the second half of one run by the other kind."""
    steps = 0
    real = StackedLoops._step

    def step(self: StackedLoops, *arguments: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == 12:
            raise KeyboardInterrupt
        return real(self, *arguments)

    monkeypatch.setattr(StackedLoops, "_step", step)
    stopped = jobs(llama, tmp_path / "stopped", PLAIN, checkpoint_every_s=1e-9)
    with pytest.raises(KeyboardInterrupt):
        list(fit_many(stopped))
    # a toy's place
    assert all((job.place.folder / CHECKPOINT).exists() for job in stopped)  # type: ignore[attr-defined]
    alone = fit(stopped[0])
    assert alone.facts["resumed"][0]["step"] == 11
    together = list(fit_many(stopped[1:]))
    for made, job in zip([alone, *together], jobs(llama, tmp_path / "whole", PLAIN), strict=True):
        assert_equal(made, fit(job))


def test_where_it_does_not_pay_members_are_trained_one_after_another(
    llama: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("w2s_ray.backends.fit.stacked.MOST_NUMBERS_ON_CPU", 100)
    made = list(fit_many(jobs(llama, tmp_path / "wide", PLAIN, fuse="auto")))
    assert all(isinstance(one, Fitted) and "fused" not in one.facts for one in made)
    monkeypatch.undo()
    monkeypatch.setattr("w2s_ray.backends.fit.stacked.MOST_PADDING", {"cpu": 1.0})
    made = list(fit_many(jobs(llama, tmp_path / "long", PLAIN, fuse="auto")))
    assert all(isinstance(one, Fitted) and "fused" not in one.facts for one in made)


def test_where_memory_is_short_they_are_trained_in_halves(
    llama: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    sizes = []
    real = StackedLoops.run

    def run(self: StackedLoops, some: Any) -> None:
        sizes.append(len(self.loops))
        if len(self.loops) > 2:
            raise torch.OutOfMemoryError
        real(self, some)

    monkeypatch.setattr(StackedLoops, "run", run)
    made = list(fit_many(jobs(llama, tmp_path / "a", PLAIN)))
    assert sizes == [4, 2, 2]
    assert_equal(made[3], fit(jobs(llama, tmp_path / "b", PLAIN)[3]))


def test_a_machine_that_leaves_causes_one_checkpoint_of_each(
    llama: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[str] = []
    keep = Place.keep
    monkeypatch.setattr(Place, "keep", lambda self, name, file: (kept.append(name), keep(self, name, file)))
    monkeypatch.setattr(Watch, "leaving", lambda self: True)
    assert len(list(fit_many(jobs(llama, tmp_path, PLAIN)))) == len(OWN)
    assert kept == [CHECKPOINT] * len(OWN)
