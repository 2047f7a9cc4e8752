"""What the tests of the face share: a small study, and `w2s` called as a user calls it."""

from __future__ import annotations

import copy
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

SMALL: dict[str, Any] = {
    "name": "small",
    "hypothesis": "It runs.",
    "task": {"data": "world:topic", "labelled": 40, "pool": 60, "test": 60},
    "models": {"weak": "world/nano", "strong": "world/micro"},
    "methods": ["naive"],
    "train": {"weak": {"lr": 1e-3, "epochs": 1}, "strong": {"lr": 1e-3, "epochs": 1}},
    "seeds": [0, 1, 2],
}


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def refusal(self) -> str:
        """The one line that a refused command leaves on stderr; warnings may stand before it."""
        assert self.code == 2, f"exit code {self.code}\n{self.err}"
        lines = [line for line in self.err.splitlines() if not line.startswith("warning ")]
        assert len(lines) == 1, self.err
        assert lines[0].startswith("w2s: "), self.err
        assert "Traceback" not in self.err
        return lines[0]


@dataclass(frozen=True)
class Face:
    """A user in a folder of their own."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def study(self, changes: Mapping[str, Any] | None = None, *, file: str = "study.yaml") -> str:
        """Write the small study with dotted keys changed (None as a value is YAML's null, `...` drops the key); returns
        the file's name."""
        raw = copy.deepcopy(SMALL)
        for name, value in (changes or {}).items():
            *path, last = name.split(".")
            here = raw
            for part in path:
                here = here.setdefault(part, {})
            here[last] = value
            if value is ...:
                del here[last]
        (self.folder / file).write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")
        return file

    def rows(self, name: str, rows: Iterable[Mapping[str, Any]]) -> str:
        """Write rows as JSON lines; returns the source's name."""
        (self.folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return f"file:{name}"

    def w2s(self, *arguments: str) -> Ended:
        """`w2s ARGUMENTS` in this process, with its output captured."""
        from w2s_ray.cli.app import main

        out, err = io.StringIO(), io.StringIO()
        with self.monkeypatch.context() as patch:
            patch.chdir(self.folder)
            patch.setattr(sys, "argv", ["w2s", *arguments])
            patch.setenv("COLUMNS", "160")
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            with pytest.raises(SystemExit) as ended:
                main()
                raise SystemExit(0)
        return Ended(int(ended.value.code or 0), out.getvalue(), err.getvalue())

    def run(self, changes: Mapping[str, Any] | None = None, *more: str) -> Ended:
        """`w2s run` of the small study with these changes, without Ray."""
        return self.w2s("run", self.study(changes), "--local", *more)

    def command(self, *arguments: str, code: str = "from w2s_ray.cli.app import main; main()") -> list[str]:
        return [sys.executable, "-c", code, *arguments]

    def process(
        self,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        code: str = "from w2s_ray.cli.app import main; main()",
    ) -> Ended:
        """`w2s ARGUMENTS` in a process of its own."""
        done = subprocess.run(
            self.command(*arguments, code=code),
            cwd=self.folder,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    @staticmethod
    @contextmanager
    def of_module(folders: pytest.TempPathFactory, name: str) -> Iterator[Face]:
        """For a fixture that several tests share; neither reads nor writes what is the user's."""
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("W2S_STORE", raising=False)
            patch.setenv("W2S_CACHE", str(folders.getbasetemp() / "cache"))
            yield Face(folders.mktemp(name), patch)

    def results(self, name: str = "small") -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "runs" / name / "results.json").read_text(encoding="utf-8"))
        return found
