"""Keys that people's stores are full of: a change of any of them makes every such result anew.

Made by `python tests/integration/test_golden_keys.py`, which is to be run when a version was raised on purpose, and
noted in CHANGELOG.md.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/golden/keys.json"
STUDIES = (
    "quickstart",
    "smoke/bagging",
    "smoke/choice",
    "smoke/generation",
    "smoke/preference",
    "smoke/generative_finetune_first",
    "smoke/clean_labels",
)


def keys_of(study: str, folder: Path) -> dict[str, str]:
    """Every key that a dry run knows of, by what people call it; of a name that occurs twice, the digests in order."""
    from w2s_ray.config.load import load_study
    from w2s_ray.engine.fingerprint import Key
    from w2s_ray.study.plan import make_plan

    make_plan(load_study(ROOT / f"experiments/{study}.yaml"), str(folder / "store"), folder / "run")
    planned = json.loads((folder / "run/plan.json").read_text())
    found: dict[str, list[str]] = {}
    for key in map(Key.parse, planned):
        found.setdefault(f"{key.step}/{key.slug}", []).append(key.digest[:16])
    return {name: " ".join(sorted(digests)) for name, digests in sorted(found.items())}


@pytest.mark.parametrize("study", STUDIES)
def test_keys_are_what_they_were(study: str, tmp_path: Path) -> None:
    golden = json.loads(GOLDEN.read_text())[study]
    assert keys_of(study, tmp_path) == golden, (
        "stored results would not be found again; if a step's meaning changed on purpose, say so in CHANGELOG.md and"
        " make the file anew"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as where:
        made = {study: keys_of(study, Path(where, study.replace("/", "-"))) for study in STUDIES}
    GOLDEN.write_text(json.dumps(made, indent=1) + "\n")
    sys.stdout.write(f"{GOLDEN}: {sum(map(len, made.values()))} keys\n")
