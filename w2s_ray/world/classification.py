"""Which class is a row's topic in? The tasks `topic`, `topic5`, `negation` and `contrast`.

Shapes: N rows.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from w2s_ray.world.lexicon import NUM_SUBJECTS, class_of, spell
from w2s_ray.world.rows import KINDS, Writing, draw_kinds, write_rows
from w2s_ray.world.task import Row, WorldTask


def write(rng: np.random.Generator, num: int, how: Writing) -> Iterator[Row]:
    topics_N, kinds_N = rng.integers(NUM_SUBJECTS, size=num), draw_kinds(rng, num, how)
    words_NW, classes_N = write_rows(rng, topics_N, kinds_N, how), class_of(topics_N, how.classes)
    for words, label, kind in zip(words_NW, classes_N.tolist(), kinds_N, strict=True):
        yield {"text": spell(words), "label": label, "kind": KINDS[kind]}


TASKS = {
    "topic": WorldTask(
        "rows made here: 20 topics in 2 classes, told by easy words, hard words or both", write, Writing()
    ),
    "topic5": WorldTask("the same rows in 5 classes", write, Writing(classes=5)),
    "negation": WorldTask(
        "every other hard word is about the other class and has a 'not' before it", write, Writing(form="negation")
    ),
    "contrast": WorldTask(
        "every other hard word is about the other class and stands before a 'but'", write, Writing(form="contrast")
    ),
}
