"""`TaskSpec`: which rows, in which form, split how. Every field is part of the identity, except the names of sources,
which count by the content of their rows."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from w2s_ray.core.frozen import Frozen
from w2s_ray.core.identity import NEVER

Size = int | None


class TaskSpec(Frozen):
    """The `task:` of a study."""

    data: Annotated[str, NEVER] = Field(
        description="world:NAME, file:PATH.{jsonl,csv,parquet} or hub:ORG/NAME[@COMMIT]"
    )
    format: str | None = Field(
        None,
        description=(
            "how a source row becomes inputs and a label; default: the one named like the source, else text (`w2s data`"
            " lists them)"
        ),
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="the format's column -> the source's column, also for `id`, `group`, `slice` and `source`",
    )
    classes: tuple[str, ...] | None = Field(
        None, description="the label values in the order of their class index; default: the sorted values of the rows"
    )
    test_data: Annotated[str | None, NEVER] = Field(
        None,
        description=(
            "where the test rows come from; default: the source's own test split if it has one, else a share of the"
            " rows"
        ),
    )
    pool_data: Annotated[str | None, NEVER] = Field(
        None, description="where the pool rows come from; default: the same place as the labelled half"
    )
    labelled: Size = Field(None, ge=2, description="at most so many rows with gold labels for the weak teacher")
    pool: Size = Field(None, ge=2, description="at most so many rows for the student")
    test: Size = Field(None, ge=2, description="at most so many test rows")
    shares: tuple[float, float, float] = Field(
        (0.4, 0.4, 0.2),
        description=(
            "of the rows for the labelled half, the pool and the test; with separate pool or test rows the others are"
            " scaled to 1"
        ),
    )
    heldout: float = Field(
        0.1, ge=0, lt=1, description="share of the labelled half that is kept out of training, for selection"
    )
    pool_heldout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the pool that no student trains on, to compare students with weak labels on",
    )
    max_words: Size = Field(None, ge=1, description="longer inputs are cut to so many words, for all models alike")
    max_chars: Size = Field(20_000, ge=1, description="and to so many characters")
    balance: bool = Field(
        False, description="undersample every split to equal class counts (EleutherAI's convention; looks at gold)"
    )
    overlap: Literal["refuse", "drop"] = Field(
        "refuse",
        description="what to do with train rows that are also test rows, and rows of pool_data that are either",
    )
    seed: int = Field(
        0,
        description=(
            "of the split and of candidate choices; the training seeds are separate, so that all seeds share their rows"
        ),
    )

    @model_validator(mode="after")
    def _shares_are_shares(self) -> TaskSpec:
        labelled, pool, _ = self.shares
        no_pool = pool == 0 and self.pool_data is None
        if min(self.shares) < 0 or labelled == 0 or no_pool or abs(sum(self.shares) - 1) > 1e-6:
            raise ValueError(
                "shares must be >= 0 (labelled and, without pool_data, pool above 0) and sum to 1, got"
                f" {list(self.shares)}"
            )
        return self
