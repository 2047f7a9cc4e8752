"""`w2s pin`, and what every command does that reads a study: give its names of the hub a commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from w2s_ray.cli.say import say
from w2s_ray.config.load import Study, load_study
from w2s_ray.core.errors import ConfigError, InputError
from w2s_ray.core.plugins import closest
from w2s_ray.data.commits import Commit, What
from w2s_ray.reports.console import teller
from w2s_ray.study.pins import Lock, Pin, pins_of, with_commit, with_pins


def load_pinned(
    file: Path, sets: Sequence[str], resources: Mapping[str, Any] | None, err: Console, *, keep: bool = True
) -> Study:
    """A study whose models and rows of the hub all have a commit. What is not in its lock is asked for and said; with
    `keep`, it is written there."""
    return with_pins(load_study(file, sets, resources), teller(err), keep=keep)


def name_pinned(what: What, name: str, err: Console) -> str:
    """The name of a source of rows or of a model with a commit, if it is one of the hub without."""
    pin = Pin.of(what, name)
    if pin is None:
        return name
    found = pin.commit()
    say(err, f"hub:{pin} is {found.digest}, {found.told_by}")
    return with_commit(what, name, found.digest)


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
        _write(lock)
    if not pins:
        say(out, f"{file} names nothing of the hub without a commit")


def _write(lock: Lock) -> None:
    try:
        lock.write()
    except OSError as error:
        raise InputError(
            f"{lock.path} cannot be written ({error.strerror}), so nothing keeps these commits; write them after an @"
            " into the study, or copy it to a folder that you may write to"
        ) from None


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
