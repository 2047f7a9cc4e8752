"""The wheel: what is in it, and that it works where nothing of the repository is near."""

from __future__ import annotations

import email
import re
import zipfile
from pathlib import Path

import pytest
import yaml
from integration.face import SMALL
from integration.installed import ROOT, Installed

pytestmark = pytest.mark.slow

MOST_MB = 6  # of the wheel, whose weights of the built-in world are 5.4 MB before they are packed


def names(installed: Installed) -> list[str]:
    with zipfile.ZipFile(installed.wheel) as wheel:
        return wheel.namelist()


def test_it_holds_what_is_needed(installed: Installed) -> None:
    there = set(names(installed))
    code = {path.relative_to(ROOT).as_posix() for path in (ROOT / "w2s_ray").rglob("*.py")}
    weights = {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "w2s_ray/world/weights").rglob("*") if path.is_file()
    }
    assert sum(name.endswith(".safetensors") for name in weights) == 4
    assert {"w2s_ray/py.typed", "w2s_ray/steps.lock"} | code | weights <= there
    assert [name for name in there if re.search(r"dist-info/licenses/LICENSE$", name)]


def test_it_holds_nothing_else(installed: Installed) -> None:
    there = names(installed)
    assert {name.split("/")[0].partition("-")[0] for name in there} == {"w2s_ray"}
    assert [name for name in there if re.search(r"__pycache__|\.pyc$|(^|/)tests?/|\.egg-info|/\.", name)] == []
    assert installed.wheel.stat().st_size < MOST_MB * 1e6


def test_it_says_what_it_is(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as wheel:
        (name,) = [name for name in wheel.namelist() if name.endswith("METADATA")]
        said = email.message_from_bytes(wheel.read(name))
    assert said["License-Expression"] == "Apache-2.0"
    assert said["Requires-Python"] == ">=3.11"
    assert {"s3", "gcs", "docs", "dev"} <= set(said.get_all("Provides-Extra"))


def test_it_works_anywhere(installed: Installed, tmp_path: Path) -> None:
    place = installed.call("python", "-c", "import w2s_ray; print(w2s_ray.__file__)", folder=tmp_path)
    assert Path(place.stdout.strip()).is_relative_to(installed.environment), "not the repository's"
    helped = installed.call("w2s", "--help", folder=tmp_path)
    assert (helped.returncode, "Run a study" in helped.stdout) == (0, True)
    doctor = installed.call("w2s", "doctor", folder=tmp_path)
    assert doctor.returncode == 0, doctor.stdout
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({**SMALL, "seeds": [0]}), encoding="utf-8")
    ran = installed.call("w2s", "run", "study.yaml", "--local", folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "runs/small/report.md").exists()
