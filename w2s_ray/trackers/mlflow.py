"""Runs in MLflow: the study is an experiment, cells are its runs, fits are nested in them."""

from __future__ import annotations

import json
import re
import time
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from w2s_ray.core.secrets import revealed
from w2s_ray.trackers.contract import Run, Scalar, Sink, Spot, Tracker

ID, DIGEST, KIND, REASON, LINK = "w2s.run", "w2s.study_digest", "w2s.kind", "w2s.reason", "w2s.key."
PARENT, NAME = "mlflow.parentRunId", "mlflow.runName"
STATUS = {"running": "RUNNING", "done": "FINISHED", "failed": "FAILED"}
LONGEST = 500  # letters of a value that every version and store takes
AT_ONCE = {"metrics": 1000, "params": 100, "tags": 100}  # of one request


class MLflow(Tracker):
    """MLflow: its SQLite file, or a server."""

    type: Literal["mlflow"] = "mlflow"
    uri: str = Field("", description="sqlite:///FILE, http://… or $NAME; default: MLFLOW_TRACKING_URI, or ./mlflow.db")
    experiment: str = Field("", description="default: the study's name")

    remedy = "check `uri` (or MLFLOW_TRACKING_URI), and that it answers"
    variables = ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")

    @field_validator("uri")
    @classmethod
    def _without_password(cls, uri: str) -> str:
        if "@" in urlsplit(uri).netloc:
            raise ValueError("it holds a password; write $NAME, of a variable that holds the address")
        return uri

    def sink(self, spot: Spot) -> Sink:
        """Finds or makes the experiment."""
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=revealed(self.uri, spot.environ) if self.uri else None)
        return _Experiment(client, self.experiment or spot.study, spot.digest)


class _Experiment(Sink):
    def __init__(self, client: Any, name: str, digest: str) -> None:
        self._client, self._digest = client, digest
        found = client.get_experiment_by_name(name)
        self._id = client.create_experiment(name) if found is None else found.experiment_id
        self._runs: dict[str, Any] = {}  # our id -> what is there
        self._steps: dict[tuple[str, str], int] = {}
        self._open: set[str] = set()

    def put(self, run: Run) -> None:
        there, status = self._of(run), STATUS[run.status]
        run_id, before = there.info.run_id, there.info.status
        if not run.over and before == STATUS["done"]:
            return
        changed = self._log(there, run)
        for path in run.files:
            self._client.log_artifact(run_id, str(path))
        if run.over and before != status:
            self._client.set_terminated(run_id, status)
        elif before != status:
            self._client.update_run(run_id, status=status)
        (self._open.discard if run.over else self._open.add)(run_id)
        if changed or before != status:
            self._runs[run.id] = self._client.get_run(run_id)

    def _of(self, run: Run) -> Any:
        """What is there of a run; it is made if nothing is."""
        if run.id not in self._runs:
            found = self._client.search_runs([self._id], f"tags.`{ID}` = '{run.id}'", max_results=1)
            self._runs[run.id] = found[0] if found else self._made(run)
        return self._runs[run.id]

    def _made(self, run: Run) -> Any:
        tags = {ID: run.id, DIGEST: self._digest, KIND: run.kind, NAME: run.name[:LONGEST]}
        return self._client.create_run(self._id, tags=tags)

    def _log(self, there: Any, run: Run) -> bool:
        """What differs from what is there, in as few requests as may be; whether there is more of it than points."""
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        points = [
            (name, value, step)
            for name, curve in ((_name(key), curve) for key, curve in run.curves.items())
            for step, value in self._new(there, name, curve)
        ]
        numbers = {_name(key): value for key, value in run.numbers.items()}
        points += [(name, value, 0) for name, value in numbers.items() if there.data.metrics.get(name) != value]
        params = {_name(key): _value(value) for key, value in run.config.items()}
        tags = {f"{LINK}{role}": key for role, key in run.links.items()} | {REASON: run.reason[:LONGEST]}
        tags |= {PARENT: self._runs[run.parent].info.run_id} if run.parent in self._runs else {}
        sent: dict[str, list[Any]] = {
            "metrics": [Metric(name, value, now, step) for name, value, step in points],
            "params": [Param(key, text) for key, text in params.items() if key not in there.data.params],
            "tags": [RunTag(key, text) for key, text in tags.items() if there.data.tags.get(key, "") != text],
        }
        for name, many in sent.items():
            for start in range(0, len(many), AT_ONCE[name]):
                self._client.log_batch(there.info.run_id, **{name: many[start : start + AT_ONCE[name]]})
        for name, _, step in points:
            self._steps[there.info.run_id, name] = step
        return bool(run.numbers or sent["params"] or sent["tags"])

    def _new(self, there: Any, name: str, curve: Any) -> list[tuple[int, float]]:
        """Points of a curve after the last one that is there."""
        at = (there.info.run_id, name)
        if at not in self._steps:
            known = self._client.get_metric_history(*at) if name in there.data.metrics else []
            self._steps[at] = max((point.step for point in known), default=-1)
        return [(step, value) for step, value in curve if step > self._steps[at]]

    def close(self) -> None:
        """What was begun and has not ended, has not ended well so far."""
        for run_id in self._open:
            self._client.set_terminated(run_id, "KILLED")


def _name(key: str) -> str:
    """Of letters that a name may have there."""
    return re.sub(r"[^\w\-./ ]", "_", key)[:250]


def _value(value: Scalar) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
