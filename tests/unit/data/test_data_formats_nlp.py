"""The formats of the field's NLP datasets on handmade rows in the column layouts of the real ones, and what holds for
every format."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from row_files import made

from w2s_ray.config.task import TaskSpec
from w2s_ray.core.errors import DataError
from w2s_ray.core.plugins import available, type_name
from w2s_ray.core.seeds import unit_hash
from w2s_ray.data import hub
from w2s_ray.data.catalogue import BURNS22, describe
from w2s_ray.data.formats import Example, draws
from w2s_ray.data.prepare import format_of, prepare

FORMATS = available("w2s_ray.formats")
COMMIT = "0" * 40

Raw = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """A row, what is asked about it, and what to change in it.

    `right` is every text that is shown with label 1, `wrong` with label 0; `flipped` changes the gold label alone;
    `bad` are changes that are refused.
    """

    row: Raw
    right: tuple[str, ...]
    wrong: tuple[str, ...]
    flipped: Raw
    bad: tuple[tuple[Raw, str], ...] = ()
    names: Raw = field(default_factory=dict)  # other spellings of the same gold label


def statement(row: Raw, text: str, *, yes: object = 1, no: object = 0, **others: Any) -> Case:
    """The text is the same whatever the label: `row` has the right one."""
    bad = (
        ({"label": -1}, "holds '-1'; it must be one of"),
        ({"label": None}, "no label"),
        ({next(iter(row)): " "}, "empty text"),
    )
    return Case(row | {"label": yes}, (text,), (), {"label": no}, bad, **others)


def question(row: Raw, text: str, right: str, wrong: tuple[str, ...], flipped: Raw, *bad: tuple[Raw, str]) -> Case:
    """`text` has a place for the candidate."""
    return Case(row, (text.format(right),), tuple(text.format(option) for option in wrong), flipped, bad)


SCIQ = {
    "question": "What pulls?",
    "distractor1": "light",
    "distractor2": "wind",
    "distractor3": "heat",
    "correct_answer": "gravity",
    "support": "Gravity pulls.",
}
LETTERS = {"label": ["A", "B", "C", "D"], "text": ["a spoon", "a kite", "a magnet", "a cup"]}
ENDINGS = ["sits.", "sings.", "leaves.", "sleeps."]
STOVE = "I put the cold pan on the stove."
STOVE_NOT = "I put my hand on the stove."

CASES = {
    "anli_r2": statement(
        {"premise": "It rained all day.", "hypothesis": "It was wet.", "uid": "u1", "reason": "rain is wet"},
        "Premise: It rained all day.\nHypothesis: It was wet.\n\nDoes the premise entail the hypothesis?",
        yes=0,
        no=2,
        names={"label": "entailment"},
    ),
    "cola": statement({"sentence": "The cat sat.", "idx": 3}, "The cat sat."),
    "ethics_deontology": statement(
        {"scenario": "Could you walk the dog?", "excuse": "No, it is asleep."},
        "Q: Is the following a morally valid excuse?\n\nCould you walk the dog?\n\nNo, it is asleep.\n\nA:",
    ),
    "ethics_justice": statement(
        {"scenario": "I paid for what I took."},
        "Q: Does this statement exemplify justice?\n\nI paid for what I took.\n\nA:",
    ),
    "ethics_virtue": statement(
        {"scenario": "Ann shared her lunch. [SEP] generous"},
        "Q: Does this behavior match the adjective that follows?\n\nAnn shared her lunch. [SEP] generous\n\nA:",
    ),
    "mc_taco": statement(
        {"sentence": "He ate lunch.", "question": "How long did it take?", "answer": "20 minutes", "category": 1},
        "He ate lunch.\n\nGiven the above, How long did it take? Is the answer 20 minutes?",
        names={"label": "yes"},
    ),
    "multirc": statement(
        {
            "paragraph": "Ann has a dog.",
            "question": "Who has a dog?",
            "answer": "Ann",
            "idx": {"paragraph": 0, "question": 0, "answer": 0},
        },
        'Passage:\n\nAnn has a dog.\n\nQ: "Who has a dog?" Is the answer "Ann"?',
    ),
    "paws": statement(
        {"sentence1": "Ann beat Bob.", "sentence2": "Bob lost to Ann.", "id": 1},
        "Sent 1: Ann beat Bob.\nSent 2: Bob lost to Ann.\n\nQ: Are these sentences semantically equivalent?",
    ),
    "sst2": statement({"sentence": "a fine film", "idx": 1}, "a fine film"),
    "twitter_sentiment": statement({"text": "what a day {really} :)"}, "what a day {really} :)"),
    "wic": statement(
        {
            "word": "bank",
            "sentence1": "The bank closed.",
            "sentence2": "He runs a bank.",
            "start1": 4,
            "start2": 10,
            "end1": 8,
            "end2": 14,
        },
        'Sentence 1:\nThe bank closed.\n\nSentence 2:\nHe runs a bank.\n\nQ: Does "bank" have the same meaning in the'
        " above sentences?",
        yes=True,
        no=False,
    ),
    "dream": question(
        {
            "dialogue": ["W: Late again?", "M: The bus broke down."],
            "question": "Why is he late?",
            "choice": ["rain", "the bus", "sleep"],
            "answer": "the bus",
        },
        "W: Late again?\nM: The bus broke down.\n\nQ: Why is he late? A: {}",
        "the bus",
        ("rain", "sleep"),
        {"answer": "rain"},
        ({"answer": "snow"}, "'answer' holds 'snow'; it must be one of 'rain'"),
        ({"choice": ["the bus"]}, "list of two texts or more"),
        ({"dialogue": []}, "not a text"),
        ({"dialogue": ["W: Hi", ""]}, "empty text"),
    ),
    "hellaswag": question(
        {
            "ctx": "A man stands up. He",
            "endings": ENDINGS,
            "label": "2",
            "source_id": "film~1",
            "ind": 4,
            "activity_label": "Standing",
        },
        f'Context:\nA man stands up. He\n\nContinuations:\n\n{chr(10).join(ENDINGS)}\n\nQ: Is "{{}}" the best'
        " continuation?",
        "leaves.",
        ("sits.", "sings.", "sleeps."),
        {"label": "0"},
        ({"label": ""}, "no label"),
        ({"label": "4"}, "'label' holds '4'; it must be one of '0', '1', '2', '3'"),
        ({"endings": ENDINGS[:3]}, "list of 4 texts"),
    ),
    "openbookqa": question(
        {"id": "7-9", "question_stem": "What draws iron?", "choices": LETTERS, "answerKey": "C"},
        "Q: What draws iron?\n\nChoices:\na spoon\na kite\na magnet\na cup\n\nAnswer: {}",
        "a magnet",
        ("a spoon", "a kite", "a cup"),
        {"answerKey": "A"},
        ({"answerKey": "E"}, "it must be one of 'A', 'B', 'C', 'D'"),
        ({"choices": LETTERS | {"label": ["A"]}}, "each with its name"),
        ({"choices": {"text": LETTERS["text"]}}, "each with its name"),
    ),
    "piqa": question(
        {"goal": "Cool the soup.", "sol1": "Heat it.", "sol2": "Stir it.", "label": 1},
        "Q: Cool the soup. A: {}",
        "Stir it.",
        ("Heat it.",),
        {"label": 0},
        ({"label": -1}, "it must be one of '0', '1'"),
        ({"sol1": "Stir it."}, "no wrong answer differs"),
    ),
    "quail": question(
        {
            "id": "f1_0",
            "context": "Ann left at dawn.",
            "question": "When?",
            "answers": ["noon", "dawn", "night", "not enough information"],
            "correct_answer_id": 1,
        },
        'Passage:\n\nAnn left at dawn.\n\nQ: "When?" Is the answer "{}"?',
        "dawn",
        ("noon", "night", "not enough information"),
        {"correct_answer_id": 3},
        ({"correct_answer_id": 9}, "'correct_answer_id' holds '9'"),
        ({"answers": "noon"}, "list of 4 texts"),
    ),
    "quartz": question(
        {
            "para": "Warm air rises.",
            "question": "Hot air goes",
            "choices": {"text": ["up", "down"], "label": ["A", "B"]},
            "answerKey": "A",
            "para_anno": {},
        },
        'Passage:\nWarm air rises.\n\nQ: "Hot air goes" Is the answer "{}"?',
        "up",
        ("down",),
        {"answerKey": "B"},
        ({"answerKey": None}, "no label"),
    ),
    "social_i_qa": question(
        {
            "context": "Bo lost a ring.",
            "question": "How does Bo feel?",
            "answerA": "glad",
            "answerB": "sad",
            "answerC": "bored",
            "label": "2",
        },
        'Context:\nBo lost a ring.\n\nQuestion: "How does Bo feel?"\n\nChoices:\nglad\nsad\nbored\n\nIs the answer'
        ' "{}"?',
        "sad",
        ("glad", "bored"),
        {"label": "1"},
        ({"label": "0"}, "it must be one of '1', '2', '3'"),
        ({"answerB": None}, "holds nothing"),
    ),
    "sciq_with_support": question(
        SCIQ,
        'Name: Bob\n\nPassage 1:\nGravity pulls.\n\nQ1: "What pulls?" Is the answer "{}"?',
        "gravity",
        ("light", "wind", "heat"),
        {"correct_answer": "wind", "distractor2": "gravity"},
        ({"correct_answer": ""}, "empty text"),
    ),
    "ethics_utilitarianism": Case(
        {"baseline": STOVE, "less_pleasant": STOVE_NOT},
        tuple(
            f"Which is more pleasant?\n1) {one}\n2) {two} A: {n}"
            for one, two, n in ((STOVE, STOVE_NOT, 1), (STOVE_NOT, STOVE, 2))
        ),
        tuple(
            f"Which is more pleasant?\n1) {one}\n2) {two} A: {n}"
            for one, two, n in ((STOVE, STOVE_NOT, 2), (STOVE_NOT, STOVE, 1))
        ),
        {"baseline": STOVE_NOT, "less_pleasant": STOVE},
        (({"baseline": 3}, "not a text"),),
    ),
}

# The formats that other tests look at word for word: here only a row and a change of its gold label.
OTHERS: dict[str, tuple[Raw, Raw]] = {
    "text": ({"text": "a", "label": 0}, {"label": 1}),
    "pair": ({"first": "a", "second": "b", "label": 0}, {"label": 1}),
    "choices": ({"question": "a?", "choices": ["b", "c"], "answer": 0}, {"answer": 1}),
    "preference": ({"chosen": "a", "rejected": "b"}, {"chosen": "b", "rejected": "a"}),
    "anthropic_hh": ({"chosen": "a", "rejected": "b"}, {"chosen": "b", "rejected": "a"}),
    "amazon_polarity": ({"title": "a", "content": "b", "label": 0}, {"label": 1}),
    "boolq": ({"passage": "a", "question": "b", "answer": True}, {"answer": False}),
    "cosmos_qa": (
        {"context": "a", "question": "b", "label": 0} | {f"answer{i}": f"c{i}" for i in range(4)},
        {"label": 1},
    ),
}
GOLD = {name: (case.row, case.flipped) for name, case in CASES.items()} | OTHERS


def example(name: str, row: Raw, seed: int = 0) -> Example | None:
    fmt = FORMATS[name]()
    return fmt.example(row, partial(unit_hash, seed, "format", *fmt.content(row)))


def seen(name: str, row: Raw) -> set[Example | None]:
    return {example(name, row, seed) for seed in range(60)}


@pytest.mark.parametrize("name", CASES)
def test_every_text_and_label_word_for_word(name: str) -> None:
    case = CASES[name]
    assert seen(name, case.row) == {Example((text,), "1") for text in case.right} | {
        Example((text,), "0") for text in case.wrong
    }
    if not case.wrong:  # a statement
        assert seen(name, case.row | case.flipped) == {Example((text,), "0") for text in case.right}
    if case.names:
        assert seen(name, case.row | case.names) == seen(name, case.row)


@pytest.mark.parametrize("name", [name for name in GOLD if FORMATS[name].kind in ("text", "pair")])
def test_a_format_says_whether_chance_decides_what_a_row_shows(name: str) -> None:
    assert (len(seen(name, GOLD[name][0])) > 1) is draws(FORMATS[name]())


@pytest.mark.parametrize(
    ("name", "change", "words"), [(name, *bad) for name, case in CASES.items() for bad in case.bad]
)
def test_bad_rows_are_refused_in_one_line(name: str, change: Raw, words: str) -> None:
    with pytest.raises(DataError) as refused:
        for seed in range(9):  # the coin may not ask for the wrong answer that is missing
            example(name, CASES[name].row | change, seed)
    assert words in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("name", GOLD)
def test_content_does_not_change_with_the_gold_label(name: str) -> None:
    row, flipped = GOLD[name]
    fmt = FORMATS[name]()
    assert fmt.content(row) == fmt.content(row | flipped)
    labels = [[getattr(example(name, r, seed), "label", None) for seed in range(60)] for r in (row, row | flipped)]
    shown = [[getattr(example(name, r, seed), "inputs", None) for seed in range(60)] for r in (row, row | flipped)]
    assert labels[0] != labels[1] or shown[0] != shown[1], "the change is one of the gold label"


def test_every_format_but_sciq_is_looked_at() -> None:
    # sciq's content holds the right answer in its place, before the wrong ones; sorting them now would give its rows
    # other ids and splits.
    generic = {"choice", "question", "generation"}  # tests/integration/test_kinds.py and test_data_formats.py
    assert {name for name, fmt in FORMATS.items() if fmt.__module__.startswith("w2s_ray.")} - generic == {*GOLD, "sciq"}


def test_what_has_nothing_to_ask_is_skipped() -> None:
    assert {example("sciq_with_support", SCIQ | {"support": support}) for support in ("", "  ", None)} == {None}
    assert example("ethics_utilitarianism", {"baseline": "a", "less_pleasant": "a"}) is None


def test_turning_a_pair_over_changes_the_label_alone() -> None:
    case = CASES["ethics_utilitarianism"]
    for seed in range(20):
        before, after = (example("ethics_utilitarianism", row, seed) for row in (case.row, case.flipped))
        assert before is not None and after is not None
        assert before.inputs == after.inputs and {before.label, after.label} == {"0", "1"}


# ---- splits


def marked(value: Any, before: str = "", after: str = "") -> Any:
    """A text, a list of texts or `{"text": […]}` with something at its start or end."""
    if isinstance(value, dict):
        return value | {"text": marked(value["text"], before, after)}
    if isinstance(value, list):
        value = [before + value[0], *value[1:]]
        return [*value[:-1], value[-1] + after]
    return f"{before}{value}{after}"


@pytest.mark.parametrize("name", [name for name in CASES if FORMATS[name].group])
def test_rows_that_share_a_passage_stay_together(name: str, tmp_path: Path) -> None:
    fmt, case = FORMATS[name], CASES[name]
    asked = [column for column in fmt.columns if f"{{{column}}}" in fmt.asks and column != fmt.group]
    other = next(iter([*asked, *getattr(fmt, "options", ()), fmt.group]))
    rows = []
    for i in range(160):
        row = case.row | {"number": i} | (case.flipped if i % 2 and not case.wrong else {})
        row[fmt.group] = marked(row[fmt.group], before=f"{i // 4}. ")
        row[other] = marked(row[other], after=f" {i}")
        rows.append(row)
    prepared = made(tmp_path, rows, format=name, columns={"id": "number"}, heldout=0)
    homes = [
        {split for split, data in prepared.splits.items() if {str(4 * group + k) for k in range(4)} & set(data.ids)}
        for group in range(40)
    ]
    assert {len(home) for home in homes} == {1} and set.union(*homes) == {"labelled", "pool", "test"}
    assert sum(len(data) for data in prepared.splits.values()) == 160


@pytest.mark.parametrize("name", ["anli_r2", "mc_taco"])
def test_train_rows_in_a_split_of_another_name(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import datasets

    fmt, row = FORMATS[name], CASES[name].row
    sizes = (
        {"train_r1": 10, "train_r2": 40, "test_r1": 10, "test_r2": 20}
        if name == "anli_r2"
        else {"test": 40, "validation": 20}
    )
    splits = {
        split: datasets.Dataset.from_list([row | {fmt.group: f"{split} {i}", "label": i % 2} for i in range(size)])
        for split, size in sizes.items()
    }
    monkeypatch.setattr(hub, "load", lambda name, key: splits)
    data = f"hub:{fmt.hub}@{COMMIT}"
    facts = prepare(TaskSpec(data=data), tmp_path).facts
    assert facts["rows"] == {"train": 40, "test": 20} and facts["sizes"]["test"] == 20
    told = prepare(TaskSpec(data=f"{data}#{fmt.train_split}", test_data=data), tmp_path).facts
    assert told["rows"] == facts["rows"] and told["sizes"] == facts["sizes"]


# ---- names


@pytest.mark.parametrize("name", [name for name, fmt in FORMATS.items() if fmt.hub and name != "sciq_with_support"])
def test_a_hub_dataset_finds_its_format(name: str) -> None:
    assert type_name(type(format_of(TaskSpec(data=f"hub:{FORMATS[name].hub}@{COMMIT}")))) == name


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("aps/super_glue/rte", "text"),
        ("nyu-mll/glue/mnli", "text"),
        ("hendrycks/ethics/commonsense", "text"),
        ("allenai/openbookqa/main", "openbookqa"),
        ("facebook/anli/plain_text", "anli_r2"),
        ("google-research-datasets/paws/labeled_swap", "paws"),
        ("somebody/twitter-sentiment", "twitter_sentiment"),
        ("rowan/HellaSwag", "hellaswag"),
        ("somebody/else", "text"),
    ],
)
def test_a_configuration_or_copy_finds_its_format(data: str, name: str) -> None:
    assert type_name(type(format_of(TaskSpec(data=f"hub:{data}@{COMMIT}")))) == name


def test_the_22_tasks_are_marked() -> None:
    assert len(set(BURNS22)) == 22 and set(BURNS22) <= set(FORMATS)
    assert {name for name, _, line in describe() if "one of the 22" in line} == set(BURNS22)


def test_the_table_of_the_documents_is_that_of_the_code() -> None:
    page = Path(__file__).parents[3] / "docs/how-to/data-formats.md"
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `")
    ]
    told = {row[0]: (row[1], row[2], row[4], row[5], row[6]) for row in rows if len(row) == 7 and row[1]}
    assert told == {
        f"`{name}`": (
            f"`{fmt.hub}`",
            f"`{fmt.test_split}`",
            ", ".join(f"`{column}`" for column in fmt.columns),
            f"`{fmt.group}`" if fmt.group else "",
            "✓" if name in BURNS22 else "",
        )
        for name, fmt in FORMATS.items()
        if fmt.hub
    }
