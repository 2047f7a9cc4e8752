"""`qa` and `debate`: who reads the passage alone can check every argument."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from typing import Any

import pytest
from world_reading import DICTIONARY, INDEX, kind_of, near, of_sort, read, rows

from w2s_ray.world.lexicon import FIRST_NAME, vocabulary

N = 3000
TOPIC_OF = {vocabulary()[FIRST_NAME + topic]: topic for topic in range(20)}


@cache
def seen(name: str) -> list[Any]:
    return rows(name, N)


def quotes_of(argument: str, name: str) -> list[str]:
    """The quoted words of `W says NAME W says NAME so NAME`."""
    *pairs, last = re.split(rf" says {name} ", argument) if f" says {name} " in argument else [argument]
    assert last == f"so {name}", argument
    return pairs


def speaking(passage: str, name: str) -> set[str]:
    """The words of a passage that may speak for a name's topic."""
    return {word for word in passage.split() if TOPIC_OF[name] in DICTIONARY[INDEX[word]].topics}


@pytest.mark.parametrize("choices", [2, 4, 19, 20])
def test_the_answer_is_at_a_random_place_among_different_wrong_names(choices: int) -> None:
    places, wrong, answers = Counter(), Counter(), Counter()
    for row in seen(f"qa?choices={choices}"):
        assert len(set(row["choices"])) == len(row["choices"]) == len(row["arguments"]) == choices
        assert set(row["choices"]) <= set(TOPIC_OF)
        places[row["choices"].index(row["answer"])] += 1
        answers[row["answer"]] += 1
        wrong.update(
            (TOPIC_OF[name] - TOPIC_OF[row["answer"]]) % 20 for name in row["choices"] if name != row["answer"]
        )
    assert all(near(places[place], N, 1 / choices) for place in range(choices))
    assert all(near(answers[name], N, 1 / 20) for name in TOPIC_OF)
    assert all(near(wrong[step], N, (choices - 1) / 19) for step in range(1, 20)), (
        "each wrong name is as likely as any other"
    )


def test_a_passage_is_about_its_answer() -> None:
    right, total, kinds = Counter(), Counter(), Counter()
    for row in seen("qa"):
        words = read(row["question"])
        assert len(words) == 16
        assert row["kind"] == kind_of(words)
        assert not of_sort(words, "name", "grammar"), "a passage does not name its topic"
        kinds[row["kind"]] += 1
        for word in of_sort(words, "easy", "hard"):
            right[word.sort] += TOPIC_OF[row["answer"]] in word.topics
            total[word.sort] += 1
    assert near(right["easy"], total["easy"], 0.7 + 0.3 / 10), "a random field is the right one in ten"
    assert near(right["hard"], total["hard"], 0.95 + 0.05 / 20)
    assert all(near(kinds[kind], N, share) for kind, share in {"easy": 0.3, "hard": 0.35, "overlap": 0.35}.items())


@pytest.mark.parametrize("name", ["qa", "qa?form=negation", "qa?form=contrast&signal=8", "qa?choices=19"])
def test_an_honest_argument_quotes_all_words_of_the_passage_that_speak_for_it_and_no_other(name: str) -> None:
    told = Counter()
    for row in seen(name):
        for choice, argument in zip(row["choices"], row["arguments"], strict=True):
            quoted = quotes_of(argument, choice)
            assert len(set(quoted)) == len(quoted)
            assert set(quoted) == speaking(row["question"], choice)
            told[len(quoted)] += 1
    assert len(told) >= 4, "arguments differ in how much there is to say"


def test_who_counts_quotes_judges_well_without_knowing_a_word() -> None:
    right = 0.0
    for row in seen("qa"):
        counts = [argument.count(" says ") for argument in row["arguments"]]
        best = [name for name, count in zip(row["choices"], counts, strict=True) if count == max(counts)]
        right += (row["answer"] in best) / len(best)
    assert right / N > 0.9


@pytest.mark.parametrize("knobs", ["", "&form=negation", "&hard_true=0.2", "&hard_share=[0,0.02]"])
def test_a_lie_quotes_only_words_that_the_passage_does_not_hold(knobs: str) -> None:
    lied, wrong = 0, 0
    for row in seen(f"qa?lies=1{knobs}"):
        passage = set(row["question"].split())
        for choice, argument in zip(row["choices"], row["arguments"], strict=True):
            quoted = quotes_of(argument, choice)
            if choice == row["answer"]:
                assert set(quoted) == speaking(row["question"], choice), "the truth needs no lie"
                continue
            wrong += 1
            lied += bool(quoted)
            assert not passage & set(quoted), (row["question"], argument)
            assert all(DICTIONARY[INDEX[word]].topics == (TOPIC_OF[choice],) for word in quoted)
            assert 1 <= len(quoted) <= 4
    assert lied == wrong == 3 * N


def test_as_many_wrong_answers_lie_as_asked() -> None:
    lied = 0
    for row in seen("qa?lies=0.3"):
        for choice, argument in zip(row["choices"], row["arguments"], strict=True):
            quoted = set(quotes_of(argument, choice))
            lied += bool(quoted) and not quoted & set(row["question"].split())
    assert near(lied, 3 * N, 0.3)


def test_lies_change_nothing_but_the_arguments_of_wrong_answers() -> None:
    for honest, lying in zip(seen("qa"), seen("qa?lies=1"), strict=True):
        assert [honest[key] for key in ("choices", "answer", "kind")] == [
            lying[key] for key in ("choices", "answer", "kind")
        ]
        assert sorted(honest["question"].split()) == sorted(lying["question"].split())


@pytest.mark.parametrize("name", ["debate", "debate?lies=1", "debate?arguments=false"])
def test_a_debate_lays_out_both_sides_and_its_label_is_the_side_of_the_truth(name: str) -> None:
    labels: Counter[int] = Counter()
    kept = Counter()
    for row in seen(name):
        found = re.fullmatch(r"Q: (.+) A: (.+) \. A: (.+) \.", row["text"])
        assert found is not None
        passage, *sides = found.groups()
        labels[row["label"]] += 1
        names = [side.split()[-1] for side in sides]
        assert len(set(names)) == 2
        assert row["kind"] == kind_of(read(passage))
        if name == "debate?arguments=false":
            assert sides == names
            continue
        for side, choice in zip(sides, names, strict=True):
            quoted = set(quotes_of(side, choice))
            if name == "debate" or choice == names[row["label"]]:
                assert quoted == speaking(passage, choice)
            else:
                assert quoted
                assert not quoted & set(passage.split())
        # The label is found again without the generator: the side with more of the passage's words.
        counts = [len(speaking(passage, choice)) for choice in names]
        if counts[0] != counts[1] and row["kind"] != "easy":
            kept[counts[1] > counts[0], row["label"]] += 1
    assert near(labels[1], N, 0.5)
    assert sum(labels.values()) == N
    assert not kept or kept[True, 1] + kept[False, 0] > 0.98 * kept.total()
    assert bool(kept) == (name != "debate?arguments=false")
