"""What steps cost on a cluster of several nodes: `cluster/local/nodes.sh`, four nodes with networks of their own.

    sudo .venv/bin/python benchmarks/cluster.py             # prints the table of benchmarks/cluster.md
    sudo .venv/bin/python benchmarks/cluster.py --soak 500  # fits, with a worker or a node killed every 20 s
    .venv/bin/python benchmarks/cluster.py --drivers 16     # of one study, at once, on one store

Nothing is trained but in the soak. Needs root, for network namespaces.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import yaml

HERE = Path(__file__).parent
ROOT = HERE.parent
BIN = Path(sys.executable).parent
HEAD = "10.77.0.10:6379"
SCRIPT = str(ROOT / "cluster/local/nodes.sh")
BACK_S = 10.0  # after which a dead node boots again


@contextmanager
def nodes(count: int, cpus: int) -> Iterator[dict[str, str]]:
    """A cluster; the environment in which the script and programs on its nodes run."""
    with tempfile.TemporaryDirectory(prefix="w2s-nodes-") as folder:
        state = f"{folder}/state"
        own = {"W2S_NODES": state, "W2S_BIN": str(BIN), "W2S_CPUS": str(cpus), "RAY_AUTH_MODE": "token"}
        own |= {"RAY_AUTH_TOKEN_PATH": f"{state}/token", "PYTHONPATH": f"{HERE}:{ROOT}", "OMP_NUM_THREADS": "1"}
        env = {**os.environ, **own}
        subprocess.run(["bash", SCRIPT, "up", str(count)], env=env, check=True, capture_output=True)
        try:
            yield env
        finally:
            subprocess.run(["bash", SCRIPT, "down"], env=env, check=True)


def on_head(env: dict[str, str], *words: str) -> dict[str, Any]:
    """Run this script on the head; its last line."""
    command = ["bash", SCRIPT, "on", "0", sys.executable, str(Path(__file__).resolve()), *words]
    ended = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.exit(ended.stderr)
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def steps(count: int, member: bool) -> dict[str, Any]:
    """In a driver on the head: so many trivial steps that do not depend on each other."""
    from engine import NOTHING

    from w2s_ray.engine.context import Context
    from w2s_ray.engine.step import Handling
    from w2s_ray.engine.store import open_store
    from w2s_ray.runtime.cluster import Target
    from w2s_ray.runtime.executor import RayExecutor

    handling = Handling(member=member)
    with tempfile.TemporaryDirectory() as folder:
        with Context(open_store(folder), lambda: RayExecutor(folder, Target(HEAD))) as context:
            # Every node has its processes before the clock starts.
            for handle in [context.submit(NOTHING, {"n": -n}, handling=handling) for n in range(1, 101)]:
                handle.record()
            begun = time.perf_counter()
            handles = [context.submit(NOTHING, {"n": n}, handling=handling) for n in range(count)]
            submitted = time.perf_counter() - begun
            for handle in handles:
                handle.record()
            seconds = time.perf_counter() - begun
        objects = sum(len(files) for _, _, files in os.walk(folder))
    return {
        "count": count,
        "ms": 1000 * seconds / count,
        "submit_ms": 1000 * submitted / count,
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "objects": objects / (count + 100),
    }


def print_steps() -> None:
    print("| what | ms a step | of it in submit | driver | objects a key |\n|---|---|---|---|---|")
    for count, member in ((100, False), (1_000, False), (10_000, False), (1_000, True)):
        with nodes(4, 1) as env:
            found = on_head(env, "--inside", str(count), *(["--member"] if member else []))
        what = f"{count:,} members of ensembles at once, by Ray Tune" if member else f"{count:,} steps"
        print(
            f"| {what} | {found['ms']:.2f} | {found['submit_ms']:.2f} | {found['memory_mb']:.0f} MB"
            f" | {found['objects']:.2f} |",
            flush=True,
        )


# --- the soak ---


def study(fits: int) -> dict[str, Any]:
    """Naive cells of the smallest models: a floor, a student and a ceiling each."""
    quick = {"lr": 1e-3, "epochs": 2}
    return {
        "name": "soak",
        "hypothesis": "Whatever is killed, the numbers are those of a run in peace.",
        "task": {"data": "world:topic", "labelled": 100, "pool": 100, "test": 100},
        "models": {"weak": "world/nano", "strong": "world/nano"},
        "methods": ["naive"],
        "train": {"weak": quick, "strong": quick},
        "seeds": list(range(fits // 3)),
    }


def numbers(folder: Path) -> dict[int, Any]:
    cells = json.loads((folder / "soak/results.json").read_text())["cells"]
    return {cell["seed"]: [cell[arm] for arm in ("floor", "student", "ceiling", "pgr")] for cell in cells}


def soak(fits: int, every_s: float, seed: int = 0) -> None:
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="w2s-soak-") as name:
        folder = Path(name)
        (folder / "study.yaml").write_text(yaml.safe_dump(study(fits)))
        store = str(folder / "peace")
        quiet = [str(BIN / "w2s"), "run", "study.yaml", "--store", store, "--runs", "runs-peace"]
        begun = time.monotonic()
        in_peace = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run(quiet, cwd=folder, check=True, capture_output=True, env=in_peace)
        peace_s = time.monotonic() - begun
        with nodes(3, 1) as env:
            command = ["run", "study.yaml", "--store", str(folder / "war"), "--runs", "runs-war", "--address", HEAD]
            there = ["bash", SCRIPT, "on", "0", sys.executable, "-m", "w2s_ray", *command]
            begun = time.monotonic()
            with open(folder / "said", "w") as said:
                driver = subprocess.Popen(there, cwd=folder, env=env, stdout=said, stderr=said)
            kills = _disturb(driver, env, draw, every_s)
            war_s = time.monotonic() - begun
        if driver.returncode:
            said_lines = (folder / "said").read_text().splitlines()
            sys.exit(
                "\n".join([line for line in said_lines if "[state-dump]" not in line and "(raylet)" not in line][-40:])
            )
        same = numbers(folder / "runs-peace") == numbers(folder / "runs-war")
        ledgers = [json.loads(path.read_text()) for path in (folder / "war/ledger").glob("*.json")]
        losses = [loss for ledger in ledgers for loss in ledger["losses"]]
        busy = sum(ledger["busy"]["CPU"] for ledger in ledgers)
        lost = sum(ledger["lost"]["CPU"] for ledger in ledgers)
        kinds = {kind: sum(one == kind for one in kills) for kind in ("worker", "node")}
        causes = {cause: sum(loss["cause"] == cause for loss in losses) for cause in {one["cause"] for one in losses}}
        made = len(list((folder / "war/train").glob("*/record.json")))
        print(
            f"{made} fits, {len(numbers(folder / 'runs-war'))} cells; the numbers are {'' if same else 'NOT '}those in"
            f" peace. Killed: {kinds}; lost: {causes}. {peace_s:.0f} s in peace (a local Ray), {war_s:.0f} s at war"
            f" (three nodes on the same cores); {lost:.0f} of {busy:.0f} device-seconds lost ({lost / busy:.1%})."
        )
        sys.exit(0 if same else 1)


def drivers(count: int, fits: int = 30) -> None:
    """So many drivers of one study on one store, at once, each in one process."""
    with tempfile.TemporaryDirectory(prefix="w2s-drivers-") as name:
        folder = Path(name)
        (folder / "study.yaml").write_text(yaml.safe_dump(study(fits)))
        command = [str(BIN / "w2s"), "run", "study.yaml", "--local", "--store", str(folder / "store"), "--runs"]
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        begun, quiet = time.monotonic(), subprocess.DEVNULL
        running = [
            subprocess.Popen([*command, f"runs-{n}"], cwd=folder, env=env, stdout=quiet, stderr=quiet)
            for n in range(count)
        ]
        codes = [one.wait() for one in running]
        found = [numbers(folder / f"runs-{n}") for n in range(count) if not codes[n]]
        attempts = [len([one for one in key.glob("a*") if one.is_dir()]) for key in folder.glob("store/train/*")]
        right = not any(codes) and all(one == found[0] for one in found) and set(attempts) == {1}
        print(
            f"{count} drivers, {len(attempts)} fits: {sum(attempts)} attempts, exit codes {set(codes)}, numbers"
            f" {'equal' if right else 'NOT equal'}, {time.monotonic() - begun:.0f} s; left: "
            f"{len(list(folder.glob('store/leases/*')))} leases, {len(list(folder.glob('store/drivers/*')))} heartbeats"
        )
        sys.exit(0 if right else 1)


def _disturb(driver: subprocess.Popen[bytes], env: dict[str, str], draw: random.Random, every_s: float) -> list[str]:
    """Until the driver ends: a random worker or a random node dies, now and then."""
    kills: list[str] = []
    due = time.monotonic() + every_s
    while driver.poll() is None:
        time.sleep(0.5)
        if time.monotonic() < due:
            continue
        due = time.monotonic() + every_s
        workers = [one.pid for one in psutil.process_iter(["name"]) if (one.info["name"] or "").startswith("ray::")]
        if draw.random() < 0.5 and workers:
            psutil.Process(draw.choice(workers)).kill()
            kills.append("worker")
            continue
        node = str(draw.randint(1, 3))
        subprocess.run(["bash", SCRIPT, "kill", node], env=env, check=False, capture_output=True)
        kills.append("node")
        time.sleep(BACK_S)
        subprocess.run(["bash", SCRIPT, "start", node], env=env, check=False, capture_output=True)
    return kills


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--soak", type=int, default=0, help="so many fits, disturbed")
    parser.add_argument("--every", type=float, default=20.0, help="seconds between two kills")
    parser.add_argument("--drivers", type=int, default=0, help="so many drivers on one store")
    parser.add_argument("--inside", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--member", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        print(json.dumps(steps(args.inside, args.member)))
    elif args.drivers:
        drivers(args.drivers)
    elif args.soak:
        soak(args.soak, args.every)
    else:
        print_steps()


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    main()
