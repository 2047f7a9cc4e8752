"""Runs as event files for TensorBoard: a folder a cell, a fit; one file in each, which later runs append to."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from w2s_ray.engine.fingerprint import slugify
from w2s_ray.trackers.contract import Run, Sink, Spot, Tracker

FILE = "events.out.tfevents.0.w2s"  # the same name each time: TensorBoard knows such a file by its second word
FRAME = 16  # bytes around each record
FOLDERS = {"study": "study", "cell": "cells", "fit": "fits", "trial": "trials"}
SCALARS = "scalars"


class TensorBoard(Tracker):
    """Event files for TensorBoard; `tensorboard --logdir runs/NAME/tensorboard` shows them."""

    type: Literal["tensorboard"] = "tensorboard"
    folder: str = Field("", description="default: runs/NAME/tensorboard")

    remedy = "check `folder`"

    def sink(self, spot: Spot) -> Sink:
        """Writes below the folder."""
        import tensorboard  # noqa: F401  (said now, if it is not installed)

        return _Events(Path(self.folder).expanduser() if self.folder else spot.folder / "tensorboard")


class _Events(Sink):
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, _File] = {}

    def put(self, run: Run) -> None:
        file = self._files.get(run.id) or self._files.setdefault(run.id, _File(self._of(run)))
        file.text("config", json.dumps(run.config, indent=1))
        for name, curve in run.curves.items():
            for step, value in curve:
                file.scalar(name, value, step)
        if run.over:
            self._end(file, run)
        file.flush()
        if run.over:
            self._files.pop(run.id).close()

    def _of(self, run: Run) -> Path:
        return self._folder / FOLDERS[run.kind] / f"{slugify(run.name)}-{run.id[:8]}"

    def _end(self, file: _File, run: Run) -> None:
        """The numbers as scalars, which have six digits here, and as a text, which has all of them."""
        for name, value in run.numbers.items():
            file.scalar(name, value, 0)
        told = {name: getattr(run, name) for name in ("status", "numbers", "links", "reason")}
        file.text("result", json.dumps(told, indent=1))
        for path in run.files:
            if path.suffix == ".md":
                file.text(path.stem, path.read_text(encoding="utf-8"), code=False)
        if run.kind in ("cell", "trial"):
            file.choices(run)

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()


class _File:
    """The event file of a run."""

    def __init__(self, folder: Path) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(parents=True, exist_ok=True)
        self._steps: dict[str, int] = {}  # tag -> the last step that is there
        self._texts: dict[str, bytes] = {}
        path = folder / FILE
        self._read(path)
        fresh = not path.is_file()
        self._out = RecordWriter(open(path, "ab"))  # noqa: SIM115  (until `close`)
        if fresh:
            self._write(file_version="brain.Event:2")

    def _read(self, path: Path) -> None:
        """What is there; half a record at the end, of a process that was killed, is cut off."""
        if not path.is_file():
            return
        from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
        from tensorboard.compat.proto.event_pb2 import Event

        end = 0
        for data in RawEventFileLoader(str(path)).Load():
            end += len(data) + FRAME
            for value in Event.FromString(data).summary.value:
                self._note(value, Event.FromString(data).step)
        os.truncate(path, end)
        if not end:
            path.unlink()

    def _note(self, value: Any, step: int) -> None:
        if value.metadata.plugin_data.plugin_name == SCALARS:
            self._steps[value.tag] = step
        else:
            self._texts[value.tag] = value.SerializeToString()

    def scalar(self, name: str, value: float, step: int) -> None:
        from tensorboard.plugins.scalar.summary_v2 import scalar_pb

        if step > self._steps.get(name, -1):
            self._add(scalar_pb(name, value), step)

    def text(self, name: str, text: str, *, code: bool = True) -> None:
        """A text is shown as Markdown; JSON is a block of code in it."""
        from tensorboard.plugins.text.summary_v2 import text_pb

        self._add(text_pb(name, f"```\n{text}\n```" if code else text))

    def choices(self, run: Run) -> None:
        """For the HPARAMS page."""
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb

        known = {name: value for name, value in run.config.items() if value is not None}
        self._add(hparams_pb(known, trial_id=run.id, start_time_secs=0))

    def _add(self, summary: Any, step: int = 0) -> None:
        (value,) = summary.value
        if self._texts.get(value.tag) != value.SerializeToString():
            self._write(summary=summary, step=step)
            self._note(value, step)

    def _write(self, **fields: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._out.write(Event(wall_time=time.time(), **fields).SerializeToString())

    def flush(self) -> None:
        self._out.flush()

    def close(self) -> None:
        self._out.close()
