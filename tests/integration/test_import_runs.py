"""`w2s import` as a user calls it."""

from __future__ import annotations

from foreign_folders import eleuther_results, gold_run, openai_sweep, student
from integration.face import Face


def test_a_sweep_becomes_a_study_that_the_other_commands_know(face: Face) -> None:
    openai_sweep(face.folder)
    ended = face.w2s("import", "default")
    assert ended.code == 0, ended.err
    assert ended.err == ""
    said = "without intervals, imported from openai/weak-to-strong. 8 cells (4 without a gap)."
    assert said in " ".join(ended.out.split())
    assert {path.name for path in (face.folder / "runs/default").iterdir()} == {
        "results.json", "report.md", "report.html", "gap.svg", "sweep.csv", "sweep.svg", ".report-files",
    }  # fmt: skip
    report = face.w2s("report", "default")
    assert report.out == (face.folder / "runs/default/report.md").read_text()
    assert face.w2s("status").out.splitlines()[1].split()[:3] == ["default", "8", "4"]


def test_what_is_odd_is_told_in_lines_and_kept(face: Face) -> None:
    for number in range(25):
        run = gold_run(face.folder / "default", "gpt2", 0.5, seed=number + 10)
        (run / "results_summary.json").write_text("oops")
    openai_sweep(face.folder)
    student(face.folder / "default", "gpt2", "gpt2-large", 0.7)
    ended = face.w2s("import", "default", "--name", "theirs")
    assert ended.code == 0
    lines = ended.err.splitlines()
    assert len(lines) == 21
    assert all(line.startswith("odd ") for line in lines[:20])
    assert lines[20] == "and 6 more, which the page lists"
    assert len(face.results("theirs")["imported"]["told"]) == 26


def test_the_other_code_s_folder_is_read_too_and_imported_again(face: Face) -> None:
    eleuther_results(face.folder / "results")
    for _ in range(2):
        ended = face.w2s("import", "results", "--name", "eleuther", "--runs", "elsewhere")
        assert ended.code == 0, ended.err
    assert "strong_to_strong (iterations 1)" in ended.out


def test_mistakes_are_refused_in_a_line(face: Face) -> None:
    openai_sweep(face.folder)
    assert "--name: '../up' must be letters" in face.w2s("import", "default", "--name", "../up").refusal
    assert "nowhere is not a folder" in face.w2s("import", "nowhere").refusal
    (face.folder / "runs/default").mkdir(parents=True)
    (face.folder / "runs/default/results.json").write_text('{"schema": 1}')
    assert "give the import another name with --name" in face.w2s("import", "default").refusal
