"""What a tracker is: a plug-in (`Tracker`) that builds a `Sink`, which is shown `Run`s.

A sink is shown a run again and again, each time with all that is known of it by then, and writes what is not there yet.
What is there it asks the tracker itself, so that nothing is written twice by a study that is run again. It works in a
process of its own (`process.py`) and may be as slow, and raise, as it likes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, SecretStr

from w2s_ray.core.frozen import Frozen
from w2s_ray.core.secrets import variable_of
from w2s_ray.engine.store import sha256_of

Scalar = str | int | float | bool | None
Kind = Literal["study", "cell", "fit", "trial"]
Status = Literal["running", "done", "failed"]
Curve = Sequence[tuple[int, float]]  # step, value


@dataclass(frozen=True)
class Run:
    """What is known of a study, a cell, a fit or a trial of a search."""

    id: str  # the same whenever the study is run
    kind: Kind
    name: str  # for people
    status: Status = "running"
    config: Mapping[str, Scalar] = field(default_factory=dict)  # dotted key -> value
    links: Mapping[str, str] = field(default_factory=dict)  # role -> key in the store
    curves: Mapping[str, Curve] = field(default_factory=dict)  # by step, as far as they are known
    numbers: Mapping[str, float] = field(default_factory=dict)  # of a run that has ended
    parent: str = ""  # id of the cell that a fit belongs to; of several, the first
    reason: str = ""  # why it has no numbers
    files: Sequence[Path] = ()

    @property
    def over(self) -> bool:
        return self.status != "running"

    @property
    def digest(self) -> str:
        """Of all that it says itself: what it belongs to is known later."""
        files = [sha256_of(path) for path in self.files]
        content = [self.status, self.config, self.links, self.curves, self.numbers, self.reason, files]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Spot:
    """Where a sink works: the study that it writes of, and a folder for what it keeps."""

    study: str
    digest: str
    folder: Path  # of the run: runs/NAME
    lasting: bool = True  # whether the folder will be there, with what is in it, when the study is run again
    environ: Mapping[str, str] = field(default_factory=dict)


class Sink:
    """Does nothing of either; a tracker writes runs, a notifier says sentences."""

    def put(self, run: Run) -> None:
        """Write what is not there yet of a run."""

    def say(self, text: str) -> None:
        """Tell people."""

    def close(self) -> None:
        """Leave: what was begun may be continued."""


class Tracker(Frozen):
    """A plug-in: a field `type`, its own settings, and `sink`."""

    wait: float = Field(10.0, ge=0, description="seconds that the end of a run waits for it")

    variables: ClassVar[tuple[str, ...]] = ()  # of the environment, that its library reads
    remedy: ClassVar[str] = "check its settings"
    sentences: ClassVar[bool] = False  # it is told sentences, and of no runs

    def sink(self, spot: Spot) -> Sink:
        """What writes there. May raise; imports its library here."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        return str(getattr(self, "type", ""))

    def told(self) -> dict[str, Any]:
        """Its fields, for the process that it works in: with its secrets."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: _plain(value) for name, value in fields.items()}

    def reads(self) -> list[str]:
        """The variables of the environment that it needs: its library's, and those that its fields name."""
        named = [variable_of(value) for value in self.told().values() if isinstance(value, str)]
        return [*self.variables, *(name for name in named if name is not None)]

    def secrets(self) -> list[str]:
        """The values of its fields that no message, no file and no command line may hold."""
        values = (getattr(self, name) for name in type(self).model_fields)
        return [value.get_secret_value() for value in values if isinstance(value, SecretStr)]


def flat(value: Any, prefix: str = "") -> dict[str, Scalar]:
    """Nested mappings as dotted keys; lists as JSON."""
    if isinstance(value, Mapping):
        inner = [flat(one, f"{prefix}.{name}" if prefix else str(name)) for name, one in value.items()]
        return {name: one for part in inner for name, one in part.items()}
    return {prefix: json.dumps(value) if isinstance(value, (list, tuple)) else value}


def _plain(value: Any) -> Any:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
