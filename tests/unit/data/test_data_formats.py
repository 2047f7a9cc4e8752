"""The formats on handmade rows in the column layouts of the real datasets."""

from collections import Counter
from functools import partial

import pytest
from scipy.stats import binomtest, chisquare

from w2s_ray.core.errors import ConfigError, DataError
from w2s_ray.core.plugins import available, find
from w2s_ray.core.seeds import unit_hash
from w2s_ray.data.formats import Example, class_name, label_of

FORMATS = available("w2s_ray.formats")

SCIQ = {
    "question": "What keeps the planets near the sun?",
    "distractor3": "friction",
    "distractor1": "light",
    "distractor2": "wind",
    "correct_answer": "gravity",
    "support": "Gravity pulls.",
}
AMAZON = {"label": 1, "title": "Good kettle", "content": "It boils fast."}
HH = {
    "chosen": "\n\nHuman: Hello\n\nAssistant: Hello, how can I help?",
    "rejected": "\n\nHuman: Hello\n\nAssistant: Go away.",
}
COSMOS = {
    "id": "3Q9##1",
    "context": "We missed the bus and walked .",
    "question": "Why did they walk ?",
    "answer0": "They like rain .",
    "answer1": "None of the above choices .",
    "answer2": "The bus had left .",
    "answer3": "They were asked to .",
    "label": 2,
}
BOOLQ = {"question": "is the moon made of rock", "answer": True, "passage": "The Moon is a rocky body."}
CHOICES = {"question": "Two and two?", "choices": ["three", "four", "five"], "answer": 1}


def example(name, row, seed=0):
    fmt = FORMATS[name]()
    return fmt.example(row, partial(unit_hash, seed, "format", *fmt.content(row)))


def many(name, row, n=2000):
    return Counter(example(name, row, seed) for seed in range(n))


def test_the_built_in_formats():
    assert set(FORMATS) >= {
        "text",
        "pair",
        "choices",
        "preference",
        "amazon_polarity",
        "sciq",
        "anthropic_hh",
        "cosmos_qa",
        "boolq",
    }
    assert {
        name: FORMATS[name].test_split for name in ("amazon_polarity", "sciq", "anthropic_hh", "cosmos_qa", "boolq")
    } == {
        "amazon_polarity": "test",
        "sciq": "test",
        "anthropic_hh": "test",
        "cosmos_qa": "validation",
        "boolq": "validation",
    }
    with pytest.raises(ConfigError, match=r"did you mean 'sciq'\?"):
        find("w2s_ray.formats", "siq")


def test_text_pair_amazon_and_boolq_word_for_word():
    assert example("text", {"text": "a b", "label": "spam"}) == Example(("a b",), "spam")
    assert example("pair", {"first": "a", "second": "b", "label": 2}) == Example(("a", "b"), "2")
    assert example("amazon_polarity", AMAZON) == Example(("Good kettle It boils fast.",), "1")
    assert example("amazon_polarity", AMAZON | {"title": ""}) == Example((" It boils fast.",), "1")
    assert example("boolq", BOOLQ) == Example(
        ("Passage: The Moon is a rocky body.\nQuestion: is the moon made of rock",), "1"
    )
    assert example("boolq", BOOLQ | {"answer": "False"}).label == "0"


@pytest.mark.parametrize(
    ("name", "row", "right", "wrong"),
    [
        (
            "sciq",
            SCIQ,
            "Q: What keeps the planets near the sun? A: gravity",
            [f"Q: What keeps the planets near the sun? A: {w}" for w in ("light", "wind", "friction")],
        ),
        ("choices", CHOICES, "Q: Two and two? A: four", ["Q: Two and two? A: three", "Q: Two and two? A: five"]),
        (
            "cosmos_qa",
            COSMOS,
            "Context: We missed the bus and walked .\nQuestion: Why did they walk ?\nAnswer: The bus had left .",
            [
                "Context: We missed the bus and walked .\nQuestion: Why did they walk ?\nAnswer:"
                f" {COSMOS[f'answer{i}']}"
                for i in (0, 1, 3)
            ],
        ),
    ],
)
def test_candidates_are_right_half_of_the_time_and_else_any_wrong_one(name, row, right, wrong):
    seen = many(name, row)
    assert set(seen) == {Example((right,), "1"), *(Example((w,), "0") for w in wrong)}
    assert binomtest(seen[Example((right,), "1")], 2000).pvalue > 1e-3
    assert chisquare([seen[Example((w,), "0")] for w in wrong]).pvalue > 1e-3


def test_cosmos_qa_never_shows_none_of_the_above_as_right():
    seen = many("cosmos_qa", COSMOS | {"label": 1}, 200)
    assert {shown.label for shown in seen} == {"0"}
    assert {shown.inputs[0].split("Answer: ")[1] for shown in seen} == {
        COSMOS["answer0"],
        COSMOS["answer2"],
        COSMOS["answer3"],
    }


def test_cosmos_qa_content_leaves_the_answer_out():
    fmt = FORMATS["cosmos_qa"]()
    assert fmt.content(COSMOS) == fmt.content(COSMOS | {"label": 0})


def test_hh_shows_one_text_and_preference_shows_two():
    for shown, count in many("anthropic_hh", HH).items():
        assert shown == Example((HH["chosen"],), "1") or shown == Example((HH["rejected"],), "0")
        assert binomtest(count, 2000).pvalue > 1e-3
    for shown, count in many("preference", HH).items():
        assert set(shown.inputs) == set(HH.values()) and shown.inputs[int(shown.label)] == HH["chosen"]
        assert binomtest(count, 2000).pvalue > 1e-3
    same = {"chosen": "a", "rejected": "a"}
    assert example("preference", same) is None and example("anthropic_hh", same) is None


@pytest.mark.parametrize("name", ["preference", "anthropic_hh"])
def test_swapping_the_preference_changes_the_label_alone(name):
    swapped = {"chosen": HH["rejected"], "rejected": HH["chosen"]}
    for seed in range(20):
        before, after = example(name, HH, seed), example(name, swapped, seed)
        assert before.inputs == after.inputs and {before.label, after.label} == {"0", "1"}


@pytest.mark.parametrize("answer", [1, "1", "B", "four", 1.0])
def test_answers_by_index_letter_or_text(answer):
    if answer == 1.0 and isinstance(answer, float):
        with pytest.raises(DataError, match="neither an index"):
            example("choices", CHOICES | {"answer": answer})
        return
    assert many("choices", CHOICES | {"answer": answer}, 50) == many("choices", CHOICES, 50)


def test_answers_that_could_be_two_or_none():
    with pytest.raises(DataError, match="could be an index or a text"):
        example("choices", {"question": "How many?", "choices": ["2", "1", "0"], "answer": "2"})
    assert example("choices", {"question": "How many?", "choices": ["0", "1", "2"], "answer": "2"}) is not None
    assert {e.label for e in many("choices", {"question": "How many?", "choices": [2, 1, 0], "answer": 2}, 30)} == {
        "0",
        "1",
    }
    with pytest.raises(DataError, match=r"did you mean 'four'\?"):
        example("choices", CHOICES | {"answer": "fuor"})
    with pytest.raises(DataError, match="list of two texts or more"):
        example("choices", CHOICES | {"choices": ["one"]})
    arc = {
        "question": "Two and two?",
        "choices": {"text": ["three", "four", "five"], "label": ["A", "B", "C"]},
        "answer": "B",
    }
    assert many("choices", arc, 50) == many("choices", CHOICES, 50)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (1, "1"),
        (1.0, "1"),
        ("1", "1"),
        ("1.0", "1"),
        (" 1 ", "1"),
        (True, "true"),
        ("True", "true"),
        ("spam", "spam"),
        (-1, "-1"),
        ("-1.0", "-1"),
        (None, ""),
    ],
)
def test_a_class_is_spelled_alike_in_every_file_type(value, name):
    assert class_name(value) == name


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.7, "not a probability"),
        ("0.25", "not a probability"),
        ([0, 1], "not a probability"),
        (float("nan"), "not a probability"),
        (None, "no label"),
        ("", "no label"),
    ],
)
def test_gold_labels_are_classes(value, words):
    with pytest.raises(DataError, match=words):
        label_of({"label": value})


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "empty text"),
        (" \n", "empty text"),
        (None, "holds nothing"),
        (3, "holds 3, not a text"),
        ("half \ud83d", "half a character"),
    ],
)
def test_texts_are_texts(value, words):
    with pytest.raises(DataError, match=words):
        example("text", {"text": value, "label": 0})
