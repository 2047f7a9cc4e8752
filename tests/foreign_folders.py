"""Result folders as the scripts of openai/weak-to-strong and EleutherAI/w2s leave them, written by hand.

The names of files and of their fields are those of the scripts at commits 6b450f2 and a929af0:
openai/weak-to-strong train_simple.py, lines 125 to 141 (folders' names), 195 to 215 and 259 to 262 (config.json), 300
to 311 (weak_labels, results_summary.json); weak_to_strong/eval.py, lines 50 to 60 (rows of weak_labels);
train_weak_to_strong.py, lines 270 to 343 (a file a pair). EleutherAI/w2s run.py, lines 37 to 38, 72, 95, 122 and 166
(folders); w2s/sft.py, lines 268 to 294 (results.json, config.json, predictions); w2s/sft_config.py (config.json).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

LRS = {"gpt2": 5e-5, "gpt2-medium": 5e-5, "gpt2-large": 1e-5}


# --- openai/weak-to-strong ---


def made(model: str, **changes: Any) -> dict[str, Any]:
    """The part of a config that names a run's folder."""
    return {
        "batch_size": 32, "max_ctx": 1024, "ds_name": "sciq", "loss": "xent", "n_docs": 20000, "n_test_docs": 10000,
        "model_size": model, "lr": LRS.get(model, 1e-5), "optim": "adam", "epochs": 2, "seed": 0,
        "train_with_dropout": False, "linear_probe": False, "lr_schedule": "cosine_anneal", "eval_every": 1000000,
        **changes,
    }  # fmt: skip


def folder_of(config: Mapping[str, Any]) -> str:
    """`get_config_foldername`."""

    def short(value: Any) -> str:
        if isinstance(value, bool):
            return "1" if value else "0"
        if not isinstance(value, str):
            return str(value)
        value = value.split("/")[-1]
        return "_".join(word[:4] for word in value.split("_")) if "_" in value else value

    keys = {key: "".join(word[0] for word in key.split("_")) for key in config}
    return "-".join(f"{keys[key]}={short(value)}" for key, value in sorted(config.items()))


def write_json(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")
    return path


def gold_run(root: Path, model: str, accuracy: Any, **changes: Any) -> Path:
    """A ground-truth run, without its weak labels."""
    config = made(model, **changes)
    here = root / folder_of(config)
    write_json(here / "config.json", config)
    write_json(here / "results_summary.json", {"accuracy": accuracy})
    return here


def student(root: Path, weak: str, strong: str, accuracy: Any, **changes: Any) -> Path:
    """A run on a weak model's labels; its teacher is made as it is, with cross-entropy."""
    config = made(strong, **changes) | {"weak_model_size": weak}
    here = root / folder_of(config)
    teacher = made(weak, **{**changes, "loss": "xent"})
    write_json(here / "config.json", config | {"weak_model": teacher})
    write_json(here / "results_summary.json", {"accuracy": accuracy})
    return here


def arrow(folder: Path, rows: Mapping[str, Any]) -> Path:
    """What `Dataset.save_to_disk` writes, as far as it holds rows."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.table(dict(rows))
    path = folder / "data-00000-of-00001.arrow"
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    write_json(folder / "state.json", {"_data_files": [{"filename": path.name}], "_split": "train"})
    return path


def weak_labels(run: Path, golds: list[int], probs: list[float]) -> Path:
    """Rows of `eval_model_acc`, of the probability of class 1."""
    preds = [int(prob > 0.5) for prob in probs]
    rows = {
        "txt": [f"Q: what is {n}? A: {n}" for n in range(len(golds))],
        "input_ids": [[1, 2, n] for n in range(len(golds))],
        "gt_label": golds,
        "hard_label": preds,
        "acc": [gold == pred for gold, pred in zip(golds, preds, strict=True)],
        "logits": [[0.0, prob] for prob in probs],
        "soft_label": [[1 - prob, prob] for prob in probs],
    }
    return arrow(run / "weak_labels", rows)


def openai_sweep(root: Path) -> Path:
    """`sweep.py --model_sizes=gpt2,gpt2-medium`, with xent and logconf, seeds 0 and 1, in the folder `default`."""
    here = root / "default"
    for seed in (0, 1):
        weak = gold_run(here, "gpt2", 0.60 + 0.02 * seed, seed=seed)
        gold_run(here, "gpt2-medium", 0.80, seed=seed)
        weak_labels(weak, [0, 1] * 20, [0.2, 0.7] * 15 + [0.6, 0.4] * 5)
        student(here, "gpt2", "gpt2", 0.61, seed=seed)
        student(here, "gpt2-medium", "gpt2-medium", 0.79, seed=seed)
        student(here, "gpt2", "gpt2-medium", 0.65 + 0.01 * seed, seed=seed)
        student(here, "gpt2", "gpt2-medium", 0.72, seed=seed, loss="logconf")
    return here


# --- EleutherAI/w2s ---


def eleuther_config(model: str, transfer: bool, **changes: Any) -> dict[str, Any]:
    return {
        "weak_model_name": "Qwen/Qwen1.5-0.5B", "strong_model_name": "meta-llama/Meta-Llama-3-8B", "dataset": "sciq",
        "n_epochs": 3, "n_train": 10000, "n_val": 1000, "n_test": 5000, "n_predict": 0, "batch_size": 32,
        "shared_folder": "shared", "disable_lora": False, "lr_schedule": "cosine", "n_warmup_steps": 40,
        "eval_every": 25, "save_every": 25, "save_total_limit": 1, "weight_decay": 0.1, "weak_lr": 5e-4,
        "strong_lr": 8e-5, "load_best_model_at_end": True, "metric_for_best_model": "val_auroc",
        "loss": {"logconf_weight": 0.5, "logconf_warmup_steps": 100, "balance_batch": False}, "probe": {"k": 50},
        "probe_layer": None, "probe_relabel": False, "probe_filter": False, "contamination": 0.1,
        "greater_is_better": True, "loss_name": "logconf", "probe_name": "knn", "s2s_iters": 0,
        "save_strong_acts": False, "model": {"name": model, "enable_lora": True, "lora_modules": None},
        "train_args": {"output_dir": "./results", "seed": 42, "learning_rate": 8e-5}, "transfer": transfer,
        **changes,
    }  # fmt: skip


def evaluated(accuracy: Any, auroc: Any, **changes: Any) -> dict[str, Any]:
    """Of 3000 rows, as the timings say."""
    return {
        "eval_loss": 0.6, "eval_accuracy": accuracy, "eval_auroc": auroc, "eval_runtime": 31.4159,
        "eval_samples_per_second": 95.493, "eval_steps_per_second": 95.493, "epoch": 3.0, **changes,
    }  # fmt: skip


def fit(folder: Path, model: str, accuracy: Any, auroc: Any, *, transfer: bool, **changes: Any) -> Path:
    write_json(folder / "results.json", evaluated(accuracy, auroc))
    write_json(folder / "config.json", eleuther_config(model, transfer, **changes))
    return folder


def eleuther_results(root: Path) -> Path:
    """`run.py --dataset sciq`, for a run with the default loss, and one with `--loss xent --s2s_iters 1`."""
    weak, strong = "Qwen/Qwen1.5-0.5B", "meta-llama/Meta-Llama-3-8B"
    teacher = fit(root / "shared/sciq/weak", weak, 0.70, 0.75, transfer=False)
    arrow(
        teacher / "predictions/train",
        {
            "labels": [0, 1] * 10,
            "gt_labels": [0, 1] * 10,
            "txt": ["t"] * 20,
            "soft_pred": [0.3, 0.6] * 8 + [0.7, 0.4] * 2,
        },
    )
    fit(root / "shared/sciq/strong", strong, 0.94, 0.95, transfer=False)
    fit(root / "default/sciq/w2s", strong, 0.80, 0.85, transfer=True)
    plain: dict[str, Any] = {"loss_name": "xent", "loss": {}}
    fit(root / "plain/sciq/w2s", strong, 0.78, 0.83, transfer=True, **plain)
    fit(root / "plain/sciq/s2s-0", strong, 0.79, 0.84, transfer=True, **plain)
    return root
