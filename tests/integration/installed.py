"""The package as users have it: built into a wheel, installed into an environment of its own, called from a folder that
has nothing to do with the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
BUILT_FROM = ("pyproject.toml", "README.md", "LICENSE")
FRESH = {"PYTHONPATH", "W2S_STORE", "W2S_CACHE", "RAY_ADDRESS"}  # of the tests' own environment


@dataclass(frozen=True)
class Installed:
    wheel: Path
    environment: Path

    @property
    def variables(self) -> dict[str, str]:
        """Of a user's shell with the environment activated. No package index is asked for anything."""
        kept = {name: value for name, value in os.environ.items() if name not in FRESH}
        path = os.pathsep.join([str(self.environment / "bin"), kept["PATH"]])
        cache = str(self.environment / "cache")
        return {**kept, "PATH": path, "W2S_CACHE": cache, "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"}

    def call(self, *words: str, folder: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.environment / "bin" / words[0]), *words[1:]],
            cwd=folder, env=self.variables, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip


def install(folder: Path) -> Installed:
    """The wheel of the working tree in a new environment, which finds its dependencies where the tests find them."""
    wheel = build_wheel(folder)
    environment = folder / "environment"
    venv.create(environment, with_pip=True)
    python = str(environment / "bin/python")
    _pip(python, "uninstall", "--yes", "setuptools")  # an old one, in front of the one that there is
    _pip(python, "install", "--no-deps", "--no-index", str(wheel))
    own = sysconfig.get_path("purelib", vars={"base": str(environment)})
    Path(own, "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return Installed(wheel, environment)


def build_wheel(folder: Path) -> Path:
    """Built from a copy: setuptools leaves a folder behind, and takes up what an earlier build has left there."""
    source = folder / "source"
    shutil.copytree(ROOT / "w2s_ray", source / "w2s_ray")  # with its caches, which must not get in
    for name in BUILT_FROM:
        shutil.copy(ROOT / name, source)
    _pip(sys.executable, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source))
    (wheel,) = folder.glob("*.whl")
    return wheel


def _pip(python: str, *words: str) -> None:
    clean = {name: value for name, value in os.environ.items() if name not in FRESH}
    done = subprocess.run(
        [python, "-m", "pip", "--disable-pip-version-check", "--quiet", *words],
        env=clean, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
