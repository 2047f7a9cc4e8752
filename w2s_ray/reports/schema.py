"""The schema of `results.json`, version 1: what a report may rely on. Further keys are welcome and kept.

Accuracies, ROC-AUC and shares are in 0..1; null stands for what is not defined, never NaN.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from w2s_ray.core.errors import DataError

Group = tuple[str, str, str, str]  # method, task, weak, strong


class _Open(BaseModel):
    """Known keys are checked, further ones kept."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)


class _Names(_Open):
    method: str = Field(min_length=1, description="name of the method in the study")
    task: str = Field(description="name of the task")
    weak: str = Field(description="the weak teacher's model")
    strong: str = Field(description="the student's and the ceiling's model")

    @property
    def group(self) -> Group:
        return (self.method, self.task, self.weak, self.strong)


class DiagnosticColumn(_Open):
    """A column of a table that a method declared."""

    name: str = Field(min_length=1, description="in files")
    words: str = Field(description="what people call it")
    show: Literal["text", "count", "share", "number"] = Field(description="how its values are shown")


class Curves(_Open):
    """A picture of the table."""

    x: str = Field(description="column along the axis")
    y: list[str] = Field(min_length=1, description="columns, a panel each")


class MethodDiagnostic(_Open):
    """A table that the method declared beside its student. What looks at the gold of pool or test rows is put in after
    the method has ended, so nothing is chosen by it."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="of its files")
    title: str = Field(description="its heading")
    columns: list[DiagnosticColumn] = Field(min_length=1, description="in their order")
    rows: list[dict[str, Any]] = Field(description="column -> value")
    note: str = Field("", description="what a reader must know")
    figure: Curves | None = Field(None, description="a picture, where there is one")
    on_page: list[int] | None = Field(None, description="the rows that the report shows; null for all")


class Scores(_Open):
    """How good predictions are against gold; null where a metric is not defined for such rows."""

    n: int = Field(0, ge=0, description="rows with gold")
    abstained: int = Field(0, ge=0, description="of these, rows of which nothing was said")
    accuracy: float | None = Field(None, ge=0, le=1, description="share of the rows that are right")
    auroc: float | None = Field(None, ge=0, le=1, description="area under the ROC curve")
    ece: float | None = Field(None, ge=0, le=1, description="expected calibration error (Guo et al. 2017)")
    log_loss: float | None = Field(None, ge=0, description="mean of -log p(gold), in nats")


class Agreeing(_Open):
    """How often the student says what its teacher says."""

    agreement: float | None = Field(description="share of the rows; null where there are none")
    n: int = Field(ge=0, description="rows")


class Agreement(_Open):
    """On the test rows (Burns et al. 2023, section 5.1.2)."""

    all: Agreeing = Field(description="of which the teacher says anything")
    weak_right: Agreeing = Field(description="where the teacher is right")
    weak_wrong: Agreeing = Field(description="where it is wrong")


class CellResult(_Names):
    """One method, task, pair of models and seed."""

    seed: int | None = Field(description="training seed; null where an imported run does not say it")
    status: Literal["ok", "no_gap", "no_floor", "no_ceiling", "failed"] = Field(
        description=(
            "`no_gap`: the ceiling does not clearly exceed the floor; `no_floor`: the weak labels have none of the test"
            " rows; `no_ceiling`: an imported run without one; `failed`: a step failed"
        )
    )
    floor: float | None = Field(
        None, ge=0, le=1, description="the weak teacher on the test rows, in `metric`; null if the status is `no_floor`"
    )
    student: float | None = Field(None, ge=0, le=1, description="the student on the test rows, in `metric`")
    ceiling: float | None = Field(
        None, ge=0, le=1, description="the strong model trained on gold on the test rows, in `metric`"
    )
    pgr: float | None = Field(None, description="(student - floor) / (ceiling - floor); null unless the status is `ok`")
    num_test: int | None = Field(
        0, ge=0, description="test rows behind these values; null where an imported run does not say it"
    )
    keys: dict[str, Any] = Field(default_factory=dict, description="role -> key of the artifact in the store")
    reason: str = Field("", description="why the status is not `ok`, as a sentence")
    gold_supervised: bool = Field(
        False, description="the student saw gold labels of rows that a weak-to-strong student would not"
    )

    metrics: dict[str, Scores] = Field(default_factory=dict, description="arm -> its metrics on the test rows")
    labels: Scores | None = Field(None, description="the labels that the student learned from, on the pool's rows")
    agreement: Agreement | None = Field(None, description="of student and teacher")
    diagnostics: list[MethodDiagnostic] = Field(default_factory=list, description="tables that the method declared")

    @model_validator(mode="after")
    def _status_agrees(self) -> CellResult:
        scores = {"floor": self.floor, "student": self.student, "ceiling": self.ceiling}
        if self.status == "no_floor" and (self.floor is not None or None in (self.student, self.ceiling)):
            raise ValueError(f"a cell with status 'no_floor' has student and ceiling, and no floor; got {scores}")
        if self.status == "no_ceiling" and (self.ceiling is not None or self.student is None):
            raise ValueError(f"a cell with status 'no_ceiling' has a student and no ceiling; got {scores}")
        if self.status in ("ok", "no_gap") and None in scores.values():
            raise ValueError(f"a cell with status {self.status!r} has floor, student and ceiling; got {scores}")
        if (self.pgr is None) == (self.status == "ok"):
            raise ValueError(
                f"pgr is a number when the status is 'ok' and null otherwise; got pgr {self.pgr} with status"
                f" {self.status!r}"
            )
        return self


class Pgr(_Open):
    """Gap recovered over the seeds that have a gap."""

    median: float | None = Field(description="median over seeds")
    mean: float | None = Field(description="mean over seeds")
    low: float | None = Field(
        description="lower end of the median's 95 % interval (bootstrap over seeds and test rows)"
    )
    high: float | None = Field(description="upper end of it")
    undefined: float | None = Field(
        None, ge=0, le=1, description="share of the interval's draws without a positive gap, which it leaves out"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Pgr:
        if (self.median is None) != (self.mean is None):
            raise ValueError(f"median and mean are both numbers or both null; got {self.median} and {self.mean}")
        _check_ends(self.low, self.high)
        return self


class MeanScore(_Open):
    """A value over seeds, in the study's metric."""

    mean: float = Field(ge=0, le=1, description="mean over seeds")
    low: float | None = Field(None, ge=0, le=1, description="lower end of its 95 % interval")
    high: float | None = Field(None, ge=0, le=1, description="upper end of it")

    @model_validator(mode="after")
    def _ordered(self) -> MeanScore:
        _check_ends(self.low, self.high)
        return self


class Excluded(_Open):
    """A seed that does not count for the gap recovered."""

    seed: int | None = Field(description="training seed; null where an imported run does not say it")
    reason: str = Field(description="why, as a sentence")


class SummaryRow(_Names):
    """One method, task and pair of models over its seeds."""

    num_seeds: int = Field(ge=0, description="scored seeds, with or without a gap")
    pgr: Pgr = Field(description="gap recovered, over the seeds that have a gap")
    student: MeanScore = Field(description="the student on the test rows, in `metric`")
    floor: MeanScore | None = Field(
        None, description="the weak teacher on the test rows, in `metric`; null where no seed has a floor"
    )
    ceiling: MeanScore | None = Field(
        None, description="the strong model trained on gold on the test rows, in `metric`"
    )
    num_test: int | None = Field(None, ge=0, description="test rows of a seed (the fewest, where seeds differ)")
    excluded: list[Excluded] = Field(default_factory=list, description="scored seeds without a gap or without a floor")
    placements: list[str] = Field(
        default_factory=list,
        description="the different placements (devices, workers) of these seeds' fits; they perturb numerics",
    )


class Difference(_Open):
    """Of two students, in the study's metric."""

    mean: float = Field(
        ge=-1,
        le=1,
        description="the method's student minus the baseline's on the test rows, mean over seeds (overall: over tasks)",
    )
    low: float = Field(
        ge=-1,
        le=1,
        description=(
            "lower end of its 95 % interval: bootstrap over seeds and test rows (overall: and tasks), the same for both"
        ),
    )
    high: float = Field(ge=-1, le=1, description="upper end of it")

    @model_validator(mode="after")
    def _ordered(self) -> Difference:
        _check_ends(self.low, self.high)
        return self


class PgrDifference(_Open):
    """Of two gaps recovered."""

    median: float | None = Field(
        description="median over cells of the method's gap recovered minus the baseline's with the same seed"
    )
    num_cells: int = Field(ge=0, description="cells where both have a gap")


class Comparison(_Open):
    """What is said of every comparison."""

    method: str = Field(min_length=1, description="name of the method in the study")
    baseline: str = Field(min_length=1, description="name of the method it is compared with")
    num_seeds: int = Field(ge=1, description="seeds that both have")
    difference: Difference = Field(description="in `metric`")
    wins: int = Field(ge=0, description="cells in which the method is better on the test rows than the baseline")
    losses: int = Field(ge=0, description="cells in which it is worse")
    ties: int = Field(ge=0, description="cells in which the two are equal")
    p: float = Field(gt=0, le=1, description="two-sided sign-flip test over seeds; never below 2 / 2^seeds")
    p_holm: float = Field(gt=0, le=1, description="the same, adjusted for all tests of the study (Holm 1979)")
    pgr_difference: PgrDifference = Field(description="in gap recovered")


class PairedRow(Comparison):
    """A method against the baseline on one task and pair of models."""

    task: str = Field(description="name of the task")
    weak: str = Field(description="the weak teacher's model")
    strong: str = Field(description="the student's and the ceiling's model")
    left_out: list[Excluded] = Field(default_factory=list, description="seeds that count for neither")


class OverallRow(Comparison):
    """A method against the baseline over all tasks and pairs of models."""

    num_tasks: int = Field(ge=1, description="tasks, which count the same")
    num_groups: int = Field(ge=2, description="tasks and pairs of models")
    num_cells: int = Field(ge=2, description="seeds of all of them")


class Skipped(_Names):
    """A method that is not compared."""

    reason: str = Field(description="why, as a sentence")


class Comparisons(_Open):
    """Each method against the baseline."""

    num_tests: int = Field(
        ge=0, description="comparisons that the p-values are adjusted for: all of `pairs` and `overall`"
    )
    pairs: list[PairedRow] = Field(description="one entry a method, task and pair of models")
    overall: list[OverallRow] = Field(description="one entry a method that has several of them")
    skipped: list[Skipped] = Field(description="methods without a comparison on a task and pair of models")


class SweepPair(_Open):
    """A pair of models."""

    weak: str = Field(description="the weak teacher's model")
    strong: str = Field(description="the student's and the ceiling's model")
    num_seeds: int = Field(ge=1, description="scored seeds")
    num_gap: int = Field(ge=0, description="those that have a gap")
    floor: float | None = Field(
        ge=0,
        le=1,
        description="the weak teacher on the test rows, in `metric`, mean over seeds; null where no seed has a floor",
    )
    student: float = Field(ge=0, le=1, description="the student on the test rows, in `metric`, mean over seeds")
    ceiling: float = Field(
        ge=0, le=1, description="the strong model trained on gold on the test rows, in `metric`, mean over seeds"
    )
    pgr: float | None = Field(description="gap recovered, median over the seeds that have a gap")


class Sweep(_Open):
    """One method and task over pairs of models."""

    method: str = Field(min_length=1, description="name of the method in the study")
    task: str = Field(description="name of the task")
    median_pgr_openai: float | None = Field(
        description=(
            "median over runs of the gap recovered against seed-means of floor and ceiling; pairs of a model with"
            " itself, without a gap or without a floor dropped"
        )
    )
    num_runs_openai: int = Field(ge=0, description="runs behind it")
    pairs: list[SweepPair] = Field(description="one entry a pair of models")


class Bin(_Open):
    """Rows of like confidence."""

    rows: int = Field(ge=1, description="how many")
    confidence: float = Field(ge=0, le=1, description="their mean confidence")
    right: float = Field(ge=0, le=1, description="share of them that is right")


class ArmSaid(_Open):
    """What one arm said, over seeds."""

    shares: list[float] | None = Field(description="class -> its share of the answers; null of texts")
    constant: list[int] = Field(description="seeds in which it says the same of every row")
    bins: list[Bin] = Field(description="its calibration; empty of texts")


class Said(_Names):
    """What the arms of one method, task and pair of models said."""

    arms: dict[str, ArmSaid] = Field(
        description="`floor`, `student` and `ceiling` of the test rows, `labels` of the pool's"
    )


class Split(_Open):
    """Rows of a task."""

    rows: int = Field(ge=0, description="how many")
    shares: dict[str, float] = Field(default_factory=dict, description="class -> share of the rows")
    cut: int = Field(0, ge=0, description="texts that were cut at their greatest length")


class TaskRows(_Open):
    """The rows of a task, as they were split."""

    task: str = Field(description="name of the task")
    splits: dict[str, Split] = Field(description="`labelled`, `pool`, `test`, and held-out rows where there are any")


class Fitted(_Open):
    """A model and how it is trained."""

    role: str = Field(description="`weak`, `strong`, or another role of the method")
    model: str = Field(description="name of the model")
    parameters: int | None = Field(None, ge=0, description="how many it has; null where that is not known")
    recipe: dict[str, Any] = Field(
        description="the recipe: adapt, lr, epochs, batch, loss, and what else differs from its default"
    )


class LossCurve(_Open):
    """The training loss of a fit."""

    key: str = Field(description="of the fit")
    role: Literal["floor", "student", "ceiling"] = Field(description="what it is to the cell")
    method: str = Field(description="name of the first method that has it")
    task: str = Field(description="name of the task")
    model: str = Field(description="name of the model")
    seed: int = Field(description="training seed")
    steps: list[int] = Field(description="steps, thinned")
    loss: list[float] = Field(description="loss at these steps")


class Steps(_Open):
    """What the run did."""

    executed: int = Field(ge=0, description="steps that ran")
    reused: int = Field(ge=0, description="steps whose result was in the store")
    failed: int = Field(ge=0, description="steps that failed")


class Tuned(_Open):
    """Where a study's values come from, when a search found them."""

    search: str = Field(description="key of the search")
    select_on: Literal["heldout", "weak_labels", "gold"] = Field(description="what its points were selected on")


class DeviceTime(_Open):
    """Seconds of devices."""

    CPU: float = Field(0.0, ge=0, description="seconds of CPUs")
    GPU: float = Field(0.0, ge=0, description="seconds of GPUs")


class CostRow(DeviceTime):
    """What the steps of one method and role took."""

    method: str = Field(description="name of the method")
    role: str = Field(description="whose model a step is about: `weak`, `strong`, or `other`")
    steps: float = Field(ge=0, description="how many there are")


class LossRow(_Open):
    """Work that ended without a result."""

    key: str = Field(description="of the step")
    cause: str = Field(
        description="error, out of memory, preemption, node, process (one died alone), stopped, or unknown"
    )
    detail: str = Field(description="what was said of it")
    seconds: float = Field(ge=0, description="how long it had run")
    at: str = Field(description="when it ended")


class CauseRow(_Open):
    """What was lost by one cause."""

    cause: str = Field(description="as of a loss")
    times: int = Field(ge=0, description="how often")
    seconds: float = Field(ge=0, description="how long these processes had run")


class KilledDriver(_Open):
    """A driver that did not end by itself, or still works."""

    began: str = Field(description="when it began")
    running: list[str] = Field(description="what it ran when it last wrote")


class Costs(_Open):
    """What the results cost, whichever run made them."""

    rows: list[CostRow] = Field(description="one entry a method and role; methods share steps")
    total: DeviceTime = Field(description="of all steps, each once")
    drivers: int = Field(ge=0, description="that worked on this study and wrote a ledger")
    there: DeviceTime = Field(description="of the devices that those drivers had")
    busy: DeviceTime = Field(description="of that, at work")
    lost: DeviceTime = Field(description="of that work, lost")
    killed_drivers: list[KilledDriver] = Field(default_factory=list, description="those that were killed")
    causes: list[CauseRow] = Field(default_factory=list, description="losses by their causes")
    more_losses: int = Field(0, ge=0, description="losses that no ledger lists, for there were too many")
    losses: list[LossRow] = Field(default_factory=list, description="the latest ones")


class WeakLabels(_Open):
    """What a teacher of an imported run said of the pool, measured on its saved rows."""

    weak: str = Field(description="the teacher's model")
    task: str = Field(description="name of the task")
    seed: int | None = Field(description="training seed, where it is known")
    num_rows: int = Field(ge=1, description="pool rows")
    accuracy: MeanScore = Field(description="share of them that is right, with an interval over rows")
    auroc: MeanScore | None = Field(description="ROC-AUC on them; null where they are all of one class")


class Imported(_Open):
    """Where results of another code come from. Nothing was run here: `steps` and `seconds` are 0."""

    source: Literal["openai/weak-to-strong", "EleutherAI/w2s"] = Field(
        alias="from", description="whose scripts wrote them"
    )
    folder: str = Field(description="the folder that was read")
    conventions: dict[str, str] = Field(description="what -> how these numbers were made")
    weak_labels: list[WeakLabels] = Field(default_factory=list, description="of the teachers that saved their labels")
    told: list[str] = Field(default_factory=list, description="what was odd in the folder, a sentence each")


class Results(_Open):
    """A study's results."""

    version: Literal[1] = Field(alias="schema", description="version of this schema")
    name: str = Field(min_length=1, description="name of the study")
    hypothesis: str = Field(description="what the study expected, written before it ran")
    config_digest: str = Field(min_length=1, description="digest of the resolved config")
    cells: list[CellResult] = Field(description="one entry a method, task, pair of models and seed")
    summary: list[SummaryRow] = Field(description="one entry a method, task and pair of models")
    comparisons: Comparisons | None = Field(
        None, description="each method against the baseline; there where the study has several methods"
    )
    sweep: list[Sweep] = Field(
        default_factory=list,
        description="one entry a method and task; there where the study has several pairs of models",
    )
    steps: Steps = Field(description="counts of steps")
    seconds: float = Field(ge=0, description="wall-clock time of the run")
    commit: str | None = Field(
        None, description="git commit of the folder with the study's YAML, marked `-dirty` where files differ from it"
    )
    gap_se: float | None = Field(
        None,
        ge=0,
        description=(
            "PGR is stated where the ceiling exceeds the floor by more than so many standard errors (paired by row)"
        ),
    )
    metric: Literal["accuracy", "auroc"] = Field(
        "accuracy",
        description=(
            "what floor, student, ceiling, the gap recovered and the comparisons are in; `auroc`: the area under the"
            " ROC curve"
        ),
    )
    ceiling_rows: str | None = Field(
        None,
        description="whose gold labels trained the ceiling: `labelled` (the teacher's half) or `pool` (the student's)",
    )

    said: list[Said] = Field(default_factory=list, description="one entry a method, task and pair of models")
    tasks: list[TaskRows] = Field(default_factory=list, description="one entry a task")
    fitted: list[Fitted] = Field(default_factory=list, description="one entry a role, model and recipe")
    curves: list[LossCurve] = Field(default_factory=list, description="loss curves of the first fits")
    more_curves: int = Field(0, ge=0, description="fits whose loss is in the store alone")
    remarks: list[str] = Field(
        default_factory=list, description="what makes a number mean less than it seems to, a sentence each"
    )
    store: str = Field("", description="where the artifacts lie: a URL, or a path from the folder of this file")
    costs: Costs | None = Field(None, description="what the results cost")

    tuned: Tuned | None = Field(None, description="the search that the values come from")
    imported: Imported | None = Field(None, description="the other code that made them, where `w2s import` read them")

    def cells_of(self, row: SummaryRow) -> list[CellResult]:
        """The cells behind a summary row, with those that failed."""
        return self.groups.get(row.group, [])

    def label(self, group: Group) -> str:
        """The method, and what of its setting varies in this study."""
        return ", ".join([group[0], *(group[place] for place in self._varying)])

    @cached_property
    def _varying(self) -> list[int]:
        return [place for place in range(1, 4) if len({group[place] for group in self.groups}) > 1]

    def place_of(self, cell: CellResult) -> int | None:
        """Where a cell stands among all."""
        return self._places.get((cell.group, cell.seed))

    @cached_property
    def _places(self) -> dict[tuple[Group, int | None], int]:
        return {(cell.group, cell.seed): place for place, cell in reversed(list(enumerate(self.cells)))}

    def saw_gold(self, group: Group) -> bool:
        """Whether a student of this row saw gold labels that a weak-to-strong student would not."""
        return any(cell.gold_supervised for cell in self.groups.get(group, []))

    @cached_property
    def groups(self) -> dict[Group, list[CellResult]]:
        """The cells of each group, in order."""
        groups: dict[Group, list[CellResult]] = {}
        for cell in self.cells:
            groups.setdefault(cell.group, []).append(cell)
        return groups


def _check_ends(low: float | None, high: float | None) -> None:
    if (low is None) != (high is None) or (low is not None and high is not None and low > high):
        raise ValueError(f"low and high are two numbers in this order, or both null; got {low} and {high}")


def parse(results: Mapping[str, Any]) -> Results:
    """A checked `Results`, or an error that names every key that is wrong, its value and what was expected."""
    try:
        return Results.model_validate(dict(results))
    except ValidationError as error:
        faults = [
            f"  {'.'.join(map(str, fault['loc'])) or 'results'}: {fault['msg']}{_given(fault['input'])}"
            for fault in error.errors()
        ]
        raise DataError(
            "the results do not fit schema 1 of results.json; run the study again with this version, or mend:\n"
            + "\n".join(faults)
        ) from error


def _given(value: object) -> str:
    return "" if isinstance(value, dict | list) else f" (got {value!r})"


def schema_table(model: type[BaseModel] = Results) -> str:
    """The schema as a Markdown table, for the documentation."""
    rows = [
        f"| `{key}` | {kind} | {'yes' if required else 'no'} | {text} |"
        for key, kind, required, text in _fields(model, "")
    ]
    return "\n".join(["| key | value | required | meaning |", "|---|---|---|---|", *rows]) + "\n"


def _fields(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, bool, str]]:
    """Depth first: each key with its place, its kind, whether it must be there, and its meaning."""
    for name, field in model.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        yield key, in_words(field.annotation), field.is_required(), field.description or ""
        nested = _nested(field.annotation)
        if nested is not None:
            yield from _fields(
                nested, f"{key}[]." if getattr(field.annotation, "__origin__", None) is list else f"{key}."
            )


def _nested(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for argument in get_args(annotation) if (model := _nested(argument)) is not None), None)


WORDS = {str: "text", int: "integer", float: "number", bool: "true or false", type(None): "null", Any: "anything"}


def in_words(annotation: Any) -> str:
    """What a value may be."""
    origin, arguments = getattr(annotation, "__origin__", None), get_args(annotation)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin is list or arguments[1:] == (...,):
        return f"list of {in_words(arguments[0])}"
    if origin is tuple:
        return f"[{', '.join(map(in_words, arguments))}]"
    if origin in (dict, Mapping):
        return "object"
    if hasattr(annotation, "__metadata__"):
        return in_words(origin)
    if arguments:
        return " or ".join(in_words(argument) for argument in arguments)
    return WORDS.get(annotation, "object")
