"""A table for methods that train several students in turn: how good each is, and the labels that it learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from w2s_ray.core.diagnostics import Column, Diagnostic, Scored
from w2s_ray.engine.handle import Handle
from w2s_ray.ops.task import Task, Trained
from w2s_ray.ops.verbs import Verbs


@dataclass(frozen=True)
class Stage:
    """One of several students in turn, and the labels that it learned from."""

    name: str
    student: Trained
    labels: Handle


def students_in_turn(ctx: Verbs, task: Task, stages: Sequence[Stage]) -> Diagnostic:
    """One row per student; the last one is the method's."""
    rows = [
        {
            "stage": place,
            "name": stage.name,
            "labels": Scored(stage.labels, "pool"),
            "student": Scored(ctx.predict(stage.student, task.test), "test"),
        }
        for place, stage in enumerate(stages, start=1)
    ]
    return Diagnostic(
        "stages",
        "Students in turn",
        (
            Column("stage", "stage", "count"),
            Column("name", "student"),
            Column("labels", "accuracy of its labels", "share"),
            Column("student", "its test accuracy", "share"),
        ),
        tuple(rows),
    )
