"""`w2s run --detach`: a study in a process of its own, which the terminal does not take with it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from w2s_ray.cli.following import SHOWN, again, at_work, tell
from w2s_ray.cli.pin import load_pinned
from w2s_ray.cli.say import say
from w2s_ray.config.place import Place
from w2s_ray.core.errors import InputError
from w2s_ray.engine.folders import is_url, written
from w2s_ray.engine.lease import heartbeats
from w2s_ray.engine.store import Store, cache_folder, open_store
from w2s_ray.reports.console import warner
from w2s_ray.reports.ending import Kept, folder_of
from w2s_ray.study.conduct import check_study

LOG = "run.log"
BEGIN_S = 60.0  # for the process to say its first word
LOOK_S = 0.1
LAST = 20  # lines of a log


def detach_study(file: Path, sets: Sequence[str], place: Place, as_json: bool, out: Console, err: Console) -> int:
    """Check a study, start it, and return as soon as it can be followed; its exit code where it has ended by then."""
    if as_json:
        raise InputError("--detach with --json: its objects are for who follows it; use `w2s attach NAME --json`")
    study = load_pinned(file, sets, place.resources, err)  # what the process is to mean, its lock says
    name, store = study.config.name, open_store(place.store)
    with written(place.runs, name) as folder:
        check_study(study, folder, warner(err))
    _refuse_twice(store, name)
    log = cache_folder() / "logs" / f"{name}.log" if is_url(place.runs) else Path(folder_of(place.runs, name), LOG)
    started = time.time()
    process = _start(log)
    ended = _await_first_word(process, store)
    if ended is not None:
        _tell_ended(store, name, started, log, out, err)
        say(out, f"{name} has ended with exit code {ended}; its log: {log}")
        return ended
    say(out, f"{name} runs, process {process.pid}. {again(name, place.store)}   log: {log}")
    return 0


def _refuse_twice(store: Store, name: str) -> None:
    for holder in at_work(store, name):
        who = f"driver {holder.driver[:SHOWN]}, process {holder.pid}"
        raise InputError(f"{name} runs already ({who}); watch it: `w2s attach {name}`, or end it: `w2s stop {name}`")


def _start(log: Path) -> subprocess.Popen[bytes]:
    """The same command without --detach, in a session of its own, so that no terminal's signals reach it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    # Modules beside the user are found by it as they are by this process, and not otherwise.
    safe = () if {"", str(Path.cwd())} & set(sys.path) else ("-P",)
    command = [sys.executable, *safe, "-m", "w2s_ray", *(word for word in sys.argv[1:] if word != "--detach")]
    with open(log, "ab") as file:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip


def _await_first_word(process: subprocess.Popen[bytes], store: Store) -> int | None:
    """Wait for its heartbeat, by which others find it; its exit code if it ends before."""
    until = time.monotonic() + BEGIN_S
    while process.poll() is None and time.monotonic() < until:
        if any(beat.holder.here() and beat.holder.pid == process.pid for beat in heartbeats(store)):
            return None
        time.sleep(LOOK_S)
    return process.poll()


def _tell_ended(store: Store, name: str, started: float, log: Path, out: Console, err: Console) -> None:
    """What it said, where it has ended before anybody could follow it."""
    kept = Kept.of(store, name)
    if kept is not None and kept.end.at >= started:
        tell(kept, out, err)
        return
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST:]:
        say(err, line)
