"""Results of the two public codes as ours: what is read, what is told, and that strangers' files can do no harm."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from foreign_folders import (
    arrow,
    eleuther_results,
    evaluated,
    fit,
    folder_of,
    gold_run,
    made,
    openai_sweep,
    student,
    weak_labels,
    write_json,
)

from w2s_ray.core.errors import InputError
from w2s_ray.reports.markdown import render
from w2s_ray.reports.pages import study_page
from w2s_ray.reports.schema import parse
from w2s_ray.study.foreign.results import import_folder, refuse_to_replace, write_imported


def cells_of(found: dict[str, Any]) -> dict[tuple[Any, ...], dict[str, Any]]:
    parse(found)
    names = ("method", "task", "weak", "strong", "seed")
    return {tuple(cell[name] for name in names): cell for cell in found["cells"]}


def told(found: dict[str, Any]) -> list[str]:
    lines: list[str] = found["imported"]["told"]
    return lines


def row_of(found: dict[str, Any], method: str, weak: str, strong: str) -> dict[str, Any]:
    (row,) = (r for r in found["summary"] if (r["method"], r["weak"], r["strong"]) == (method, weak, strong))
    return dict(row)


# --- openai/weak-to-strong ---


def test_a_sweep_is_its_pairs_with_floor_and_ceiling_of_the_same_seed(tmp_path: Path) -> None:
    found = import_folder(openai_sweep(tmp_path), None)
    cells = cells_of(found)
    assert len(cells) == 8
    cell = cells["naive", "sciq", "gpt2", "gpt2-medium", 1]
    assert (cell["floor"], cell["student"], cell["ceiling"]) == (0.62, 0.66, 0.80)
    assert cell["pgr"] == pytest.approx(0.04 / 0.18)
    assert cell["num_test"] is None
    row = row_of(found, "logconf", "gpt2", "gpt2-medium")
    assert row["pgr"]["median"] == pytest.approx((0.12 / 0.20 + 0.10 / 0.18) / 2)
    assert row["pgr"]["low"] is None and row["student"]["low"] is None
    assert row["num_seeds"] == 2
    assert (found["name"], found["ceiling_rows"], found["metric"], found["gap_se"]) == (
        "default", "labelled", "accuracy", None,
    )  # fmt: skip
    assert told(found) == []


def test_the_median_over_runs_is_that_of_their_notebook(tmp_path: Path) -> None:
    """Against means over seeds of all ground-truth runs of a model; pairs of a model with itself are not in it."""
    found = import_folder(openai_sweep(tmp_path), None)
    medians = {entry["method"]: entry["median_pgr_openai"] for entry in found["sweep"]}
    gap = 0.80 - 0.61
    assert medians == {
        "naive": pytest.approx(((0.65 - 0.61) / gap + (0.66 - 0.61) / gap) / 2),
        "logconf": pytest.approx((0.72 - 0.61) / gap),
    }


def test_weak_labels_are_measured_on_their_own_rows(tmp_path: Path) -> None:
    labels = import_folder(openai_sweep(tmp_path), None)["imported"]["weak_labels"]
    assert [(entry["weak"], entry["seed"], entry["num_rows"]) for entry in labels] == [("gpt2", 0, 40), ("gpt2", 1, 40)]
    accuracy = labels[0]["accuracy"]
    assert accuracy["mean"] == 0.75
    assert accuracy["low"] < 0.75 < accuracy["high"]
    # Three quarters of the pairs are right, and of the mixed ones those with the wrong side between.
    assert labels[0]["auroc"]["mean"] == pytest.approx(0.9375)


def test_the_page_names_the_conventions_and_promises_no_rerun(tmp_path: Path) -> None:
    page = render(study_page(parse(import_folder(openai_sweep(tmp_path), None))))
    assert "the first half of the training rows, which are the teacher's own (`ceiling_on: labelled`)" in page
    assert "No intervals: that code saves no answers on the test rows" in page
    assert "| settings of all students | batch_size 32" in page
    assert "How to reproduce" not in page and "Hypothesis" not in page


def test_a_missing_ground_truth_run_is_told_and_its_cells_have_no_ratio(tmp_path: Path) -> None:
    here = tmp_path / "default"
    gold_run(here, "gpt2", 0.6)
    student(here, "gpt2", "gpt2-medium", 0.7)
    gold_run(here, "gpt2-large", 0.8)
    student(here, "tiny", "gpt2-large", 0.7)
    found = import_folder(here, None)
    cells = cells_of(found)
    no_ceiling = cells["naive", "sciq", "gpt2", "gpt2-medium", 0]
    assert (no_ceiling["status"], no_ceiling["floor"], no_ceiling["ceiling"]) == ("no_ceiling", 0.6, None)
    assert cells["naive", "sciq", "tiny", "gpt2-large", 0]["status"] == "no_floor"
    assert [line.partition(": ")[2] for line in told(found)] == [
        "There is no ground-truth run of tiny with these settings, so there is no floor.",
        "There is no ground-truth run of gpt2-medium with these settings, so there is no ceiling.",
    ]
    page = render(study_page(parse(found)))
    assert "| naive | sciq | gpt2 → gpt2-medium | no ceiling | – | 0 of 1 | – | 60.0 % | 70.0 % | – |" in page


def test_a_floor_of_other_settings_is_none(tmp_path: Path) -> None:
    """A student's config holds its teacher's whole; another run of the same model is not that teacher."""
    here = tmp_path / "default"
    gold_run(here, "gpt2", 0.6, epochs=5)
    gold_run(here, "gpt2-medium", 0.8)
    student(here, "gpt2", "gpt2-medium", 0.7)
    (cell,) = import_folder(here, None)["cells"]
    assert (cell["status"], cell["floor"], cell["ceiling"]) == ("no_floor", None, 0.8)


def test_a_ground_truth_run_with_another_loss_is_no_ceiling(tmp_path: Path) -> None:
    """`sweep.py --loss logconf` trains the ground-truth runs with it too."""
    here = openai_sweep(tmp_path)
    gold_run(here, "gpt2-medium", 0.9, loss="logconf")
    found = import_folder(here, None)
    assert {cell["ceiling"] for cell in found["cells"] if cell["strong"] == "gpt2-medium"} == {0.8}
    assert "a ground-truth run with the loss logconf" in told(found)[0]


def test_settings_that_differ_within_a_row_name_the_method(tmp_path: Path) -> None:
    here = openai_sweep(tmp_path)
    for model, accuracy in (("gpt2", 0.62), ("gpt2-medium", 0.82)):
        gold_run(here, model, accuracy, epochs=4)
    student(here, "gpt2", "gpt2-medium", 0.7, epochs=4)
    methods = {cell["method"] for cell in import_folder(here, None)["cells"]}
    assert methods == {"naive, epochs=2", "naive, epochs=4", "logconf, epochs=2"}


def test_the_second_of_two_equal_runs_is_told_and_left_out(tmp_path: Path) -> None:
    here = openai_sweep(tmp_path)
    again = here / "copy"
    config = made("gpt2-medium") | {"weak_model_size": "gpt2", "weak_model": made("gpt2")}
    write_json(again / "config.json", config)
    write_json(again / "results_summary.json", {"accuracy": 0.99})
    found = import_folder(here, None)
    assert len(found["cells"]) == 8
    assert [line.startswith(("copy: the same cell as", folder_of(config))) for line in told(found)] == [True]


@pytest.mark.parametrize(
    ("config", "summary", "said"),
    [
        ("not json", None, "config.json: is not JSON"),
        ("[1]", None, "config.json: holds no JSON object"),
        ('{"a":' * 5000, None, "config.json: is not JSON"),
        (None, '{"accuracy": NaN}', "results_summary.json: accuracy"),
        (None, '{"accuracy": 1e999}', "results_summary.json: accuracy"),
        (None, '{"accuracy": 7.5}', "results_summary.json: accuracy"),
        (None, '{"accuracy": "0.7"}', "results_summary.json: accuracy"),
        (None, '{"accuracy": ' + "9" * 5000 + "}", "results_summary.json: is not JSON"),
        (None, '{"acc": 0.7}', "results_summary.json: accuracy: Field required"),
        (None, "é".encode("latin-1"), "results_summary.json: is not JSON"),
    ],
)
def test_a_broken_file_is_told_in_a_line_and_the_rest_is_read(
    config: str | None, summary: str | bytes | None, said: str, tmp_path: Path
) -> None:
    here = openai_sweep(tmp_path)
    broken = student(here, "gpt2", "gpt2-medium", 0.7, seed=5)
    for name, content in (("config.json", config), ("results_summary.json", summary)):
        if content is not None:
            (broken / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    found = import_folder(here, None)
    assert len(found["cells"]) == 8
    (line,) = told(found)
    assert said in line
    assert "\n" not in line and len(line) < 400


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model_size", "m" * 10_000_000),
        ("model_size", "m" * 500),
        ("ds_name", "a\nb"),
        ("ds_name", "\ud800"),
        ("ds_name", "\x1b[31mred"),
        ("ds_name", ""),
        ("ds_name", None),
        ("lr", 1e300),
        ("seed", 10**30),
        ("loss", "surprise"),
    ],
)
def test_an_odd_config_is_told_in_a_line(field: str, value: Any, tmp_path: Path) -> None:
    here = openai_sweep(tmp_path)
    odd = student(here, "gpt2", "gpt2-medium", 0.7, seed=5)
    config = json.loads((odd / "config.json").read_text())
    write_json(odd / "config.json", config | {field: value})
    found = import_folder(here, None)
    assert len(found["cells"]) == 8
    (line,) = told(found)
    assert line.isprintable() and len(line) < 400


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    here = openai_sweep(tmp_path)
    (here / "pipe").mkdir()
    os.mkfifo(here / "pipe/results_summary.json")
    os.mkfifo(here / "pipe/config.json")
    (line,) = told(import_folder(here, None))
    assert line == "pipe/config.json: is not a file"


def test_a_run_that_has_not_ended_is_told(tmp_path: Path) -> None:
    here = openai_sweep(tmp_path)
    (student(here, "gpt2", "gpt2-medium", 0.7, seed=5) / "results_summary.json").unlink()
    (line,) = told(import_folder(here, None))
    assert "has not ended" in line


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    here = openai_sweep(tmp_path)
    trap = b"cos\nsystem\n(S'touch " + str(tmp_path / "sprung").encode() + b"'\ntR."
    for run in here.iterdir():
        (run / "results.pkl").write_bytes(trap)
    assert len(import_folder(here, None)["cells"]) == 8
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ({"gt_label": [0, 1], "soft_label": [[0.5, 0.5], [2.0, -1.0]]}, "soft labels must be >= 0"),
        ({"gt_label": [0, 1], "soft_label": [[0.5, 0.5], [float("nan"), 1.0]]}, "soft labels must be >= 0"),
        ({"gt_label": [0, 7], "soft_label": [[0.5, 0.5], [0.5, 0.5]]}, "labels must be in 0..1"),
        ({"gt_label": [0, 1], "soft_label": ["a", "b"]}, "hold no labels and probabilities"),
        ({"gt_label": [0, 1], "soft_label": [[1.0], [0.5, 0.5]]}, "hold no labels and probabilities"),
        ({"gt_label": [0, 1]}, "holds no rows with gt_label and soft_label"),
        ({"gt_label": [], "soft_label": []}, "holds no rows"),
    ],
)
def test_odd_weak_labels_are_told(rows: dict[str, Any], said: str, tmp_path: Path) -> None:
    here = openai_sweep(tmp_path)
    arrow(here / folder_of(made("gpt2")) / "weak_labels", rows)
    found = import_folder(here, None)
    assert len(found["imported"]["weak_labels"]) == 1
    (line,) = told(found)
    assert said in line


def test_a_cut_arrow_file_is_told(tmp_path: Path) -> None:
    here = openai_sweep(tmp_path)
    path = weak_labels(here / folder_of(made("gpt2")), [0, 1] * 500, [0.3, 0.6] * 500)
    path.write_bytes(path.read_bytes()[:2000])
    (line,) = told(import_folder(here, None))
    assert "weak_labels: holds no rows" in line


def test_the_older_script_s_files_name_neither_data_nor_seed(tmp_path: Path) -> None:
    accuracies = {"weak_acc": 0.6, "strong_acc": 0.8, "transfer_acc_xent": 0.65, "transfer_acc_logconf": 0.75}
    write_json(tmp_path / "gpt2_Qwen_Qwen-1_8B.results_summary.json", accuracies)
    write_json(tmp_path / "boolq/gpt2_gpt2-xl.results_summary.json", accuracies)
    found = import_folder(tmp_path, "older")
    cells = cells_of(found)
    assert cells["logconf", "not recorded", "gpt2", "Qwen/Qwen-1_8B", None]["pgr"] == pytest.approx(0.75)
    assert ("naive", "not recorded (boolq)", "gpt2", "gpt2-xl", None) in cells
    assert found["ceiling_rows"] == "pool"


def test_names_of_the_older_script_are_split_where_its_folders_say(tmp_path: Path) -> None:
    accuracies = {"weak_acc": 0.6, "strong_acc": 0.8, "transfer_acc_xent": 0.65}
    write_json(tmp_path / "my_small_my_large.results_summary.json", accuracies)
    with pytest.raises(InputError, match="does not say where that of the weak model ends"):
        import_folder(tmp_path, "older")
    (tmp_path / "weak_model_gt/my_small").mkdir(parents=True)
    (tmp_path / "strong_model_gt/my_large").mkdir(parents=True)
    (cell,) = import_folder(tmp_path, "older")["cells"]
    assert (cell["weak"], cell["strong"]) == ("my_small", "my_large")


# --- EleutherAI/w2s ---


def test_runs_stand_against_the_shared_floor_and_ceiling(tmp_path: Path) -> None:
    found = import_folder(eleuther_results(tmp_path / "results"), None)
    cells = cells_of(found)
    assert {name[0]: cell["pgr"] for name, cell in cells.items()} == {
        "logconf": pytest.approx(0.5),
        "naive": pytest.approx(0.4),
        "strong_to_strong (iterations 1)": pytest.approx(0.45),
    }
    cell = next(iter(cells.values()))
    assert (cell["seed"], cell["num_test"], found["metric"], found["ceiling_rows"]) == (42, 3000, "auroc", "pool")
    assert cell["metrics"]["ceiling"] == {"accuracy": 0.94, "auroc": 0.95, "num_test": 3000}
    (labels,) = found["imported"]["weak_labels"]
    assert (labels["num_rows"], labels["accuracy"]["mean"]) == (20, 0.8)
    assert told(found) == []


@pytest.mark.parametrize(
    ("seconds", "rate", "num_test"),
    [(31.4159, 95.493, 3000), (12.3456, 405.001, 5000), (3600.0, 1.389, None), (0.0, 0.0, None), (-1.0, -1.0, None)],
)
def test_test_rows_are_counted_where_time_and_rate_leave_one_number(
    seconds: float, rate: float, num_test: int | None, tmp_path: Path
) -> None:
    root = eleuther_results(tmp_path / "results")
    for path in root.rglob("results.json"):
        timed = {"eval_runtime": seconds, "eval_samples_per_second": rate}
        write_json(path, json.loads(path.read_text()) | timed)
    assert {cell["num_test"] for cell in import_folder(root, None)["cells"]} == {num_test}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": {"name": "other/model"}}, "is of other/model, and the weak model of this run is Qwen/Qwen1.5-0.5B"),
        ({"n_test": 100}, "has another n_test, so other test rows"),
        ({"transfer": True}, "and the weak model of this run"),
    ],
)
def test_a_shared_folder_that_was_not_renamed_gives_no_floor(
    changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    root = eleuther_results(tmp_path / "results")
    path = root / "shared/sciq/weak/config.json"
    write_json(path, json.loads(path.read_text()) | changes)
    found = import_folder(root, None)
    assert {cell["status"] for cell in found["cells"]} == {"no_floor"}
    assert sum(said in line for line in told(found)) == 3


def test_a_shared_folder_elsewhere_is_not_looked_at(tmp_path: Path) -> None:
    root = eleuther_results(tmp_path / "results")
    eleuther_results(tmp_path / "secret")
    for path in root.glob("*/sciq/w2s/config.json"):
        write_json(path, json.loads(path.read_text()) | {"shared_folder": "../secret/shared"})
    found = import_folder(root, None)
    assert sorted(cell["status"] for cell in found["cells"]) == ["no_ceiling", "no_ceiling", "ok"]


def test_probes_are_named_as_here(tmp_path: Path) -> None:
    root = eleuther_results(tmp_path / "results")
    strong = "meta-llama/Meta-Llama-3-8B"
    relabel: dict[str, Any] = {"probe_relabel": True, "probe_name": "logreg", "loss_name": "xent", "loss": {}}
    fit(root / "relabel/sciq/w2s", strong, 0.8, 0.86, transfer=True, **relabel)
    fit(root / "filter/sciq/w2s", strong, 0.8, 0.87, transfer=True, probe_filter=True, probe_name="topo")
    methods = {cell["method"] for cell in import_folder(root, None)["cells"]}
    assert {"clean_labels (logistic, relabel)", "clean_labels (topofilter, filter), logconf"} < methods


def test_a_student_without_its_number_is_told(tmp_path: Path) -> None:
    root = eleuther_results(tmp_path / "results")
    without = evaluated(0.8, None)
    write_json(root / "default/sciq/w2s/results.json", without)
    write_json(root / "plain/sciq/s2s-0/results.json", evaluated(0.8, float("nan")))
    found = import_folder(root, None)
    assert [cell["method"] for cell in found["cells"]] == ["naive"]
    assert sorted(line.partition(": ")[0] for line in told(found)) == [
        "default/sciq/w2s", "plain/sciq/s2s-0/results.json",
    ]  # fmt: skip


def test_results_that_were_cut_off_are_told(tmp_path: Path) -> None:
    root = eleuther_results(tmp_path / "results")
    path = root / "default/sciq/w2s/results.json"
    path.write_text(path.read_text()[:40])
    write_json(root / "strange/config.json", {"model_type": "gpt2"})
    (root / "strange/results.json").write_text("{")
    found = import_folder(root, None)
    assert len(found["cells"]) == 2
    assert told(found) == ["default/sciq/w2s/results.json: is not JSON"]


def test_labels_in_files_of_different_types_are_told(tmp_path: Path) -> None:
    root = eleuther_results(tmp_path / "results")
    labels = root / "shared/sciq/weak/predictions/train"
    (labels / "data-00000-of-00001.arrow").rename(labels / "data-00001-of-00002.arrow")
    arrow(labels, {"gt_labels": [0, 1], "soft_pred": ["0.3", "0.6"]})
    found = import_folder(root, None)
    assert found["imported"]["weak_labels"] == []
    (line,) = told(found)
    assert "shared/sciq/weak/predictions/train: its files have gt_labels and soft_pred of different types" in line


def test_a_folder_that_cannot_be_read_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = eleuther_results(tmp_path / "results")
    scandir = os.scandir

    def guarded(path: str) -> Any:  # an administrator may read everything
        if str(path).endswith("/plain"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    found = import_folder(root, None)
    assert len(found["cells"]) == 1
    assert told(found) == ["plain: the folder cannot be read (Permission denied); what is in it is left out"]


# --- both ---


def test_nothing_to_import_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a folder"):
        import_folder(tmp_path / "nowhere", None)
    with pytest.raises(InputError, match="holds no results of openai/weak-to-strong"):
        import_folder(tmp_path, None)
    gold_run(tmp_path / "gold", "gpt2", 0.6)
    with pytest.raises(InputError, match="holds no student of openai/weak-to-strong"):
        import_folder(tmp_path / "gold", None)
    eleuther_results(tmp_path / "both/results")
    openai_sweep(tmp_path / "both")
    with pytest.raises(InputError, match="one at a time"):
        import_folder(tmp_path / "both", None)


def test_an_import_replaces_an_import_and_no_study(tmp_path: Path) -> None:
    found = import_folder(openai_sweep(tmp_path), "theirs")
    folder = tmp_path / "runs/theirs"
    refuse_to_replace(folder)
    write_imported(folder, found)
    first = (folder / "results.json").read_bytes()
    refuse_to_replace(folder)
    write_imported(folder, import_folder(tmp_path / "default", "theirs"))
    assert (folder / "results.json").read_bytes() == first
    (folder / "results.json").write_text(json.dumps({"schema": 1}))
    with pytest.raises(InputError, match="--name"):
        refuse_to_replace(folder)
