"""Studies as jobs of a Ray cluster, through its jobs API: submit, find, follow, stop."""

from __future__ import annotations

import asyncio
import logging
import re
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.dashboard.modules.job.sdk import JobSubmissionClient
from ray.exceptions import RayError

from w2s_ray.core.errors import InputError, ResourceError
from w2s_ray.core.resources import GB
from w2s_ray.core.secrets import redacted
from w2s_ray.runtime.cluster import package

CHATTY = ("ray.dashboard.modules.job.sdk", "ray.dashboard.modules.dashboard_sdk", "ray._private.runtime_env.packaging")
ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
PREFIX = "w2s"
AGAIN_S = 2.0  # between attempts to follow a job whose connection broke
AWAY_S = 120.0  # how long the cluster's head may be away
STOP_S = 60.0
ATTEMPTS = 5  # at a name that somebody else may take
RAYS_OWN = re.compile(r"\S+\s+\S+\s+INFO job_manager\.py|Running entrypoint for job ")  # the first lines of a job's log


@dataclass(frozen=True)
class Job:
    """A submitted study."""

    id: str
    status: str
    exit_code: int | None
    message: str
    started: float  # by the cluster's clock; 0: not yet
    ended: float

    @property
    def over(self) -> bool:
        return self.status in ENDED


@dataclass(frozen=True)
class Sent:
    """What goes to a cluster."""

    command: Sequence[str]
    folder: Path
    variables: Mapping[str, str]
    driver: Mapping[str, Any]  # what the process of the command asks for
    own_code: bool = False  # whether the folder holds this package

    def asked(self) -> dict[str, Any]:
        """As Ray's client takes it."""
        env: dict[str, Any] = {"working_dir": str(self.folder), "env_vars": dict(self.variables)}
        return {
            "entrypoint": shlex.join(self.command),
            "runtime_env": env if self.own_code else env | {"py_modules": [package()]},
            "entrypoint_num_cpus": self.driver["cpus"] or None,
            "entrypoint_memory": int(self.driver["memory_gb"] * GB) or None,
            "entrypoint_resources": dict(self.driver["custom"]) or None,
        }


class Jobs:
    """The jobs of the cluster at an address such as http://HEAD:8265."""

    def __init__(self, address: str, environ: Mapping[str, str]) -> None:
        self.address, self._environ = address, environ
        if not address.startswith(("http://", "https://")):
            raise ResourceError(
                f"--address {address}: jobs are sent to the cluster's dashboard; give http://HEAD:8265 (`w2s run` takes"
                " the address of Ray itself)"
            )
        for chatty in CHATTY:
            logging.getLogger(chatty).setLevel(logging.ERROR)
        with self._asked():
            self._client = JobSubmissionClient(address)

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """An error of the connection as one line, without secrets."""
        try:
            yield
        except (ConnectionError, RuntimeError, ValueError, OSError, RayError) as error:
            said = redacted(" ".join(str(error).split()), self._environ)
            if re.search("401|403|authenticat", said, re.IGNORECASE):
                raise ResourceError(
                    f"--address {self.address}: the cluster refuses this machine's token; set RAY_AUTH_MODE=token, and"
                    " RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to the cluster's token"
                ) from None
            raise ResourceError(
                f"--address {self.address}: {said}; check that the head's dashboard is there (a tunnel: ssh -L"
                " 8265:localhost:8265 HEAD)"
            ) from None

    def all(self) -> list[Job]:
        """Every study that was submitted, the latest last."""
        with self._asked():
            found = self._client.list_jobs()
        jobs = [_job(one) for one in found if (one.submission_id or "").startswith(f"{PREFIX}-")]
        return sorted(jobs, key=lambda job: (job.started or float("inf"), job.id))

    def latest(self, name: str) -> Job:
        """The latest job of this id, of an id that begins so, or of this study."""
        fits = [job for job in self.all() if job.id == name or job.id.startswith((name, f"{PREFIX}-{name}-"))]
        if not fits:
            there = ", ".join(job.id for job in self.all()[-5:]) or "none"
            raise InputError(f"no job {name!r} at {self.address}; the latest there: {there}")
        return fits[-1]

    def submit(self, base: str, sent: Sent) -> tuple[Job, bool]:
        """The running job of this study, or a new one; whether it is new."""
        for _ in range(ATTEMPTS):
            mine = [job for job in self.all() if re.fullmatch(rf"{re.escape(base)}-\d+", job.id)]
            running = next((job for job in mine if not job.over), None)
            if running is not None:
                return running, False
            name = f"{base}-{1 + max((int(job.id.rpartition('-')[2]) for job in mine), default=0)}"
            try:
                with self._asked():
                    self._client.submit_job(submission_id=name, **sent.asked())
            except ResourceError as error:
                if "already exists" not in str(error):
                    raise
                continue  # somebody was faster: look again
            return self.info(name), True
        raise ResourceError(f"{base} is submitted by many at once; the same command attaches to the job that runs")

    def info(self, name: str) -> Job:
        with self._asked():
            return _job(self._client.get_job_info(name))

    def logs(self, name: str, seen: int = 0) -> list[str]:
        """The lines that a job has written, after the first `seen` characters."""
        with self._asked():
            text = self._client.get_job_logs(name)[seen:]
        return [redacted(line, self._environ) for line in text.splitlines() if not RAYS_OWN.match(line)]

    def follow(self, name: str, line: Callable[[str], None]) -> Job:
        """Pass every line of a job's log, until it has ended. A head that is away for a while is waited for."""
        seen, away = 0, 0.0
        while True:
            try:
                seen = asyncio.run(self._tail(name, seen, line))
                job, away = self.info(name), 0.0
                if job.over:
                    for one in self.logs(name, seen):  # written after the connection had ended
                        line(one)
                    return job
            except (ResourceError, RuntimeError, OSError, RayError) as error:
                away = away or time.monotonic()
                if time.monotonic() - away > AWAY_S:
                    raise ResourceError(
                        f"{self.address} does not answer for {AWAY_S:.0f} s ({' '.join(str(error).split())}); the job"
                        " may go on without us: the same command attaches to it"
                    ) from None
            time.sleep(AGAIN_S)

    async def _tail(self, name: str, seen: int, line: Callable[[str], None]) -> int:
        """Lines after the first `seen` characters, which were passed already; how many were passed now."""
        passed, text, skip = seen, "", seen
        async for part in self._client.tail_job_logs(name):
            fresh = part[skip:]
            skip = max(0, skip - len(part))
            *whole, text = (text + fresh).split("\n")
            for one in whole:
                passed += len(one) + 1
                if not RAYS_OWN.match(one):
                    line(redacted(one, self._environ))
        return passed

    def stop(self, name: str) -> Job:
        """End a job, as Ctrl-C would: what is finished is kept."""
        with self._asked():
            self._client.stop_job(name)
        until = time.monotonic() + STOP_S
        while not (job := self.info(name)).over and time.monotonic() < until:
            time.sleep(0.5)
        return job


def _job(found: Any) -> Job:
    return Job(
        found.submission_id, str(getattr(found.status, "value", found.status)), found.driver_exit_code,
        found.message or "", (found.start_time or 0) / 1000, (found.end_time or 0) / 1000,
    )  # fmt: skip
