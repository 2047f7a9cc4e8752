"""`convention:` the choices of a public code as defaults, so that a difference from its numbers can be traced to one
switch. A value that a study sets itself takes precedence.

Sources: `openai`: openai/weak-to-strong, `train_simple.py`, `sweep.py`, `weak_to_strong/{train,loss,model}.py`.
`eleuther`: EleutherAI/w2s, `w2s/{sft_config,sft,loss}.py`, `run.py`.

| | openai | eleuther |
|---|---|---|
| gold rows of the ceiling | the labelled half, as its sweep does | the pool, the rows that the student sees |
| metric | accuracy | ROC-AUC |
| validation | none: the last weights | every 25 steps; the best AUROC by the fit's own (a student's weak) labels |
| classes | as they come | balanced by undersampling |
| order of the rows | one for all epochs | another one each epoch |
| warm-up of logconf | the share of the self-label jumps after it | linear over 100 steps, the entropy loss's too |
| its threshold | at the weak labels' mean | running median |
| weights | all, head at zero | LoRA on all linear layers, small head |
"""

from __future__ import annotations

from typing import Any, Literal

from w2s_ray.core.errors import ConfigError
from w2s_ray.core.plugins import closest

LOSSES: dict[str, dict[str, dict[str, Any]]] = {
    "openai": {"logconf": {"compat": "openai"}},
    "eleuther": {"logconf": {"compat": "eleuther", "warmup": 100}, "entropy": {"warmup": 100}},
}

Convention = Literal["openai", "eleuther"]

_OPENAI = {
    "epochs": 2, "batch": 32, "schedule": "cosine", "warmup": 0, "weight_decay": 0.0, "clip": None, "betas": [0.9,
    0.999], "pooling": "last", "head_init": "zero",
    "order": "once", "bucket": 1,
}  # fmt: skip
_ELEUTHER = {
    "adapt": "lora", "lora": {"rank": 8, "alpha": 8}, "epochs": 3, "batch": 32, "schedule": "cosine", "warmup": 40,
    "weight_decay": 0.1, "betas": [0.9, 0.95],
    "pooling": "last", "head_init": "small", "bucket": 1, "check": {"every": 25, "metric": "auroc"},
}  # fmt: skip
PRESETS: dict[str, dict[str, Any]] = {
    "openai": {
        "ceiling_on": "labelled", "metric": "accuracy", "task": {"heldout": 0, "balance": False},
        "train": {"weak": _OPENAI, "strong": _OPENAI},
    },
    "eleuther": {
        "ceiling_on": "pool", "metric": "auroc", "task": {"balance": True},
        "train": {"weak": {**_ELEUTHER, "lr": 5e-4}, "strong": {**_ELEUTHER, "lr": 8e-5}},
    },
}  # fmt: skip


def preset_of(raw: dict[str, Any]) -> dict[str, Any]:
    """The defaults of the convention that a raw config names."""
    name = raw.get("convention")
    if name is not None and not (isinstance(name, str) and name in PRESETS):
        raise ConfigError(
            f"convention is {name!r}{closest(str(name), PRESETS)}; it must be one of {', '.join(PRESETS)}, or be"
            " left out"
        )
    return PRESETS.get(str(name), {})


def with_its_loss(raw: dict[str, Any]) -> dict[str, Any]:
    """The raw config with each loss in the form of the convention's code, where the loss itself does not say
    otherwise."""
    forms = LOSSES.get(str(raw.get("convention")), {})
    train = raw.get("train")
    roles = [train, train.get("by_model")] if isinstance(train, dict) else []
    recipes = [recipe for group in roles if isinstance(group, dict) for recipe in group.values()]
    methods = raw.get("methods")
    for place in [*recipes, *(methods if isinstance(methods, list) else ())] if forms else []:
        loss = place.get("loss") if isinstance(place, dict) else None
        settings = {"type": loss} if isinstance(loss, str) else loss
        if isinstance(settings, dict) and settings.get("type") in forms:
            place["loss"] = {**forms[settings["type"]], **settings}
    return raw
