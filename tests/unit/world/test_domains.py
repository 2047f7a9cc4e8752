"""`sources` and `shift`: what is said of each origin, counted in its texts."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from world_reading import Word, kind_of, near, of_sort, read, rows

from w2s_ray.data.sources import open_source
from w2s_ray.world.lexicon import FIRST_FUNCTION, FIRST_HARD

N = 6000
CUES = (FIRST_FUNCTION + 98, FIRST_FUNCTION + 99)  # of the classes 0 and 1


# ---- sources


@pytest.mark.parametrize(
    ("name", "overlaps", "hard_of_rest"),
    [
        ("sources", {"source-0": 0, "source-0.15": 0.15, "source-0.35": 0.35, "source-0.6": 0.6}, 0.35 / 0.65),
        ("sources?overlaps=[0.2,1]&hard=0.6&overlap=0", {"source-0.2": 0.2, "source-1": 1}, 0.6),
        (
            "sources?overlaps=[0,0.5,0.25]&hard=0&overlap=1",
            {"source-0": 0, "source-0.5": 0.5, "source-0.25": 0.25},
            0.5,
        ),
    ],
)
def test_each_source_has_the_overlap_in_its_name(name: str, overlaps: dict[str, float], hard_of_rest: float) -> None:
    kinds: dict[str, Counter[str]] = {source: Counter() for source in overlaps}
    for row in rows(name, N):
        words = read(row["text"])
        assert row["kind"] == kind_of(words)
        kinds[row["source"]][kind_of(words)] += 1
    for source, overlap in overlaps.items():
        total = kinds[source].total()
        assert near(total, N, 1 / len(overlaps)), source
        assert near(kinds[source]["overlap"], total, overlap), source
        assert near(kinds[source]["hard"], total, round((1 - overlap) * hard_of_rest, 12)), source


def test_sources_are_alike_in_all_but_overlap() -> None:
    right, labels, total = Counter(), Counter(), Counter()
    for row in rows("sources", N):
        labels[row["source"], "all"] += row["label"]
        total[row["source"], "all"] += 1
        for word in of_sort(read(row["text"]), "easy", "hard"):
            right[row["source"], word.sort] += word.class_of(2) == row["label"]
            total[row["source"], word.sort] += 1
    assert len(total) == 12
    for (source, sort), count in total.items():
        assert near(
            (labels if sort == "all" else right)[source, sort], count, {"all": 0.5, "easy": 0.85, "hard": 0.975}[sort]
        ), (source, sort)


@pytest.mark.parametrize("name", ["sources", "shift?domain=rare"])
def test_the_origin_is_a_column_that_methods_see_and_the_kind_is_a_slice(name: str, tmp_path: Path) -> None:
    assert dict(open_source(f"world:{name}", tmp_path).columns) == {"slice": "kind", "source": "source"}
    assert dict(open_source("world:topic", tmp_path).columns) == {"slice": "kind"}


# ---- shift

HOME = {"words": 16, "rare": 0, "cue": 0.9, "skew": 0.5, "easy": 0.85, "hard": 0.975}
ELSEWHERE = {
    "home": {},
    "rare": {"rare": 1, "cue": 0.5},
    "noisy": {"easy": 0.75, "cue": 0.5},
    "long": {"words": 32, "cue": 0.5},
    "skew": {"skew": 0.8, "cue": 0.5},
    "cue": {"cue": 0.1},
}


@cache
def seen(domain: str) -> list[tuple[list[Word], int]]:
    found = rows(f"shift?domain={domain}", N)
    assert {row["source"] for row in found} == {domain}
    assert all(row["kind"] == kind_of(read(row["text"])) for row in found)
    return [(read(row["text"]), row["label"]) for row in found]


def is_rare(word: Word) -> bool:
    """In the second half of its topic's words."""
    return (word.number - FIRST_HARD) % 330 >= 165


@pytest.mark.parametrize("domain", ELSEWHERE)
def test_a_domain_differs_from_home_in_what_its_name_says_and_in_nothing_else(domain: str) -> None:
    """Away from home the cue has no meaning, and in `cue` it has the opposite one."""
    expected = HOME | ELSEWHERE[domain]
    found = seen(domain)
    kinds = Counter(kind_of(words) for words, _ in found)
    assert all(near(kinds[kind], N, share) for kind, share in {"easy": 0.3, "hard": 0.35, "overlap": 0.35}.items())
    assert {len(words) for words, _ in found} == {expected["words"]}
    assert {len(of_sort(words, "easy", "hard")) for words, _ in found} == {4}
    assert near(sum(label == 0 for _, label in found), N, expected["skew"])

    said = [(word, label) for words, label in found for word in of_sort(words, "easy", "hard")]
    for sort in ("easy", "hard"):
        right = [word.class_of(2) == label for word, label in said if word.sort == sort]
        if domain == "skew":  # a false word is of either class alike, whatever the row's
            assert near(sum(right), len(right), HOME[sort]), sort
        else:
            assert near(sum(right), len(right), expected[sort]), sort
    assert {is_rare(word) for word, _ in said if word.sort == "hard"} == {bool(expected["rare"])}

    # Cues are function words too and may stand in a row by chance: rows with one of them alone have it for the cue.
    cued = [([word.number for word in words if word.number in CUES], label) for words, label in found]
    assert all(cues for cues, _ in cued), "each row has a cue"
    alone = [cues[0] == CUES[label] for cues, label in cued if len(cues) == 1]
    assert len(alone) > 0.8 * N
    assert near(sum(alone), len(alone), expected["cue"])


def test_rare_words_are_never_met_at_home() -> None:
    home, rare = (
        {word.number for words, _ in seen(domain) for word in of_sort(words, "hard")} for domain in ("home", "rare")
    )
    assert not home & rare
    assert len(home) > 0.9 * 20 * 165 < len(rare) / 0.9


def test_the_skew_is_within_classes_even() -> None:
    """With five classes the first has four topics of twenty; the others share what is left."""
    labels = Counter(row["label"] for row in rows("shift?domain=skew&classes=5", N))
    assert all(near(labels[label], N, 0.8 if label == 0 else 0.05) for label in range(5))
