"""Runs in Weights & Biases: the study is a group, cells and fits are its runs, told apart by their job type."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from w2s_ray.core.errors import ConfigError
from w2s_ray.trackers.contract import Run, Sink, Spot, Tracker

WHOLE = "w2s-whole.jsonl"  # beside W&B's own files: which runs are logged to their end
STEP = "step"
INIT_S = 30


class WandB(Tracker):
    """Weights & Biases, online or offline; `wandb sync` sends what was written offline."""

    type: Literal["wandb"] = "wandb"
    project: str = Field("w2s_ray", min_length=1)
    entity: str = Field("", description="user or team; default: that of the API key")
    mode: Literal["online", "offline"] = "online"
    folder: str = Field("", description="for W&B's own files; default: runs/NAME")

    remedy = "check WANDB_API_KEY and the network, or set mode: offline"
    variables = ("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_ENTITY")

    def sink(self, spot: Spot) -> Sink:
        """Opens runs as they come."""
        import wandb

        if self.mode == "offline" and not (spot.lasting or self.folder):
            raise ConfigError("offline it keeps what it writes, and --runs is a URL; set `folder` of this tracker")
        folder = Path(self.folder).expanduser() if self.folder else spot.folder
        settings = {"project": self.project, "entity": self.entity or None, "mode": self.mode, "group": spot.study}
        return _Group(wandb, folder, {**settings, "dir": str(folder), "resume": "allow"}, spot.digest)


class _Group(Sink):
    def __init__(self, wandb: Any, folder: Path, settings: dict[str, Any], digest: str) -> None:
        self._wandb, self._folder, self._settings, self._digest = wandb, folder / "wandb", settings, digest
        self._folder.mkdir(parents=True, exist_ok=True)
        self._open: dict[str, _Open] = {}
        self._where = f"{settings['mode']} {settings['entity']}/{settings['project']}"
        self._whole = self._read()

    def _read(self) -> dict[str, str]:
        """Those that are logged to their end at the same place, and what they said; half a line at the end, of a
        process that was killed, is cut off."""
        path = self._folder / WHOLE
        whole = path.read_bytes() if path.is_file() else b""
        end = whole.rfind(b"\n") + 1
        if end < len(whole):
            os.truncate(path, end)
        found = [noted for line in whole[:end].decode(errors="replace").splitlines() if (noted := _noted(line))]
        return {run: digest for where, run, digest in found if where == self._where}

    def put(self, run: Run) -> None:
        if run.id in self._whole and (not run.over or self._whole[run.id] == run.digest):
            return
        opened = self._open.get(run.id) or self._open.setdefault(run.id, self._begun(run))
        opened.log(run)
        if not run.over:
            return
        for path in run.files:
            opened.run.log_artifact(str(path), name=f"{run.id}-{path.stem}", type="report")
        self._open.pop(run.id).run.finish(exit_code=int(run.status == "failed"))
        self._whole[run.id] = run.digest
        with open(self._folder / WHOLE, "a", encoding="utf-8") as file:
            file.write(f"{json.dumps([self._where, run.id, run.digest])}\n")

    def _begun(self, run: Run) -> _Open:
        """Offline nothing can be continued: what was not logged to its end is logged anew in its place."""
        if self._settings["mode"] == "offline":
            for old in self._folder.glob(f"offline-run-*-{run.id}"):
                shutil.rmtree(old)
        quiet = self._wandb.Settings(
            console="off", silent=True, init_timeout=INIT_S, disable_git=True, save_code=False, x_disable_stats=True,
            x_disable_meta=True,
        )  # fmt: skip
        began = self._wandb.init(
            id=run.id, name=run.name, job_type=run.kind, config={"study_digest": self._digest}, reinit="create_new",
            settings=quiet, **self._settings,
        )  # fmt: skip
        began.define_metric("*", step_metric=STEP)
        return _Open(began)

    def close(self) -> None:
        for opened in self._open.values():
            opened.run.finish(exit_code=1)
        self._open.clear()


def _noted(line: str) -> tuple[str, str, str] | None:
    """Where a run is, its id and what it said; None of a line that was torn, whose run is logged again."""
    try:
        where, run, digest = json.loads(line)
    except (ValueError, TypeError, RecursionError):
        return None
    return (where, run, digest) if all(isinstance(part, str) for part in (where, run, digest)) else None


class _Open:
    """A run of W&B's."""

    def __init__(self, run: Any) -> None:
        self.run = run
        self._steps: dict[str, int] = {}  # name of a curve -> the last step that is there

    def log(self, run: Run) -> None:
        """The points that are not there yet, and of a run that has ended its numbers."""
        self.run.config.update({**run.config, "keys": dict(run.links)}, allow_val_change=True)
        rows: dict[int, dict[str, float]] = {}
        for name, curve in run.curves.items():
            last = self._steps.setdefault(name, self._last(name))
            for step, value in curve:
                if step > last:
                    rows.setdefault(step, {})[name] = value
                    self._steps[name] = step
        for step in sorted(rows):
            self.run.log({STEP: step, **rows[step]})
        self.run.summary.update(_summary(run))

    def _last(self, name: str) -> int:
        """The step up to which an earlier session logged, as the server has it."""
        last = self.run.summary.get(STEP)
        return int(last) if self.run.summary.get(name) is not None and isinstance(last, (int, float)) else -1


def _summary(run: Run) -> Mapping[str, Any]:
    if not run.over:
        return {}
    return {**run.numbers, **({"reason": run.reason} if run.reason else {})}
