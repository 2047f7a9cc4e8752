"""The process of one tracker, in which its library may hang, write to the terminal and fail as it likes.

It reads messages, a line of JSON each, from its standard input: first what it is about, then what happens. Curves it
reads from the store. To its standard output go `{"trouble": …}` and, when all is written, `{"done": true}`.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

from w2s_ray.core.plugins import build
from w2s_ray.core.secrets import redacted, variable_of
from w2s_ray.engine.events import numbers_of, parse_progress
from w2s_ray.engine.fingerprint import Key, digest
from w2s_ray.engine.progress import curve_of, progress_name
from w2s_ray.engine.store import Store, open_store
from w2s_ray.trackers.contract import Curve, Kind, Run, Scalar, Sink, Spot, Status, Tracker, flat

AGAIN_S = 20.0  # after a failure nothing is tried for so long, for each attempt may take its time
LEFT_S = 20  # to close, for one whose driver is gone
LETTERS = 160  # of what a library says of trouble
GIVES_WAY = 5  # to the study, where they share a machine
LOG = "log.jsonl"  # of a fit, beside its record
NAMES = ("method", "task", "weak", "strong", "seed")
ARMS = ("floor", "student", "ceiling", "pgr", "num_test")
UNTOLD = ("workers", "micro_tokens", "zero", "activation_checkpointing", "offload")  # where it ran, not how it went
QUIET = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "WANDB_ERROR_REPORTING": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}

Message = Mapping[str, Any]


def main() -> None:
    """Until the input ends, or says so."""
    os.nice(GIVES_WAY)
    threading.Thread(target=_end_with, args=[os.getppid()], daemon=True).start()
    out = _own_output()
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    teller = Teller.of(json.loads(next(sys.stdin.buffer)), out)
    for line in sys.stdin.buffer:
        if teller.hear(json.loads(line)):
            return
    teller.leave()


def _end_with(driver: int) -> None:
    """A library that hangs does not outlive its driver for long, nor does what it has started."""
    while os.getppid() == driver:
        time.sleep(1.0)
    time.sleep(LEFT_S)
    os.killpg(0, signal.SIGKILL)


def _own_output() -> TextIO:
    """The pipe to the driver; what libraries print goes nowhere."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    return out


@dataclass
class Teller:
    """Makes runs of messages, and shows them to the sink."""

    tracker: Tracker
    spot: Spot
    store: Store
    configs: Mapping[str, Mapping[str, Scalar]]  # of cells, by their ids
    out: TextIO
    _sink: Sink | None = None
    _again: float = 0.0  # when the next attempt is made
    _fits: dict[str, Run] = field(default_factory=dict)  # that are written to their end, by their keys

    @staticmethod
    def of(hello: Message, out: TextIO) -> Teller:
        """What the first message is about."""
        spot = Spot(hello["study"], hello["digest"], Path(hello["folder"]), hello["lasting"], os.environ)
        tracker = build("w2s_ray.trackers", hello["tracker"])
        teller = Teller(tracker, spot, open_store(hello["store"]), {}, out)
        teller.configs = {teller.id("cell", cell["names"]): cell["config"] for cell in hello["cells"]}
        return teller

    def id(self, kind: Kind, name: Any) -> str:
        """Of a run: the same whenever the study is run."""
        return digest([self.spot.study, self.spot.digest, kind, name])[:32]

    def hear(self, message: Message) -> bool:
        """Whether it was the last one."""
        last = message["what"] in ("end", "searched", "leave")
        if last or message["what"] == "say" or time.monotonic() >= self._again:
            self._try(message)
        if last:
            self._answer({"done": True})
        return last

    def _try(self, message: Message) -> None:
        hearing = {
            "say": self._say, "cell": self._cell, "fit": self._fit, "trial": self._trial, "end": self._end,
            "searched": self._searched,
        }  # fmt: skip
        try:
            if message["what"] == "leave":
                self.leave()
            else:
                self._sink = self._sink or self.tracker.sink(self.spot)
                hearing[message["what"]](self._sink, message)
        except Exception as error:  # noqa: BLE001  (each library has errors of its own, and none may matter)
            self._again = time.monotonic() + AGAIN_S
            self._answer({"trouble": self._in_a_line(error)})

    def _say(self, sink: Sink, message: Message) -> None:
        sink.say(message["text"])

    def _cell(self, sink: Sink, message: Message) -> None:
        """That it has begun; its numbers come with the results."""
        if message["status"] == "running":
            sink.put(self._cell_run(message["names"], status="running"))

    def _cell_run(self, names: Mapping[str, Any], **known: Any) -> Run:
        name = "{method}, {task}, {weak} -> {strong}, seed {seed}".format(**names)
        run = self.id("cell", dict(names))
        return Run(run, "cell", name, config=self.configs.get(run, dict(names)), **known)

    def _fit(self, sink: Sink, message: Message) -> None:
        if message["key"] not in self._fits:
            run = self._fit_run(Key.parse(message["key"]), message)
            sink.put(run)
            if run.status == "done":
                self._fits[message["key"]] = run

    def _fit_run(self, key: Key, message: Message) -> Run:
        status, config = message["status"], flat(message["params"])
        known = made(self.store, key) if status == "done" else {"curves": under_way(self.store, key)}
        if status == "failed":
            known["reason"] = message["reason"]
        return Run(self.id("fit", key.full), "fit", str(key), status, config, {"fit": str(key)}, **known)

    def _trial(self, sink: Sink, message: Message) -> None:
        sink.put(Run(self.id("trial", message["name"]), "trial", message["name"], **message["run"]))

    def _searched(self, sink: Sink, message: Message) -> None:
        for name, run in message["trials"].items():
            self._trial(sink, {"name": name, "run": run})
        files = [Path(file) for file in message["files"]]
        sink.put(Run(self.id("study", ""), "study", f"{self.spot.study}, the search", "done", files=files))
        sink.close()

    def _end(self, sink: Sink, message: Message) -> None:
        """All of it once more; the sink writes what is missing."""
        results = message["results"]
        for cell in results["cells"]:
            sink.put(self._ended(cell))
        for key, fit in message["fits"].items():
            run = self._fits.get(key) or self._fit_run(Key.parse(key), {"status": "done", "params": fit["params"]})
            sink.put(replace(run, parent=self.id("cell", fit["cell"]) if fit["cell"] else ""))
        sink.put(self._study(results, message["files"]))
        sink.close()

    def _ended(self, cell: Mapping[str, Any]) -> Run:
        names = {name: cell[name] for name in NAMES}
        status: Status = "failed" if cell["status"] == "failed" else "done"
        links = {role: str(key) for role, key in cell["keys"].items()}
        return self._cell_run(names, status=status, numbers=numbers(cell), links=links, reason=cell.get("reason", ""))

    def _study(self, results: Mapping[str, Any], files: Sequence[str]) -> Run:
        status: Status = "failed" if results["failures"] else "done"
        said = {name: results[name] for name in ("name", "hypothesis", "config_digest", "metric", "gap_se")}
        shown = numbers_of_rows(results["summary"])
        return Run(
            self.id("study", ""), "study", f"{results['name']}, the study", status, said, numbers=shown,
            files=[Path(file) for file in files],
        )  # fmt: skip

    def _in_a_line(self, error: Exception) -> str:
        """Without secrets: those of the tracker, and of the environment."""
        if isinstance(error, ImportError):
            return f"{error.name or error} is not installed; pip install 'w2s_ray[trackers]'"
        told = [value for value in self.tracker.told().values() if isinstance(value, str)]
        secret = [os.environ.get(variable_of(text) or "", "") for text in told] + self.tracker.secrets()
        said = " ".join(str(error).split()) or type(error).__name__
        said = redacted(said, {**os.environ, **{f"SECRET {n}": text for n, text in enumerate(secret)}})
        return f"{said if len(said) <= LETTERS else f'{said[:LETTERS]}…'}; {self.tracker.remedy}"

    def _answer(self, said: Message) -> None:
        self.out.write(f"{json.dumps(said)}\n")
        self.out.flush()

    def leave(self) -> None:
        """What was begun may be continued."""
        if self._sink is not None:
            self._sink.close()


def under_way(store: Store, key: Key) -> dict[str, Curve]:
    """The curves of a fit so far."""
    return curves(curve_of(store.read(progress_name(key)) or b""))


def made(store: Store, key: Key) -> dict[str, Any]:
    """What the store knows of a finished fit: its curves, also on the rows that it was checked on, and its numbers."""
    record = store.record(key)
    if record is None:
        return {}
    lines = (store.read(f"{key.path}/{record.attempt}/{LOG}") or b"").splitlines()
    facts = record.value.get("facts", {})
    checks = {"check": tuple((int(one["step"]), float(one["score"])) for one in facts.get("evaluations", ()))}
    known = {name: value for name, value in numbers_of(facts).items() if name not in UNTOLD}
    return {
        "curves": curves(map(parse_progress, lines)) | {name: curve for name, curve in checks.items() if curve},
        "numbers": {"seconds": record.seconds, **known},
    }


def curves(points: Iterable[Mapping[str, float]]) -> dict[str, Curve]:
    """name -> (step, value), of points that hold a step and values by their names."""
    found: dict[str, list[tuple[int, float]]] = {}
    for point in points:
        for name, value in point.items():
            if name != "step" and "step" in point and math.isfinite(value) and math.isfinite(point["step"]):
                found.setdefault(name, []).append((int(point["step"]), value))
    return dict(found)


def numbers(cell: Mapping[str, Any]) -> dict[str, float]:
    """Of a cell of results.json: what stands in its table, and each metric of each arm."""
    known = {name: cell[name] for name in ARMS if cell.get(name) is not None}
    each = {f"{arm}/{name}": value for arm, found in cell.get("metrics", {}).items() for name, value in found.items()}
    return {**known, **{name: value for name, value in each.items() if type(value) in (int, float)}}


def numbers_of_rows(summary: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Of the summary: gap recovered and student of each row."""
    found: dict[str, float] = {}
    for row in summary:
        name = "{method} {task} {weak} {strong}".format(**row)
        values = {"pgr": row["pgr"]["median"], "student": row["student"]["mean"]}
        found |= {f"{name}/{what}": value for what, value in values.items() if value is not None}
    return found


if __name__ == "__main__":
    main()
