"""One call run by several processes together: a Ray Train run whose workers all execute it, of which the first one publishes.

Ray Train places the workers, makes their process group, and starts all again when one is lost; the fit's own checkpoint, in the step's work directory, is
where they go on. Ray's checkpoints and reports are not used, so nothing of a result depends on them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ray.train
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2.api.exceptions import TrainingFailedError

from w2s_ray.core import errors
from w2s_ray.core.errors import StepFailed, W2SError
from w2s_ray.engine.execute import execute, new_attempt
from w2s_ray.engine.step import Call
from w2s_ray.engine.store import WorkPlace, cache_folder, open_store
from w2s_ray.runtime.output import captured

HANG_S = 600  # a collective that takes longer is a hang: the process group aborts, and the workers start again
GB = 2.0**30


def run_gang(call: Call) -> None:
    """Run the call to its record, or raise what ended it. Blocks; not in the thread that owns Ray."""
    resources = call.resources
    launch = new_attempt()
    per_worker = {"CPU": resources.cpus, "GPU": resources.gpus, "memory": resources.memory_gb * GB}
    trainer = TorchTrainer(
        work_in_gang,
        train_loop_config={"call": call, "launch": launch},
        torch_config=TorchConfig(backend="nccl" if resources.gpus else "gloo", timeout_s=HANG_S),
        scaling_config=ScalingConfig(
            num_workers=resources.workers, use_gpu=bool(resources.gpus), resources_per_worker={name: amount for name, amount in per_worker.items() if amount}
        ),
        run_config=RunConfig(
            name=f"{call.key.digest[:12]}-{launch}",  # a name that was used before resumes the old run
            storage_path=_storage(call),
            failure_config=FailureConfig(max_failures=resources.retries, max_preemption_failures=-1),  # type: ignore[call-arg]  # Ray's annotation is of the older class
        ),
    )
    try:
        trainer.fit()
    except TrainingFailedError as error:
        raise _mistake(call, launch) or StepFailed(call.step, str(call.key), f"{type(error).__name__}: {error}") from error
    mistake = _mistake(call, launch)
    if mistake is not None:
        raise mistake


def work_in_gang(config: dict[str, Any]) -> None:
    """In each worker. A mistake of the step's own is noted, so that the restart that Ray Train makes of it ends at once."""
    call, launch = config["call"], config["launch"]
    if _mistake(call, launch) is not None:
        return
    with captured() as tail:
        try:
            execute(call, tail, leads=ray.train.get_context().get_world_rank() == 0)
        except W2SError as error:
            _note_mistake(call, launch, error)
            raise


def _note_mistake(call: Call, launch: str, error: W2SError) -> None:
    place = WorkPlace(open_store(call.store), call.key)
    file = place.scratch / f"{new_attempt()}.part"
    file.write_text(json.dumps({"error": type(error).__name__, "args": [str(part) for part in error.args]}), encoding="utf-8")
    place.keep(f"mistake-{launch}.json", file)


def _mistake(call: Call, launch: str) -> W2SError | None:
    """What a worker of this launch raised, if one did."""
    path = WorkPlace(open_store(call.store), call.key).fetch(f"mistake-{launch}.json")
    if path is None:
        return None
    noted = json.loads(path.read_text(encoding="utf-8"))
    made: W2SError = getattr(errors, noted["error"])(*noted["args"])
    return made


def _storage(call: Call) -> str:
    """Where Ray Train keeps its notes: on the store's disk, which all nodes see; else on this machine."""
    store = open_store(call.store)
    folder = Path(store.root, "ray-train") if store.local else cache_folder() / "ray-train"
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder)
