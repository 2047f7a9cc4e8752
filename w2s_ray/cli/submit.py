"""`w2s submit`, `logs`, `stop`: studies as jobs of a cluster."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from w2s_ray.cli.options import address_of_jobs
from w2s_ray.cli.pin import load_pinned
from w2s_ray.config.load import Study
from w2s_ray.config.place import Place
from w2s_ray.core.errors import ConfigError, InputError
from w2s_ray.engine.fingerprint import digest
from w2s_ray.reports.event_lines import drawn
from w2s_ray.reports.live import View
from w2s_ray.study.check import check_names
from w2s_ray.study.pack import package_of
from w2s_ray.study.trackers import literal_secrets, trackers_of

if TYPE_CHECKING:
    from w2s_ray.runtime.jobs import Jobs
    from w2s_ray.trackers.contract import Tracker

PLACE_FILE = ".w2s-place.yaml"


def submit_study(
    file: Path, sets: Sequence[str], place: Place, follow: bool, tune: bool, out: Console, err: Console
) -> int:
    """Send a study to a cluster, or attach to the job that it already is there; the exit code of its driver."""
    from w2s_ray.runtime.jobs import Jobs, Sent

    study = load_pinned(file, sets, place.resources, err)
    check_names(study)
    _check_shared(place)
    trackers = trackers_of(study.config, place)
    _refuse_literal(trackers)
    package = package_of(file, study)
    for each in package.elsewhere:
        err.print(f"not sent, for it lies outside {package.root}: {each} (the cluster must have it there)")
    jobs = Jobs(_address(place.address), os.environ)
    with tempfile.TemporaryDirectory(prefix="w2s-submit-") as folder:
        package.copy(Path(folder))
        name = str(file.resolve().relative_to(package.root))
        command = ["python", "-m", "w2s_ray", "tune" if tune else "run", name, "--json"]
        command += ["--place", _write_place(place, folder), *(part for text in sets for part in ("--set", text))]
        own_code = Path("w2s_ray/__init__.py") in package.files
        err.print(f"{len(package.files)} files, {package.mb:.1f} MB, from {package.root}", soft_wrap=True)
        sent = Sent(command, Path(folder), _variables(place, trackers, out), place.driver.model_dump(), own_code)
        job, new = jobs.submit(f"w2s-{study.config.name}-{_digest(study, place, tune)}", sent)
    err.print(f"{'submitted' if new else 'it runs already'}: {job.id} at {jobs.address}", soft_wrap=True)
    if place.budget and not new:
        err.print("its budget is the one that it was submitted with", soft_wrap=True)
    if follow:
        return follow_job(jobs, job.id, len(study.cells), out, err)
    out.print(f"follow: w2s logs {job.id} --address {jobs.address}   stop: w2s stop {job.id} …", soft_wrap=True)
    return 0


def _write_place(place: Place, folder: str) -> str:
    """The place as the driver needs it; variables go with the job, and no secret into a file."""
    runs = place.runs or f"{place.store.rstrip('/')}-runs"
    kept = {name: getattr(place, name) for name in ("store", "autoscale", "budget", "resources")}
    notify = {} if place.notify is None else {"notify": place.notify.get_secret_value()}  # the name of a variable
    inside = {**kept, "runs": runs, "track": [one.told() for one in place.track], **notify}  # type: ignore[attr-defined]
    Path(folder, PLACE_FILE).write_text(yaml.safe_dump(inside, allow_unicode=True), encoding="utf-8")
    return PLACE_FILE


def _variables(place: Place, trackers: Sequence[Tracker], out: Console) -> dict[str, str]:
    """With those of the trackers that are set here."""
    own = {"COLUMNS": str(out.width), "PYTHONUNBUFFERED": "1"}
    theirs = {name: os.environ[name] for one in trackers for name in one.reads() if name in os.environ}
    return own | theirs | place.variables(os.environ)


def _refuse_literal(trackers: Sequence[Tracker]) -> None:
    """The YAML travels to the cluster, and is kept there."""
    for name in literal_secrets(trackers):
        raise ConfigError(
            f"{name}: it holds an address, and the YAML is sent to the cluster; write $NAME in its place, of a variable"
            " that is set here: it goes with the job"
        )


def follow_job(jobs: Jobs, name: str, num_cells: int, out: Console, err: Console) -> int:
    """Draw a job's events as a live view and print its other lines; the exit code of its driver."""
    try:
        with View(err, num_cells) as view:
            job = jobs.follow(name, drawn(view, out))
    except KeyboardInterrupt:
        err.print(f"\nno longer followed; the job goes on: w2s logs {name}, w2s stop {name}", soft_wrap=True)
        return 130
    if job.status == "SUCCEEDED":
        return 0
    err.print(
        f"{job.id} {job.status.lower()}: {' '.join(job.message.partition(', last available logs')[0].split())}",
        soft_wrap=True,
    )
    return job.exit_code or (130 if job.status == "STOPPED" else 1)


def print_logs(name: str, address: str | None, follow: bool, out: Console, err: Console) -> int:
    """What a job has written; events as the lines of a run without a terminal."""
    from w2s_ray.runtime.jobs import Jobs

    jobs = Jobs(_address(address), os.environ)
    job = jobs.latest(name)
    if follow and not job.over:
        return follow_job(jobs, job.id, 0, out, err)
    line = drawn(View(out, 0, live=False), out)
    for text in jobs.logs(job.id):
        line(text)
    return 0


def stop_job(name: str, address: str | None, out: Console) -> int:
    """Stop a study's job; what it has finished is kept."""
    from w2s_ray.runtime.jobs import Jobs

    jobs = Jobs(_address(address), os.environ)
    job = jobs.stop(jobs.latest(name).id)
    out.print(f"{job.id} {job.status.lower()}; the same `w2s submit` continues it", soft_wrap=True)
    return 0 if job.over else 1


def print_jobs(address: str, out: Console) -> None:
    """The studies of a cluster, the latest last."""
    from w2s_ray.runtime.jobs import Jobs

    table = Table("job", "status", "started", "took", box=None, pad_edge=False)
    for job in Jobs(_address(address), os.environ).all():
        began = time.strftime("%Y-%m-%d %H:%M", time.localtime(job.started)) if job.started else ""
        took = f"{(job.ended or time.time()) - job.started:.0f} s" if job.started else ""
        table.add_row(job.id, job.status.lower(), began, took)
    out.print(table if table.row_count else f"no study was submitted at {address}")


def doctor_there(place: Place, out: Console) -> int:
    """Examine a cluster from within: a job of it asks the nodes."""
    from w2s_ray.runtime.jobs import Jobs, Sent

    _check_shared(place)
    jobs = Jobs(_address(place.address), os.environ)
    command = ["python", "-m", "w2s_ray", "doctor", "--address", "auto", "--store", place.store]
    variables = {**place.variables(os.environ), "COLUMNS": str(out.width)}
    with tempfile.TemporaryDirectory(prefix="w2s-doctor-") as folder:
        sent = Sent(command, Path(folder), variables, place.driver.model_dump())
        job, _ = jobs.submit(f"w2s-doctor-{time.time_ns() // 10**6}", sent)
    ended = jobs.follow(job.id, lambda line: out.print(Text(line), soft_wrap=True))
    return ended.exit_code or (0 if ended.status == "SUCCEEDED" else 1)


def _check_shared(place: Place) -> None:
    """Results must outlive their job."""
    if not place.store:
        raise ConfigError(
            "store: a submitted study's results must outlive its job; give --store s3://…, gs://…, or a path that all"
            " machines of the cluster share"
        )
    if "://" not in place.store and not Path(place.store).is_absolute():
        raise ConfigError(f"store is {place.store!r}; a path on a cluster must be absolute and shared by its machines")


def _digest(study: Study, place: Place, tune: bool) -> str:
    what = {name: value for name, value in study.raw.items() if name != "resources"}
    return digest({"study": what, "store": place.store, "tune": tune})[:12]


def _address(address: str | None) -> str:
    found = address or address_of_jobs()
    if not found:
        raise InputError("no --address; give that of the cluster's jobs, such as http://HEAD:8265")
    return found
