"""`End`: how a run ended. It is the last object of `--json`, and what the store keeps of a study's latest run, so that
whoever follows from elsewhere is told the same."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from w2s_ray.core.errors import exit_code
from w2s_ray.engine.context import Context
from w2s_ray.engine.folders import is_url
from w2s_ray.engine.store import Store

Status = Literal["done", "failed", "refused", "budget", "stopped"]
STATUS: dict[int, Status] = {0: "done", 1: "failed", 2: "refused", 3: "budget", 130: "stopped"}
TOLD = 10  # different failures


class _Open(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Failed(_Open):
    """Cells that failed alike."""

    error: str
    cells: int


class End(_Open):
    """How a run or a search ended."""

    at: float = Field(default_factory=time.time, allow_inf_nan=False)
    name: str
    status: Status
    exit_code: int
    error: str = ""  # what ended it before its time
    failures: tuple[Failed, ...] = ()
    report: str = ""
    results: str = ""
    summary: tuple[dict[str, Any], ...] = ()  # as in results.json

    @classmethod
    def by(cls, error: BaseException, name: str) -> End:
        """Of a run that an error ended."""
        code = exit_code(error)
        return cls(name=name, status=STATUS[code], exit_code=code, error=" ".join(str(error).split()))

    @classmethod
    def of(cls, results: Mapping[str, Any], runs: str) -> End:
        """Of a run that has results. It failed where a step did; mistakes in the input alone are refused."""
        failures = results["failures"]
        code = 0 if not failures else 2 if all(failure["users"] for failure in failures) else 1
        folder = folder_of(runs, results["name"])
        return cls(
            name=results["name"], status=STATUS[code], exit_code=code,
            failures=tuple(Failed(error=each["error"], cells=len(each["cells"])) for each in failures[:TOLD]),
            report=f"{folder}/report.html", results=f"{folder}/results.json", summary=tuple(results["summary"]),
        )  # fmt: skip


def folder_of(runs: str, name: str) -> str:
    """A run's folder, as it is found from anywhere."""
    return f"{runs.rstrip('/') if is_url(runs) else Path(runs).resolve()}/{name}"


class Kept(_Open):
    """The end of a study's latest run, in the store."""

    driver: str
    end: End
    shown: str = ""  # the table that it printed

    @staticmethod
    def of(store: Store, name: str) -> Kept | None:
        """What is kept of a study; None where nothing is, or nothing that can be read."""
        try:
            found = Kept.model_validate_json(store.read(_name(name)) or b"")
        except (ValidationError, RecursionError):
            return None
        return found if found.end.name == name else None


Keep = Callable[[End, str], None]


@contextmanager
def kept(context: Context) -> Iterator[Keep]:
    """Gives what keeps an end with what was shown; an error's end is kept too. To be left before the context is, which
    takes the heartbeat away: who misses that finds the end."""

    def keep(end: End, shown: str) -> None:
        if context.read_only is None:
            with suppress(Exception):  # a store that is away for a moment must not cost the results
                one = Kept(driver=context.leases.holder.driver, end=end, shown=shown)
                context.store.write(_name(context.name), one.model_dump_json().encode())

    try:
        yield keep
    except BaseException as error:
        keep(End.by(error, context.name), "")
        raise


def _name(study: str) -> str:
    return f"ends/{hashlib.sha256(study.encode()).hexdigest()[:12]}.json"
