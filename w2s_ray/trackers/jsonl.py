"""Runs as JSON lines, an object an event: for scripts, and for trackers that are not here.

{"event": "run", "run": ID, "kind": "fit", "name": …, "config": {…}}
{"event": "point", "run": ID, "name": "loss", "step": 10, "value": 0.41}
{"event": "end", "run": ID, "status": "done", "numbers": {…}, "links": {…}, "reason": ""}
{"event": "nested", "run": ID, "in": ID}
{"event": "file", "run": ID, "name": "report.md", "sha256": …}
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from w2s_ray.engine.store import sha256_of
from w2s_ray.trackers.contract import Run, Sink, Spot, Tracker


class Jsonl(Tracker):
    """A file of JSON lines, with an object an event; needs no package."""

    type: Literal["jsonl"] = "jsonl"
    path: str = Field("", description="the file; default: runs/NAME/track.jsonl")

    remedy = "check `path`"

    def sink(self, spot: Spot) -> Sink:
        """Appends to the file."""
        return _Lines(Path(self.path).expanduser() if self.path else spot.folder / "track.jsonl")


class _Lines(Sink):
    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._there: set[str] = set()
        self._steps: dict[tuple[str, str], int] = {}  # run, name of a curve -> the last step that is there
        self._read(path)
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115  (until `close`)

    def _read(self, path: Path) -> None:
        """What is there; half a line at the end, of a process that was killed, is cut off."""
        whole = path.read_bytes() if path.is_file() else b""
        end = whole.rfind(b"\n") + 1
        if end < len(whole):
            os.truncate(path, end)
        for line in whole[:end].decode(errors="replace").splitlines():
            self._note(line)

    def _note(self, line: str) -> None:
        try:
            event = json.loads(line)
            if event["event"] == "point":
                self._steps[event["run"], event["name"]] = int(event["step"])
            else:
                self._there.add(line)
        except (ValueError, TypeError, KeyError, RecursionError):
            return  # another program's line

    def put(self, run: Run) -> None:
        self._write({"event": "run", "run": run.id, "kind": run.kind, "name": run.name, "config": dict(run.config)})
        for name, curve in run.curves.items():
            for step, value in curve:
                if step > self._steps.get((run.id, name), -1):
                    self._write({"event": "point", "run": run.id, "name": name, "step": step, "value": value})
        if run.over:
            ended = {name: getattr(run, name) for name in ("status", "numbers", "links", "reason")}
            self._write({"event": "end", "run": run.id, **ended})
        if run.parent:
            self._write({"event": "nested", "run": run.id, "in": run.parent})
        for path in run.files:
            self._write({"event": "file", "run": run.id, "name": path.name, "sha256": sha256_of(path)})
        self._file.flush()

    def _write(self, event: dict[str, Any]) -> None:
        line = json.dumps(event)
        if line not in self._there:
            self._file.write(f"{line}\n")
            self._note(line)

    def close(self) -> None:
        self._file.close()
