"""What a language model knows of the built-in world: its surprise, which words it has sorted, what a linear probe reads
from it, and what it answers.

Shapes: N rows, C choices, D width, T topics, W words of a topic.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from w2s_ray.config.recipe import Recipe
from w2s_ray.config.task import TaskSpec
from w2s_ray.core.labels import LabelSet
from w2s_ray.core.resources import Resources

PROBED = ("topic", "topic5", "negation", "contrast")
ROWS = 2000  # to fit a probe on, and as many to test it
HELD_OUT_SEED, HELD_OUT_DOCUMENTS = 1, 512


def examine(folder: Path, resources: Resources) -> dict[str, Any]:
    """Every number that the record of the ladder holds."""
    from w2s_ray.backends.inference.hf import open_model
    from w2s_ray.world.corpus import corpus

    language = open_model(str(folder), Recipe(), resources)
    backbone: Any = language.reader.backbone
    embeddings_VD = backbone.get_input_embeddings().weight.detach().numpy()
    unread = corpus(HELD_OUT_DOCUMENTS, HELD_OUT_SEED).inputs["prompt"].tolist()
    return {
        "parameters": backbone.num_parameters(),
        "nats_per_token": _rounded(language.surprise(unread)),
        "words_sorted": _rounded(words_sorted(embeddings_VD)),
        "probes": {task: probe_accuracy(folder, task, resources) for task in PROBED},
        "qa": answer_accuracy(language),
    }


def words_sorted(embeddings_VD: npt.NDArray[np.floating]) -> float:
    """Share of hard words whose nearest topic mean is that of their own topic; means are of every other word, the rest
    are asked."""
    from w2s_ray.backends.models.scratch import SPECIAL
    from w2s_ray.world.lexicon import FIRST_HARD, NUM_HARD, NUM_SUBJECTS

    first = len(SPECIAL) + FIRST_HARD
    words_TWD = embeddings_VD[first : first + NUM_SUBJECTS * NUM_HARD].reshape(NUM_SUBJECTS, NUM_HARD, -1)
    means_TD, asked_TWD = words_TWD[:, ::2].mean(axis=1), words_TWD[:, 1::2]
    distance_TWT = ((asked_TWD[:, :, None] - means_TD) ** 2).sum(axis=-1)
    return float((distance_TWT.argmin(axis=-1) == np.arange(NUM_SUBJECTS)[:, None]).mean())


def probe_accuracy(folder: Path, task: str, resources: Resources) -> dict[str, float]:
    """A logistic regression on the frozen last state: accuracy on all rows and on each kind."""
    from w2s_ray.backends.fit.probes import fit_probe
    from w2s_ray.backends.inference.embed import embed_base
    from w2s_ray.data.prepare import prepare

    rows = prepare(
        TaskSpec(data=f"world:{task}", labelled=ROWS, pool=2, test=ROWS, heldout=0, seed=HELD_OUT_SEED), folder
    )
    features = {
        split: embed_base(str(folder), rows.splits[split], Recipe(), resources, None) for split in ("labelled", "test")
    }
    known, gold = rows.gold["labelled"], rows.gold["test"]
    assert isinstance(known, LabelSet) and isinstance(gold, LabelSet), "the tasks that are probed have classes"
    predicted = fit_probe(features["labelled"], [known], Recipe(l2=1e-3)).predict(features["test"]).align(gold.ids)
    right = dict(zip(gold.ids.tolist(), (predicted.hard_N == gold.hard_N).tolist(), strict=True))
    kinds = {"all": list(right), **rows.slices["test"]}
    return {kind: _rounded(np.mean([right[i] for i in ids])) for kind, ids in kinds.items()}


def answer_accuracy(language: Any) -> dict[str, float]:
    """Questions answered without any training: by the likeliest of four names, by the likeliest word of all, and how
    well confidence tells right from wrong."""
    from sklearn.metrics import roc_auc_score

    from w2s_ray.world.tasks import TASKS

    task = TASKS["qa"]
    rows = list(task.rows(task.knobs, ROWS, HELD_OUT_SEED))
    prompts = [f"Q: {row['question']} A:" for row in rows]
    choices_NC, answers_N = np.array([row["choices"] for row in rows]), np.array([row["answer"] for row in rows])
    log_p_NC = language.likelihoods(prompts, choices_NC.tolist())
    p_NC = np.exp(log_p_NC - log_p_NC.max(axis=1, keepdims=True))
    p_NC /= p_NC.sum(axis=1, keepdims=True)
    right_N = choices_NC[np.arange(ROWS), p_NC.argmax(axis=1)] == answers_N
    answered_N = np.array([completion.text for completion in language.generate(prompts, 1)])
    return {
        "chosen": _rounded(right_N.mean()),
        "generated": _rounded((answered_N == answers_N).mean()),
        "auroc_of_knowing": _rounded(roc_auc_score(right_N, p_NC.max(axis=1))),
    }


def _rounded(value: Any) -> float:
    return round(float(value), 4)
