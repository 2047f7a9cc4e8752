"""A method in one file that needs what none before it needed: texts of two models, a column of its own in the rows, a
picture. Nothing else in the package knows of it (see `integration/test_one_file.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from w2s_ray.config.method import MethodParams
from w2s_ray.core.answers import Answers
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.diagnostics import Column, Curves, Diagnostic, Scored
from w2s_ray.core.kinds import GENERATION, KindName
from w2s_ray.engine.handle import Handle
from w2s_ray.ops.task import Learner, Outcome, Task
from w2s_ray.ops.verbs import Verbs


class TwoOpinions(MethodParams):
    """Weak and strong model, as they are, go on with each text; the weak teacher reads the text and both opinions."""

    refuses: ClassVar[Mapping[KindName, str]] = dict.fromkeys(("choice", "generation"), "it goes on with texts")
    type: Literal["two_opinions"] = "two_opinions"
    words: int = Field(3, ge=1, description="of each opinion")

    def run(self, ctx: Verbs, task: Task) -> Outcome:
        pool, labelled = (self.opinions(ctx, task, rows) for rows in (task.pool, task.labelled))
        reader = task.weak.with_recipe(prompt="{text} {weak} {strong}")
        labels = ctx.predict(ctx.train(reader, labelled, task.labels, predict_on=[pool]), pool)
        plain = ctx.predict(ctx.train(task.weak, task.labelled, task.labels, predict_on=[task.pool]), task.pool)
        student = ctx.train(task.strong.with_recipe(loss=self.loss), task.pool, labels, predict_on=[task.pool])
        return Outcome(student=student, labels=labels, diagnostics=(self.told(plain, labels),))

    def opinions(self, ctx: Verbs, task: Task, rows: Handle) -> Handle:
        """The same rows with a column for what each model says."""
        data = ctx.rows(rows)
        asked = ctx.put(Dataset.of("asked", data.split, GENERATION, (), data.ids, prompt=data.inputs["text"]))
        for name, learner in (("weak", task.weak), ("strong", task.strong)):
            data = data.with_column(name, self.said(ctx, learner, asked).align(data.ids).texts_N)
        return ctx.put(data)

    def said(self, ctx: Verbs, learner: Learner, asked: Handle) -> Answers:
        found = ctx.outputs(ctx.predict(learner.with_recipe(answer_tokens=self.words), asked))
        assert isinstance(found, Answers)
        return found

    def told(self, plain: Handle, labels: Handle) -> Diagnostic:
        """Labels without opinions and with them."""
        columns = (Column("opinions", "opinions", "count"), Column("accuracy", "label accuracy", "share"))
        rows = tuple({"opinions": n, "accuracy": Scored(one, "pool")} for n, one in ((0, plain), (2, labels)))
        picture = Curves("opinions", ("accuracy",))
        return Diagnostic("opinions", "What opinions are worth", columns, rows, "Two points.", picture)
