"""The error tree. Each message says what is wrong, with which value, what was allowed, and what to do.

W2SError
 ├─ InputError (ValueError)         something the user wrote or pointed at; the CLI prints one line and exits with 2
 │   ├─ ConfigError                 a key or value of the YAML
 │   ├─ DataError                   rows, columns, labels, ids of a data source
 │   │   └─ AlignmentError (KeyError)  a join by id that does not match
 │   └─ ModelError                  a model or tokenizer that cannot be used
 ├─ ResourceError (RuntimeError)    a request that the devices at hand cannot hold
 ├─ IdentityError (TypeError)       a value without a stable identity was about to enter a fingerprint
 ├─ StoreError (OSError)            the artifact store
 ├─ DamagedArtifact (RuntimeError)  a file or a record of an artifact is not what was written
 ├─ FitError (RuntimeError)         a fit that cannot go on, such as a loss that is not finite
 │   └─ OutOfMemory (MemoryError)   the device was too small for so many tokens at once
 ├─ WorkerLost (ConnectionError)     a process that computed a step was lost, more often than it may be started again
 ├─ PeerLost (ConnectionError)       another process of this computation is gone; all begin again
 ├─ StepFailed (RuntimeError)       a step raised or its worker died; carries the remote traceback
 ├─ CellsFailed (RuntimeError)      a study that ended without some of its cells
 └─ Interrupted (RuntimeError)      the run was asked to stop
     ├─ BudgetSpent                 by its own `budget`
     └─ Planned                     `w2s plan`: the step would run

All of them survive pickling: workers raise them, drivers read them.
"""

from __future__ import annotations

from typing import Any


class W2SError(Exception):
    """Root of every error that this package raises on purpose."""


class InputError(W2SError, ValueError):
    """The user's input is wrong; the message alone must be enough to mend it."""


class ConfigError(InputError):
    """A key or value of the configuration."""


class DataError(InputError):
    """Rows, columns, labels or ids of a data source."""


class AlignmentError(DataError, KeyError):
    """A join by id that does not match."""

    # KeyError prints the repr of its argument; this message is for people.
    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class ModelError(InputError):
    """A model or tokenizer that cannot be used."""


class ResourceError(W2SError, RuntimeError):
    """A request that the devices at hand cannot hold."""


class IdentityError(W2SError, TypeError):
    """A value without a stable identity was about to enter a fingerprint."""


class StoreError(W2SError, OSError):
    """The artifact store could not do what was asked."""


GONE = "gone"  # in place of an attempt: the artifact existed, and another process that found it damaged set it aside


class DamagedArtifact(W2SError, RuntimeError):
    """A file of an artifact does not have the checksum of its record, or the record cannot be read (then the attempt is
    unknown), or it is `GONE`."""

    def __init__(self, key: str, attempt: str = "") -> None:
        super().__init__(key, attempt)
        self.key, self.attempt = key, attempt

    def __str__(self) -> str:
        what = "is not in the store" if self.attempt == GONE else "is damaged in the store; it is set aside"
        return f"{self.key} {what} and made again when a run needs it"


class FitError(W2SError, RuntimeError):
    """A fit that cannot go on, such as a loss that is not finite."""


class OutOfMemory(FitError, MemoryError):
    """The device ran out of memory with so many tokens at once. Half of them may fit, but no fewer than the longest row
    has."""

    def __init__(self, micro_tokens: int, longest: int, report: str, way: dict[str, Any] | None = None) -> None:
        super().__init__(micro_tokens, longest, report, way or {})
        self.micro_tokens, self.longest, self.report, self.way = micro_tokens, longest, report, way or {}

    def next(self) -> dict[str, Any]:
        """The resources to go on with: the same settings with half the tokens at once. Raises this error where the
        longest row does not allow that."""
        fewer = max(self.micro_tokens // 2, self.longest)
        if fewer >= self.micro_tokens:
            raise self
        return {**self.way, "micro_tokens": fewer}

    def __str__(self) -> str:
        return (
            f"out of memory with {self.micro_tokens} tokens at once, the longest row having {self.longest}"
            f" ({self.report}); spread the fit over more devices (workers, zero), set offload or"
            " activation_checkpointing, or shorten the rows"
        )


class WorkerLost(W2SError, ConnectionError):
    """A step's process was lost each time that it was started."""

    @classmethod
    def after(cls, times: int, cause: str) -> WorkerLost:
        """The error after so many starts, with Ray's message on one line."""
        line = " ".join(cause.split())[:200]
        often = f" {times} times" if times > 1 else ""
        return cls(
            f"its process was lost{often} ({line}); it may have been killed for its memory: ask for more with"
            " resources.memory_gb, or see Ray's logs"
        )


class PeerLost(W2SError, ConnectionError):
    """Another process of this computation is gone. Not the step's own fault: all its processes start again."""


class Interrupted(W2SError, RuntimeError):
    """The run was asked to stop before this step was done."""


class BudgetSpent(Interrupted):
    """The devices of this run have worked as long as they may."""


class Planned(Interrupted):
    """This step would run; nothing is known of its result yet."""


class StepFailed(W2SError, RuntimeError):
    """A step raised, its worker died, or a step that it needs failed."""

    def __init__(self, step: str, key: str, error: str, traceback: str = "", log: str = "") -> None:
        # All of it goes to `args`, so that the default pickling restores it.
        super().__init__(step, key, error, traceback, log)
        self.step, self.key, self.error, self.traceback, self.log = step, key, error, traceback, log

    def __str__(self) -> str:
        return f"step {self.key} failed: {self.error}"


class CellsFailed(W2SError, RuntimeError):
    """A study has ended, but some of its cells have failed."""


def exit_code(error: BaseException) -> int:
    """Of a command that an error ended."""
    if isinstance(error, (InputError, ResourceError)):
        return 2
    if isinstance(error, (Interrupted, KeyboardInterrupt)):
        return 3 if isinstance(error, BudgetSpent) else 130
    return 1
