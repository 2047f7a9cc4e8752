"""Datasets whose label column answers one yes-or-no question about a text, or about texts put together (see `templates`
for their source).

Departures from EleutherAI/w2s: a label outside those that the dataset documents is refused; upstream takes what it
finds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from w2s_ray.core.errors import DataError
from w2s_ray.data.formats import Draw, Example, Row, label_of, text_of
from w2s_ray.data.formats.templates import Templated

YES_OR_NO = {"0": "0", "1": "1", "false": "0", "true": "1", "no": "0", "yes": "1"}


class Statement(Templated):
    """The template filled, and the class in the column `label`."""

    labels: ClassVar[Mapping[str, str]] = YES_OR_NO  # as the dataset spells them -> the class

    def content(self, row: Row) -> tuple[str, ...]:
        return tuple(self.texts(row).values())

    def example(self, row: Row, draw: Draw) -> Example:
        found = label_of(row).lower()
        if found not in self.labels:
            raise DataError(
                f"column 'label' holds {found[:60]!r}; it must be one of {', '.join(self.labels)}: mend or drop the row"
            )
        return Example((self.asks.format(**self.texts(row)),), self.labels[found])


class AnliR2(Statement):
    """does the premise entail the hypothesis? neutral counts as no (columns premise, hypothesis, label)"""

    type: Literal["anli_r2"] = "anli_r2"
    hub = "facebook/anli"
    columns = ("premise", "hypothesis", "label")
    group = "premise"
    train_split = "train_r2"
    test_split = "test_r2"
    labels: ClassVar[Mapping[str, str]] = {
        "0": "1",
        "1": "0",
        "2": "0",
        "entailment": "1",
        "neutral": "0",
        "contradiction": "0",
    }
    asks = "Premise: {premise}\nHypothesis: {hypothesis}\n\nDoes the premise entail the hypothesis?"


class CoLA(Statement):
    """is this sentence acceptable English? (columns sentence, label)"""

    type: Literal["cola"] = "cola"
    hub = "nyu-mll/glue/cola"
    columns = ("sentence", "label")
    keeps = "start"
    test_split = "validation"
    asks = "{sentence}"


class EthicsDeontology(Statement):
    """is this a morally valid excuse? (columns scenario, excuse, label)"""

    type: Literal["ethics_deontology"] = "ethics_deontology"
    hub = "hendrycks/ethics/deontology"
    columns = ("scenario", "excuse", "label")
    group = "scenario"
    asks = "Q: Is the following a morally valid excuse?\n\n{scenario}\n\n{excuse}\n\nA:"


class EthicsJustice(Statement):
    """does this statement exemplify justice? (columns scenario, label)"""

    type: Literal["ethics_justice"] = "ethics_justice"
    hub = "hendrycks/ethics/justice"
    columns = ("scenario", "label")
    asks = "Q: Does this statement exemplify justice?\n\n{scenario}\n\nA:"


class EthicsVirtue(Statement):
    """does this behaviour match the adjective after [SEP]? (columns scenario, label; rows that differ in the adjective
    alone are one group)"""

    type: Literal["ethics_virtue"] = "ethics_virtue"
    hub = "hendrycks/ethics/virtue"
    columns = ("scenario", "label")
    group = "scenario"
    asks = "Q: Does this behavior match the adjective that follows?\n\n{scenario}\n\nA:"

    def passage(self, row: Row) -> str:
        behaviour, mark, adjective = text_of(row, "scenario").rpartition("[SEP]")
        return behaviour if mark else adjective


class McTaco(Statement):
    """is this answer about time plausible? trains on the test split, which is the larger (columns sentence, question,
    answer, label)"""

    type: Literal["mc_taco"] = "mc_taco"
    hub = "CogComp/mc_taco"
    columns = ("sentence", "question", "answer", "label")
    group = "sentence"
    train_split = "test"  # there is no train split
    test_split = "validation"
    asks = "{sentence}\n\nGiven the above, {question} Is the answer {answer}?"


class MultiRC(Statement):
    """is this an answer to the question about the passage? (columns paragraph, question, answer, label)"""

    type: Literal["multirc"] = "multirc"
    hub = "aps/super_glue/multirc"
    columns = ("paragraph", "question", "answer", "label")
    group = "paragraph"
    test_split = "validation"
    asks = 'Passage:\n\n{paragraph}\n\nQ: "{question}" Is the answer "{answer}"?'


class PAWS(Statement):
    """do these sentences mean the same? (columns sentence1, sentence2, label)"""

    type: Literal["paws"] = "paws"
    hub = "google-research-datasets/paws/labeled_final"
    columns = ("sentence1", "sentence2", "label")
    group = "sentence1"
    asks = "Sent 1: {sentence1}\nSent 2: {sentence2}\n\nQ: Are these sentences semantically equivalent?"


class SST2(Statement):
    """is this film review positive? (columns sentence, label)"""

    type: Literal["sst2"] = "sst2"
    hub = "stanfordnlp/sst2"
    columns = ("sentence", "label")
    keeps = "start"
    test_split = "validation"
    asks = "{sentence}"


class TwitterSentiment(Statement):
    """is this tweet positive? (columns text, label)"""

    type: Literal["twitter_sentiment"] = "twitter_sentiment"
    hub = "EleutherAI/twitter-sentiment"
    columns = ("text", "label")
    keeps = "start"
    asks = "{text}"


class WiC(Statement):
    """does the word mean the same in both sentences? (columns word, sentence1, sentence2, label)"""

    type: Literal["wic"] = "wic"
    hub = "aps/super_glue/wic"
    columns = ("word", "sentence1", "sentence2", "label")
    group = "word"
    test_split = "validation"
    asks = (
        'Sentence 1:\n{sentence1}\n\nSentence 2:\n{sentence2}\n\nQ: Does "{word}" have the same meaning in the above'
        " sentences?"
    )
