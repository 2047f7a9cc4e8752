"""What is in a tracker, read with its own library."""

from __future__ import annotations

import json
import struct
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Read = dict[str, dict[str, list[tuple[int, float]]]]  # run id -> metric -> (step, value), each time that it was logged


def of_jsonl(path: Path) -> Read:
    found: Read = defaultdict(lambda: defaultdict(list))
    for event in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
        if event["event"] == "point":
            found[event["run"]][event["name"]].append((event["step"], event["value"]))
        if event["event"] == "end":
            for name, value in event["numbers"].items():
                found[event["run"]][name].append((0, value))
    return found


def of_tensorboard(folder: Path) -> Read:
    """With TensorBoard's own reader. The first eight digits of a run's id end the name of its folder."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.util.tensor_util import make_ndarray

    found: Read = defaultdict(lambda: defaultdict(list))
    for path in folder.rglob("*tfevents*"):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name in ("scalars", "") and value.tensor.dtype == 1:
                    point = (event.step, float(make_ndarray(value.tensor)))
                    found[path.parent.name.rpartition("-")[2]][value.tag].append(point)
    return found


def of_mlflow(uri: str, experiment: str) -> Read:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    found: Read = defaultdict(lambda: defaultdict(list))
    for run in client.search_runs([client.get_experiment_by_name(experiment).experiment_id]):
        for name in run.data.metrics:
            history = client.get_metric_history(run.info.run_id, name)
            found[run.data.tags["w2s.run"]][name] += [(point.step, point.value) for point in history]
    return found


def of_wandb(folder: Path) -> Read:
    """From the files that `wandb sync` reads: a log in LevelDB's format of W&B's own messages. The summary stands for
    the numbers of the end."""
    from wandb.proto.wandb_internal_pb2 import Record

    found: Read = defaultdict(lambda: defaultdict(list))
    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        summary: dict[str, Any] = {}
        for data in _records(path.read_bytes()):
            record = Record.FromString(data)
            row = {item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}
            values = {name: json.loads(value) for name, value in row.items() if not name.startswith("_")}
            for name, value in values.items():
                if name != "step":
                    found[_id(path)][name].append((values["step"], value))
            summary |= {item.key: json.loads(item.value_json) for item in record.summary.update}
        for name, value in summary.items():
            if name not in {*found[_id(path)], "step", ""} and name[0] != "_" and isinstance(value, (int, float)):
                found[_id(path)][name].append((0, value))
    return found


def _id(path: Path) -> str:
    return path.stem.removeprefix("run-")


def _records(data: bytes) -> Iterator[bytes]:
    """Blocks of 32 KiB hold chunks of (checksum, length, kind): whole, first, middle, last. A header of 7 bytes is
    before them."""
    at, part = 7, b""
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        part += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield part
            part = b""
