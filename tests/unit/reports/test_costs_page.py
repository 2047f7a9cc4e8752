"""Device time by method and role, and what was lost."""

from __future__ import annotations

from w2s_ray.reports.markdown import report


def loss(cause: str, seconds: float, **more: object) -> dict[str, object]:
    return {"key": "train/x-ab", "cause": cause, "detail": "it died", "seconds": seconds, "at": "then"} | more


def costs(**more: object) -> dict[str, object]:
    return {
        "rows": [
            {"method": "naive", "role": "weak", "steps": 3, "CPU": 90.0, "GPU": 0.0},
            {"method": "naive", "role": "strong", "steps": 2, "CPU": 60.0, "GPU": 7200.0},
        ],
        "total": {"CPU": 150.0, "GPU": 7200.0},
        "drivers": 2,
        "there": {"CPU": 1000.0, "GPU": 14400.0},
        "busy": {"CPU": 250.0, "GPU": 7200.0},
        "lost": {"CPU": 0.0, "GPU": 60.0},
    } | more


def section(results: dict[str, object]) -> list[str]:
    page = report(results)
    return page.partition("## What it cost")[2].partition("\n## ")[0].strip().splitlines() if "cost" in page else []


def test_time_is_told_by_method_and_role(results) -> None:
    assert section(results) == [], "results of an older version have none"
    assert section({**results, "costs": costs()}) == [
        "| method | role | steps | CPU time | GPU time |",
        "| --- | --- | ---: | ---: | ---: |",
        "| naive | weak | 3 | 1 min 30 s | 0.0 s |",
        "| naive | strong | 2 | 1 min 0 s | 2 h 0 min |",
        "",
        "Made once, for whichever run: 2 min 30 s of CPUs and 2 h 0 min of GPUs in all. Methods share steps, so the"
        " rows add up to more.",
        "",
        "Devices of the 2 drivers that worked on this study, while they did. CPUs: 16 min 40 s there, 25.0 % of it at"
        " work, 0.0 s of that lost; GPUs: 4 h 0 min there, 50.0 % of it at work, 1 min 0 s of that lost."
        " Each counts the whole cluster, also where two worked at once.",
    ]


def test_what_was_lost_is_counted_by_cause_and_the_last_are_shown(results) -> None:
    killed = [{"driver": "ab", "began": "in the morning", "running": ["train/y-cd"]}]
    losses = [loss("node", 30.0), loss("process", 5.0), loss("node", 60.0, key="train/z-ef")]
    causes = [{"cause": "node", "times": 2, "seconds": 90.0}, {"cause": "process", "times": 1, "seconds": 5.0}]
    more = {"killed_drivers": killed, "losses": losses, "causes": causes, "more_losses": 7}
    lines = section({**results, "costs": costs(**more)})
    assert "- a driver that began in the morning ended without a word; under way: train/y-cd" in lines
    assert lines[lines.index("| cause | times | process time |") + 2 :][:3] == [
        "| node | 2 | 1 min 30 s |",
        "| process | 1 | 5.0 s |",
        "| more, not listed | 7 | – |",
    ]
    assert lines[-1] == "- then `train/z-ef`: node, after 1 min 0 s: it died"


def test_a_study_on_cpus_says_nothing_of_gpus(results) -> None:
    nothing = {"CPU": 0.0, "GPU": 0.0}
    on_cpus = costs(total={"CPU": 9.0, "GPU": 0.0}, there=nothing, busy=nothing, lost=nothing, drivers=0)
    lines = section({**results, "costs": on_cpus})
    assert not any("GPU" in line or "Devices of" in line for line in lines)
