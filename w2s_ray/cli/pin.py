"""`w2s pin`, and what every command does that reads a study: give its names of the hub a commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from w2s_ray.cli.say import say
from w2s_ray.config.load import Study, load_study
from w2s_ray.core.errors import ConfigError
from w2s_ray.core.plugins import closest
from w2s_ray.data.commits import Commit
from w2s_ray.study.pins import Lock, Pin, pinned, pins_of, with_commit


def load_pinned(
    file: Path, sets: Sequence[str], resources: Mapping[str, Any] | None, err: Console, *, keep: bool = True
) -> Study:
    """A study whose models and rows of the hub all have a commit. What is not in its lock is asked for and said; with
    `keep`, it is written there."""
    study = load_study(file, sets, resources)
    pins = pins_of(study)
    if not pins:
        return study
    lock = Lock.beside(file)
    commits = {pin: commit for pin in pins if (commit := lock.get(pin)) is not None}
    new = [pin for pin in pins if pin not in commits]
    for pin in new:
        found = pin.commit()
        commits[pin] = found.digest
        say(err, f"hub:{pin} is {found.digest}, {found.told_by}; {_kept_in(lock, keep)}")
    if new and keep:
        lock.pins |= {pin: commits[pin] for pin in new}
        _write(lock, err)
    return pinned(study, commits)


def name_pinned(name: str, err: Console) -> str:
    """The name of a source of rows with a commit, if it is one of the hub without."""
    pin = Pin.of("dataset", name)
    if pin is None:
        return name
    found = pin.commit()
    say(err, f"hub:{pin} is {found.digest}, {found.told_by}")
    return with_commit("dataset", name, found.digest)


def _kept_in(lock: Lock, keep: bool) -> str:
    name = lock.path.name
    return f"{name} keeps it" if keep else f"not kept: `w2s pin` or `w2s run` writes {name}"


def _write(lock: Lock, err: Console) -> None:
    try:
        lock.write()
    except OSError as error:
        say(
            err,
            f"warning {lock.path} cannot be written ({error.strerror}), so the next run may mean other commits; write"
            " these after an @ into the study",
        )


def pin_study(file: Path, names: Sequence[str], out: Console, *, update: bool) -> None:
    """Make the lock of a study, or ask anew for all its names or for some; says what moved."""
    pins, lock = pins_of(load_study(file)), Lock.beside(file)
    asked = _asked_for(names, pins) or (pins if update else [pin for pin in pins if lock.get(pin) is None])
    before = {pin: lock.get(pin) for pin in pins}
    told = {pin: pin.commit() for pin in asked}
    lock.pins |= {pin: found.digest for pin, found in told.items()}
    dropped = [pin for pin in lock.pins if pin not in pins] if update else []
    for pin in dropped:
        del lock.pins[pin]
    for pin in pins:
        say(out, f"hub:{pin}  {_moved(before[pin], lock.get(pin), told.get(pin))}")
    for pin in dropped:
        say(out, f"hub:{pin}  dropped: the study does not name it")
    if asked or dropped:
        lock.write()
    if not pins:
        say(out, f"{file} names nothing of the hub without a commit")


def _moved(before: str | None, now: str | None, told: Commit | None) -> str:
    what = "the same" if before == now else "new" if before is None else "moved"
    return f"{f'{before} -> ' * (what == 'moved')}{now}{f' ({what}, {told.told_by})' if told else ''}"


def _asked_for(names: Sequence[str], pins: Sequence[Pin]) -> list[Pin]:
    """The pins that these names mean, each as the study has it, or without `hub:`."""
    found = []
    for name in names:
        meant = [pin for pin in pins if name.removeprefix("hub:") in (str(pin), pin.repo)]
        if not meant:
            there = ", ".join(map(str, pins)) or "none"
            raise ConfigError(
                f"{name!r} is no name of the hub without a commit in the study{closest(name, map(str, pins))}; there"
                f" are: {there}"
            )
        found += meant
    return found
