"""`world:topic` against its recipe, read back from the texts alone."""

from collections import Counter

import numpy as np
from scipy.stats import binomtest

from w2s_ray.data import world
from w2s_ray.data.world import FIRST_EASY, FIRST_HARD, NUM_EASY, NUM_HARD, SPECIALS, topic_rows, vocabulary

INDEX = {word: i - len(SPECIALS) for i, word in enumerate(vocabulary())}
ROWS = list(topic_rows(6000, 0))
WORDS = np.array([[INDEX[word] for word in row["text"].split()] for row in ROWS])
LABELS = np.array([row["label"] for row in ROWS])


def test_vocabulary():
    assert len(vocabulary()) == len(set(vocabulary())) == 3 + 100 + 2 * 8 + 16 * 500
    assert vocabulary()[:3] == ("<pad>", "<unk>", "<bos>")


def test_more_rows_are_the_same_rows_and_more():
    assert list(topic_rows(1500, 3)) == list(topic_rows(2600, 3))[:1500]
    assert list(topic_rows(50, 3)) != list(topic_rows(50, 4))
    assert len({row["text"] for row in ROWS}) == len(ROWS)


def test_kinds_hold_the_words_that_they_should():
    assert WORDS.shape == (6000, 16)
    easy, hard = ((WORDS >= FIRST_EASY) & (WORDS < FIRST_HARD)).sum(axis=1), (WORDS >= FIRST_HARD).sum(axis=1)
    expected = {"easy": (4, 0), "hard": (0, 4), "overlap": (2, 2)}
    assert all((e, h) == expected[row["kind"]] for e, h, row in zip(easy, hard, ROWS, strict=True))
    counts = Counter(row["kind"] for row in ROWS)
    for kind, share in zip(world.KINDS, (0.30, 0.35, 0.35), strict=True):
        assert binomtest(counts[kind], 6000, share).pvalue > 1e-3


def test_easy_words_are_noisy_witnesses_and_hard_words_good_ones():
    # A false word is of a random topic, hence of the right class half of the time: .75 + .25 / 2 and .95 + .05 / 2.
    row, column = np.nonzero((WORDS >= FIRST_EASY) & (WORDS < FIRST_HARD))
    right = (WORDS[row, column] - FIRST_EASY) // NUM_EASY == LABELS[row]
    assert binomtest(int(right.sum()), len(right), 0.875).pvalue > 1e-3
    row, column = np.nonzero(WORDS >= FIRST_HARD)
    topics = (WORDS[row, column] - FIRST_HARD) // NUM_HARD
    right = topics // 8 == LABELS[row]
    assert binomtest(int(right.sum()), len(right), 0.975).pvalue > 1e-3
    assert set(topics) == set(range(16))


def test_function_words_follow_zipf():
    counts = np.bincount(WORDS[WORDS < FIRST_EASY], minlength=100)
    expected = 1 / np.arange(1, 101)
    expected *= counts.sum() / expected.sum()
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()
    assert binomtest(int(LABELS.sum()), 6000).pvalue > 1e-3


def test_signal_words_stand_anywhere():
    places = np.nonzero(WORDS >= FIRST_EASY)[1]
    counts = np.bincount(places, minlength=16)
    assert (np.abs(counts - 1500) < 5 * np.sqrt(1500)).all()
