"""What came of a search, as files: the trials as a table, the best recipe as a YAML, its page and pictures."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from w2s_ray.config.load import as_yaml
from w2s_ray.reports.drawing import draw
from w2s_ray.reports.files import write_files
from w2s_ray.reports.html import render_page
from w2s_ray.reports.markdown import render
from w2s_ray.reports.pages.search import BEST_FILE, CSV_FILE, PARQUET_FILE, PICTURES, search_page
from w2s_ray.reports.searched import Searched, trial_rows
from w2s_ray.reports.wording import SELECTED

if TYPE_CHECKING:
    pass

PAGE, HTML = "search.md", "search.html"
FRONT = "trial-*.yaml"  # the front's other points


def write_search(folder: Path, found: Searched, recipes: Mapping[int, dict[str, Any]]) -> None:
    """Fill the folder. Recipes are whole studies at the front's points, by trial."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(FRONT):
        old.unlink()
    for number, recipe in recipes.items():
        name = BEST_FILE if number == found.front[0].number else f"trial-{number}.yaml"
        (folder / name).write_text(_recipe(found, number, recipe), encoding="utf-8")
    rows = trial_rows(found)
    with open(folder / CSV_FILE, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    _write_parquet(folder / PARQUET_FILE, rows)
    page = search_page(found)
    pictures = draw(page)
    write_files(folder, page, pictures)
    (folder / PAGE).write_text(render(page), encoding="utf-8")
    (folder / HTML).write_text(render_page(page, pictures), encoding="utf-8")


def search_files(folder: Path) -> list[Path]:
    """Those of a folder that `write_search` has filled; others may lie there too."""
    named = (folder / name for name in (CSV_FILE, PARQUET_FILE, BEST_FILE, PAGE, HTML, *PICTURES))
    return [path for path in (*named, *sorted(folder.glob(FRONT))) if path.is_file()]


def _recipe(found: Searched, number: int, recipe: dict[str, Any]) -> str:
    trial = next(trial for trial in found.front if trial.number == number)
    values = ", ".join(
        f"{objective.label} {value:.4g}" for objective, value in zip(found.spec.objective, trial.values, strict=True)
    )
    stamp = {"name": f"{recipe['name']}-tuned", "tuned": {"search": found.key, "select_on": found.select_on}}
    return (
        f"# Trial {number} of {len(found.trials)}: {values};"
        f" {SELECTED[found.select_on]}.\n{as_yaml(_plain({**recipe, **stamp}))}"
    )


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in rows[0]}
    for name, values in columns.items():
        kinds = {type(value) for value in values if value is not None}
        if len(kinds) > 1 and not kinds <= {int, float}:  # choices of several types
            columns[name] = [None if value is None else json.dumps(value) for value in values]
    pq.write_table(pa.table(columns), path)
