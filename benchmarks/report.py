"""What a report costs: the page of a study of 10, 500 and 5,000 cells.

    python benchmarks/report.py            # prints the table of benchmarks/report.md

The studies are real but for their fits, which are made up (`cached_study.py`), ten seeds a row. Each page is drawn
again by `w2s report NAME --open`'s own function, in a fresh process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CELLS = (10, 500, 5000)
FILES = ("report.html", "report.md", "results.json")


def drawn(run: Path) -> dict[str, Any]:
    """In this process: seconds with and without imports, and its peak memory."""
    began = time.perf_counter()
    from cached_study import peak_mb
    from rich.console import Console

    from w2s_ray.cli.report import write_page

    imported = time.perf_counter()
    write_page(Console(stderr=True), str(run), str(run.parent))
    ended = time.perf_counter()
    sizes = {name: (run / name).stat().st_size / 1e6 for name in FILES}
    return {"imports": imported - began, "seconds": ended - imported, "memory": peak_mb(), **sizes}


def measured(cells: int) -> dict[str, Any]:
    """Of a fresh study of so many cells."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(HERE / "cached_study.py"), folder, str(cells)]
        subprocess.run(command, check=True, capture_output=True)
        again = subprocess.run([sys.executable, __file__, f"{folder}/runs"], check=True, capture_output=True, text=True)
        return dict(json.loads(again.stdout))


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(drawn(Path(sys.argv[1]))))
        return
    print("| cells | imports, s | page, s | peak memory, MB | report.html, MB | report.md, MB | results.json, MB |")
    print("|---|---|---|---|---|---|---|")
    for cells in CELLS:
        found = measured(cells)
        sizes = " | ".join(f"{found[name]:.2f}" for name in FILES)
        print(f"| {cells} | {found['imports']:.1f} | {found['seconds']:.1f} | {found['memory']:.0f} | {sizes} |")


if __name__ == "__main__":
    main()
