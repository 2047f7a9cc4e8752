"""Rules of the house that no other tool checks."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "w2s_ray"


def test_configs_and_methods_import_without_torch_or_ray_and_fast() -> None:
    code = (
        "import sys, time; t = time.perf_counter(); import w2s_ray.config.load, w2s_ray.methods.naive; s ="
        " time.perf_counter() - t; print(s, sorted({'torch', 'ray', 'transformers', 'datasets', 'pyarrow', 'scipy',"
        " 'sklearn'} & set(sys.modules)))"
    )
    found = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split(
            maxsplit=1
        )
        for _ in range(3)
    ]
    assert {loaded.strip() for _, loaded in found} == {"[]"}


def test_no_room_for_odds_and_ends() -> None:
    names = {path.stem for path in PACKAGE.rglob("*.py")}
    assert not names & {"utils", "helpers", "common", "base", "misc", "util"}
    assert not [name for name in names if re.search(r"_?v\d$", name)]


def test_every_module_says_what_it_is() -> None:
    silent = [
        str(path.relative_to(ROOT)) for path in PACKAGE.rglob("*.py") if not path.read_text().lstrip().startswith('"""')
    ]
    assert not silent


def test_nothing_unsafe_is_loaded() -> None:
    """Model and data files are untrusted: no pickle, no remote code, no torch.load."""
    faults = []
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        faults += [
            f"{path.name}: {bad}"
            for bad in (
                "torch.load(",
                "pickle.load",
                "trust_remote_code=True",
                '"trust_remote_code": True',
                "allow_pickle=True",
                "yaml.load(stream)",
            )
            if bad in text
        ]
    assert not faults


def test_no_two_files_import_each_other() -> None:
    """Not even where a type alone is wanted: of any circle of files one should know less."""
    graph = {name: _imported(name) for name in MODULES}
    waiting = dict(graph)
    while waiting:  # whoever imports nothing that is left is in no circle
        leaves = [name for name, needs in waiting.items() if not needs & waiting.keys()]
        assert leaves, f"a circle among: {', '.join(sorted(waiting))}"
        for name in leaves:
            del waiting[name]


MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}


def _imported(name: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (whole & MODULES.keys()) or {node.module}
    return (found & MODULES.keys()) - {name}
