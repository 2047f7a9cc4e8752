"""What is fitted, and where that may run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from w2s_ray.backends.batch.order import num_batches
from w2s_ray.backends.batch.targets import Targets, join
from w2s_ray.backends.batch.tokens import Tokens, tokenise, tokenise_answered, tokenise_texts
from w2s_ray.backends.devices.device import Autocast
from w2s_ray.backends.fit.checkpoint import CheckpointPlace
from w2s_ray.backends.fit.early_stopping import Checks, every_steps, judge, rows_to_check
from w2s_ray.backends.fit.fitted import Fitted
from w2s_ray.backends.fit.loop import Progress
from w2s_ray.backends.models.answerer import AnswerSurprise
from w2s_ray.backends.models.classifier import training_mode
from w2s_ray.backends.models.readers import Reader, build_reader
from w2s_ray.blocks.linear import Probe
from w2s_ray.blocks.losses.contract import Given, LossFn
from w2s_ray.config.recipe import Recipe
from w2s_ray.core.answers import Answers
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.errors import DataError
from w2s_ray.core.ids import Ids, content_digest
from w2s_ray.core.labels import LabelSet
from w2s_ray.core.resources import Resources
from w2s_ray.core.watch import Watch


@dataclass(frozen=True)
class Job:
    """What is fitted, and where that may run. Without labels the texts themselves are learned."""

    data: Dataset
    labels: Sequence[LabelSet | Answers]
    model_path: str
    recipe: Recipe
    resources: Resources
    place: CheckpointPlace
    cache: Path
    progress: Progress | None = None
    watch: Watch = field(default_factory=Watch)
    head: Probe | None = None  # what the head starts as
    # Rows to evaluate on; where the recipe asks for an evaluation and there are none, some of its own rows.
    check: tuple[Dataset, Sequence[LabelSet | Answers]] | None = None

    @property
    def digest(self) -> str:
        """The identity of the fit, which a checkpoint must share to be continued; it does not depend on where the fit
        runs."""
        looked_at = [self.check[0].digest, *(teacher.digest for teacher in self.check[1])] if self.check else []
        started = [] if self.head is None else [self.head.weight_DC.tobytes().hex(), self.head.bias_C.tobytes().hex()]
        return content_digest(
            [
                self.data.digest,
                *(teacher.digest for teacher in self.labels),
                self.recipe.model_dump_json(),
                *looked_at,
                *started,
            ]
        )

    def targets(self, tokens: Tokens) -> Targets:
        """The labels of all teachers, without the rows that the fit is only evaluated on. Without labels, a text weighs
        as many tokens as are predicted in it."""
        if not self.labels:
            weight_N = (tokens.lengths_N - 1).astype(np.float64)
            if not weight_N.any():
                raise DataError(
                    f"none of the {len(tokens)} texts to read has two tokens, so no next token can be learned; give"
                    " rows with longer texts"
                )
            return Targets(np.ones((len(tokens), 1, 1)), weight_N, np.flatnonzero(weight_N > 0))
        targets = join(self.data.ids, self.labels, self.data.num_classes)
        out = self.looked_at()[2] if self.recipe.check else ()
        return (
            replace(targets, labelled=targets.labelled[~np.isin(np.sort(self.data.ids)[targets.labelled], out)])
            if len(out)
            else targets
        )

    def looked_at(self) -> tuple[Dataset, Sequence[LabelSet | Answers], Ids]:
        assert self.recipe.check is not None
        return rows_to_check(self.data, self.labels, self.check, self.recipe.check)

    def checks(self, fitted: Fitted, total: int, activation_checkpointing: bool) -> Checks | None:
        """Evaluations while the model is trained, on rows that it does not learn from."""
        check = self.recipe.check
        if check is None:
            return None
        rows, teachers, _ = self.looked_at()

        def evaluate() -> float:
            found = judge(check, fitted.predict(rows), teachers)
            training_mode(fitted.reader, self.recipe, activation_checkpointing=activation_checkpointing)
            return found

        return Checks(every_steps(check, total), evaluate)

    def tokens(self, tokenizer: Any) -> Tokens:
        """The tokens of the rows; for generation, with the teachers' answers."""
        data = self.data.prompted(self.recipe.prompt)
        if not self.labels:
            return tokenise_texts(data, tokenizer, self.cache)
        if data.kind.generated:
            answered = tokenise_answered(
                data, [labels for labels in self.labels if isinstance(labels, Answers)], tokenizer
            )
            answered.check_answers(self.recipe.answer_tokens)
            return answered
        return tokenise(data, tokenizer, self.cache)

    def loss_fn(self, targets: Targets) -> LossFn:
        if self.data.kind.generated:
            return AnswerSurprise()
        steps = self.recipe.epochs * num_batches(len(targets.labelled), self.recipe.batch)
        loss: Any = self.recipe.loss  # every loss config builds
        made: LossFn = loss.build(Given(len(self.labels), steps, targets.mean_NK))
        return made

    def reader(self, cast: Autocast, *, ask_causal: bool = True) -> Reader:
        """The model before the first step."""
        return build_reader(
            self.model_path,
            self.recipe,
            self.data.kind,
            self.data.num_classes,
            cast,
            teachers=max(len(self.labels), 1),
            head=self.head,
            ask_causal=ask_causal,
        )
