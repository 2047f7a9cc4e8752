"""Early stopping: which look is the best, whose weights are kept, and that a killed fit keeps the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from toy_rows import Place, toy

from w2s_ray.backends.fit.early_stopping import judge, kept_out
from w2s_ray.backends.fit.job import Job
from w2s_ray.backends.fit.single import fit
from w2s_ray.config.recipe import Check, Recipe
from w2s_ray.core.errors import DataError, Interrupted
from w2s_ray.core.labels import LabelSet
from w2s_ray.core.resources import Resources

RECIPE = Recipe(lr=2e-2, epochs=6, batch=16, pooling="mean", schedule="constant", check=Check(every=3))


def run(model: str, place: Place, recipe: Recipe = RECIPE, check: Any = None, **more: Any) -> Any:
    data, truth = toy(120)
    return fit(
        Job(
            data,
            [truth],
            model,
            recipe,
            Resources(checkpoint_every_s=1e9),
            place,
            place.folder / "cache",
            check=check,
            **more,
        )
    )


def noisy(rows: int, seed: int) -> tuple[Any, LabelSet]:
    data, truth = toy(rows, seed=seed)
    flip_N = np.random.default_rng(seed).random(rows) < 0.3
    return data, LabelSet.hard(data.ids, np.where(flip_N, 1 - truth.hard_N, truth.hard_N), 2)


def test_the_weights_are_those_of_the_best_look(llama: str, place: Place) -> None:
    data, labels = noisy(60, 8)
    fitted = run(llama, place, check=(data, [labels]))
    looks = fitted.facts["evaluations"]
    assert [one["step"] for one in looks] == list(range(3, 49, 3))
    best = max(one["score"] for one in looks)
    assert judge(Check(), fitted.predict(data), [labels]) == pytest.approx(best)
    assert best > looks[0]["score"], "or this test shows nothing"
    assert len(fitted.log) == 48, "what is told is of all steps"


def test_the_best_look_s_weights_are_those_of_a_fit_up_to_there(llama: str, place: Place) -> None:
    """An independent way to them: with a constant learning rate a shorter fit makes the same steps."""
    data, labels = noisy(60, 8)
    looked = run(llama, place, check=(data, [labels]))
    best = max(looked.facts["evaluations"], key=lambda one: one["score"])["step"]
    assert best < 48
    short = []

    def stop(state: dict[str, Any], curve: object) -> None:
        if state["step"] == best:
            raise Interrupted

    other = Place(place.folder / "other")
    try:
        run(llama, other, RECIPE.model_copy(update={"check": None}), progress=stop)
    except Interrupted:
        short.append(other.fetch("fit.safetensors"))
    from safetensors.torch import load_file

    kept = load_file(short[0])
    for name, weight in looked.reader.named_parameters():
        np.testing.assert_array_equal(weight.detach().numpy(), kept[f"weight.{name}"].numpy())


def test_a_killed_fit_keeps_the_same_weights(llama: str, place: Place) -> None:
    data, labels = noisy(60, 8)
    calm = run(llama, place, check=(data, [labels]))

    def stop(state: dict[str, Any], curve: object) -> None:
        if state["step"] == 40 and not stopped:
            stopped.append(40)
            raise Interrupted

    stopped: list[int] = []
    other = Place(place.folder / "other")
    with pytest.raises(Interrupted):
        run(llama, other, check=(data, [labels]), progress=stop)
    again = run(llama, other, check=(data, [labels]), progress=stop)
    assert again.facts["evaluations"] == calm.facts["evaluations"]
    np.testing.assert_array_equal(again.predict(data).probs_NK, calm.predict(data).probs_NK)


def test_rows_that_are_looked_at_are_not_learned_from(llama: str, place: Place) -> None:
    """Where none are given: a share of its own, the same for every seed."""
    data, _ = toy(120)
    out = kept_out(np.sort(data.ids), 0.1)
    assert 2 < len(out) < 30
    assert set(kept_out(data.ids[::-1], 0.1)) == set(out)
    fitted = run(llama, place)
    assert fitted.facts["rows"] == 6 * (120 - len(out))


def test_one_order_for_all_epochs(llama: str, place: Place) -> None:
    """With a learning rate of nothing the losses of every epoch are those of the first."""
    fitted = run(llama, place, Recipe(lr=1e-30, epochs=3, batch=16, order="once", head_init="small"))
    losses = np.array([point["loss"] for point in fitted.log]).reshape(3, -1)
    np.testing.assert_array_equal(losses[0], losses[1])
    other = run(llama, Place(place.folder / "other"), Recipe(lr=1e-30, epochs=3, batch=16, head_init="small"))
    assert (
        len({tuple(epoch) for epoch in np.array([point["loss"] for point in other.log]).reshape(3, -1).tolist()}) == 3
    )


def test_a_share_that_keeps_nothing_out_is_refused(llama: str) -> None:
    with pytest.raises(DataError, match="keeps out 0"):
        kept_out(np.array(["a", "b"]), 0.001)


def test_several_teachers_are_judged_by_together() -> None:
    ids = ["a", "b", "c"]
    said = LabelSet.hard(ids, [0, 1, 1], 2)
    one = LabelSet.of(ids, [[0.9, 0.1], [0.6, 0.4], [0.5, 0.5]], mask_N=[True, True, False])
    other = LabelSet.of(ids, [[0.4, 0.6], [0.1, 0.9], [0.5, 0.5]], mask_N=[True, True, False])
    assert judge(Check(), said, [one, other]) == 1.0
    assert judge(Check(), said, [one]) == 0.5
    assert judge(Check(metric="log_loss"), said, [one, other]) == pytest.approx(0, abs=1e-9)


def test_the_best_look_is_found_again_though_a_later_life_sees_otherwise(
    llama: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two bests after the last checkpoint, then a kill; where numerics differ the second life need not find them again.
    What a checkpoint knows of stays whole."""
    from w2s_ray.backends.fit import early_stopping as module

    scores = iter([0.1, 0.5, 0.6, 0.7, 0.2] + [0.0] * 50)
    monkeypatch.setattr(module, "judge", lambda *args: next(scores))
    monkeypatch.setattr("w2s_ray.backends.fit.job.judge", lambda *args: next(scores))
    data, labels = noisy(60, 8)
    stopped: list[int] = []

    def stop(state: dict[str, Any], curve: object) -> None:
        if state["step"] == 13 and not stopped:
            stopped.append(13)
            raise RuntimeError("killed without a word")

    with pytest.raises(RuntimeError):
        run(llama, place, check=(data, [labels]), progress=stop)
    ended = run(llama, place, check=(data, [labels]), progress=stop)
    best = max(ended.facts["evaluations"], key=lambda one: one["score"])
    assert (best["step"], best["score"]) == (12, 0.7)


def test_memory_that_runs_out_in_a_look_is_halved_too(
    llama: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from w2s_ray.backends.fit.fitted import Fitted

    real, failed = Fitted.predict, []

    def once(self: Fitted, data: Any) -> Any:
        if not failed:
            failed.append(True)
            raise torch.OutOfMemoryError("tried to allocate 2 GiB")
        return real(self, data)

    monkeypatch.setattr(Fitted, "predict", once)
    data, labels = noisy(60, 8)
    assert run(llama, place, check=(data, [labels])).facts["halvings"]
