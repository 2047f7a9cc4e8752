"""Models that are asked as they are, students that were only prompted, and fits that begin where another ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from integration.test_kinds import LM, TASKS
from studies import config

from w2s_ray.backends.inference.hf import open_model
from w2s_ray.backends.inference.protocol import Completion
from w2s_ray.config.load import expand
from w2s_ray.config.method import MethodParams
from w2s_ray.config.recipe import Recipe
from w2s_ray.core.answers import Answers
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.kinds import GENERATION
from w2s_ray.core.labels import LabelSet
from w2s_ray.core.resources import Resources
from w2s_ray.engine.context import Context
from w2s_ray.engine.executor import InlineExecutor
from w2s_ray.engine.store import open_store
from w2s_ray.ops.models import folder_of
from w2s_ray.ops.task import Outcome, Task
from w2s_ray.ops.verbs import Verbs
from w2s_ray.study.run import CellRun, run_cells

Run = Callable[[Verbs, Task], Outcome]


class Given(MethodParams):
    """A method whose steps a test gives."""

    type: Literal["given"] = "given"
    steps: Any

    def run(self, ctx: Verbs, task: Task) -> Outcome:
        outcome: Outcome = self.steps(ctx, task)
        return outcome


def run(kind: str, folder: Path, steps: Run, **more: Any) -> CellRun:
    """One cell of a tiny study on rows of a kind."""
    task = TASKS.get(kind, {"data": "world:topic", "labelled": 48, "pool": 64, "test": 64})
    raw = config("naive", **{"task": task, "train": {"weak": LM, "strong": LM}} | more)
    study = expand(raw, folder)
    study = replace(study, cells=tuple(replace(cell, method=Given(steps=steps)) for cell in study.cells))
    with Context(open_store(str(folder / "store")), InlineExecutor) as context:
        (cell,) = run_cells(study, context)
    return cell


@pytest.mark.parametrize("kind", ["choice", "generation"])
def test_a_student_that_was_only_prompted_is_scored(kind: str, tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    def steps(ctx: Verbs, task: Task) -> Outcome:
        asked = task.strong.with_recipe(prompt="{text}")
        seen["labels"], seen["rows"] = ctx.outputs(ctx.predict(asked, task.pool)), ctx.rows(task.pool)
        return Outcome(student=asked, labels=ctx.predict(asked, task.pool))

    cell = run(kind, tmp_path, steps)
    assert not cell.error, cell.traceback
    assert cell.score is not None
    assert 0 <= cell.score.value["student"] <= 1
    assert cell.keys["student"].startswith("predict/world-micro")
    assert cell.facts["gold_supervised"] is False
    path = str(folder_of("world/micro", Path()))
    data = seen["rows"]
    alone = open_model(path, Recipe(answer_tokens=2), Resources(), kind=data.kind, classes=data.classes).answer(data)
    assert alone.digest == seen["labels"].digest
    if isinstance(alone, Answers):
        assert alone.tokens_N is not None
        assert seen["labels"].tokens_N.tolist() == alone.tokens_N.tolist()


def test_a_pretrained_model_has_no_head_for_classes(tmp_path: Path) -> None:
    def steps(ctx: Verbs, task: Task) -> Outcome:
        return Outcome(student=task.strong, labels=ctx.predict(task.strong, task.pool))

    cell = run("text", tmp_path, steps)
    assert "for which it has no head; finetune it" in cell.error
    assert cell.users


@pytest.mark.parametrize("adapt", ["full", "lora"])
def test_a_fit_begins_where_another_ended(adapt: str, tmp_path: Path) -> None:
    """Also where the first kept no weights, so that they are made for the second."""
    said: dict[str, LabelSet] = {}

    def steps(ctx: Verbs, task: Task) -> Outcome:
        teacher = ctx.train(task.strong, task.labelled, task.labels, predict_on=[task.pool])
        said["first"] = ctx.labels(ctx.predict(teacher, task.pool))
        still = ctx.start_from(teacher).with_recipe(lr=1e-12, epochs=1)
        second = ctx.train(still, task.labelled, task.labels, predict_on=[task.pool])
        plain = ctx.train(
            task.strong.with_recipe(lr=1e-12, epochs=1), task.labelled, task.labels, predict_on=[task.pool]
        )
        said["second"], said["plain"] = (ctx.labels(ctx.predict(one, task.pool)) for one in (second, plain))
        return Outcome(student=second, labels=ctx.predict(teacher, task.pool))

    cell = run("choice", tmp_path, steps, train={"weak": LM, "strong": LM | {"adapt": adapt}})
    assert not cell.error, cell.traceback
    np.testing.assert_allclose(said["second"].probs_NK, said["first"].probs_NK, atol=2e-3)
    assert np.abs(said["plain"].probs_NK - said["first"].probs_NK).max() > 0.01


def test_a_language_model_says_how_likely_texts_are_by_token_too() -> None:
    model = open_model(str(folder_of("world/small", Path())), Recipe(), Resources())
    first = model.tokenizer.convert_ids_to_tokens(10), model.tokenizer.convert_ids_to_tokens(11)
    prompts, candidates = [first[0], first[1]], [[first[1], f"{first[1]} {first[0]}"]] * 2
    whole, each = model.likelihoods(prompts, candidates), model.likelihoods(prompts, candidates, per_token=True)
    np.testing.assert_allclose(each, whole / [1, 2], rtol=1e-6)
    (said, _) = model.generate(prompts, 3)
    assert isinstance(said, Completion)
    assert len(said.tokens) == 3
    assert said.log_p == pytest.approx(model.likelihoods(prompts[:1], [[said.text]])[0, 0], abs=1e-4)


def test_a_choice_may_be_made_by_likelihood_a_token(tmp_path: Path) -> None:
    def steps(ctx: Verbs, task: Task) -> Outcome:
        per_token = task.strong.with_recipe(per_token=True)
        keys = {ctx.predict(one, task.pool).key for one in (task.strong, per_token)}
        assert len(keys) == 2
        return Outcome(student=per_token, labels=ctx.predict(per_token, task.pool))

    assert not run("choice", tmp_path, steps).error


def test_a_classifier_is_no_start_for_words(tmp_path: Path) -> None:
    """Its folder has no head for words; one that is drawn would answer at random."""

    def steps(ctx: Verbs, task: Task) -> Outcome:
        start = ctx.start_from(ctx.train(task.strong, task.labelled, task.labels, predict_on=[task.pool]))
        data = ctx.rows(task.pool)
        asked = ctx.put(Dataset.of("asked", "pool", GENERATION, (), data.ids, prompt=data.inputs["text"]))
        return Outcome(student=start, labels=ctx.put(ctx.outputs(ctx.predict(start, asked))))

    cell = run("text", tmp_path, steps)
    assert "finetuned to rows of kind text, without one" in cell.error
    assert cell.users
