"""How fast is one fit? Our loop against transformers.Trainer and against a plain loop like openai/weak-to-strong's, in
one process.

    OMP_NUM_THREADS=2 HF_HUB_OFFLINE=1 python benchmarks/fit.py --data DATA/sciq --rows 1200

All train the same GPT-2-shaped model (width 128, 4 layers, random weights, a byte-pair tokenizer of 8,000 tokens
trained on the rows) on the same rows for one epoch: AdamW (fused, for all), cosine, clip 1, global batch 32, no
dropout. Tokens are made and models loaded before the clock starts. Repeats are interleaved, so that a disturbance of
the machine meets all alike; the best of each counts.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from w2s_ray.backends.fit.job import Job
from w2s_ray.backends.fit.single import fit
from w2s_ray.config.recipe import Recipe
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.labels import LabelSet
from w2s_ray.core.resources import Resources

WIDTH, LAYERS, HEADS, TOKENS, POSITIONS = 128, 4, 4, 8000, 1024
BATCH, LR = 32, 5e-4


@dataclass(frozen=True)
class Outcome:
    seconds: float
    loss: float  # mean over the epoch
    padding: float


@dataclass
class Folder:
    """A place for checkpoints: none are due within a benchmark."""

    scratch: Path

    def fetch(self, name: str) -> Path | None:
        return None

    def keep(self, name: str, file: Path) -> None:
        os.replace(file, self.scratch / name)


def read_rows(folder: Path, count: int) -> tuple[Dataset, LabelSet]:
    with (folder / "train.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file][:count]
    data = Dataset.of(
        folder.name, "train", "text", ("no", "yes"), [row["id"] for row in rows], text=[row["txt"] for row in rows]
    )
    return data, LabelSet.hard(data.ids, [row["hard_label"] for row in rows], 2)


def build_gpt2(folder: Path, texts: list[str]) -> Path:
    from tokenizers import ByteLevelBPETokenizer
    from transformers import GPT2Config, GPT2Model, PreTrainedTokenizerFast

    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(
        texts, vocab_size=TOKENS, min_frequency=1, special_tokens=["<|endoftext|>"], show_progress=False
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe._tokenizer,
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        model_max_length=POSITIONS,
    )
    torch.manual_seed(0)
    none = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    model = GPT2Model(
        GPT2Config(
            vocab_size=TOKENS,
            n_positions=POSITIONS,
            n_embd=WIDTH,
            n_layer=LAYERS,
            n_head=HEADS,
            pad_token_id=0,
            bos_token_id=0,
            eos_token_id=0,
            **none,
        )
    )
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


def ours(model: Path, data: Dataset, labels: LabelSet, scratch: Path, micro_tokens: int) -> Outcome:
    recipe = Recipe(lr=LR, epochs=1, batch=BATCH)
    resources = Resources(checkpoint_every_s=1e9, micro_tokens=micro_tokens)
    fitted = fit(Job(data, [labels], str(model), recipe, resources, Folder(scratch), scratch / "cache"))
    return Outcome(
        fitted.facts["seconds"]["train"],
        float(np.mean([point["loss"] for point in fitted.log])),
        fitted.facts["padding"],
    )


class PlainHead(nn.Module):
    """Backbone, no mask, the hidden state of the last token that is not 0, a zero-initialised head without bias: the
    model of openai/weak-to-strong."""

    def __init__(self, model: Path) -> None:
        super().__init__()
        from transformers import AutoModel

        self.backbone = AutoModel.from_pretrained(model)
        self.head = nn.Linear(WIDTH, 2, bias=False)
        nn.init.zeros_(self.head.weight)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        lengths = (ids != 0).sum(dim=-1)
        hidden = self.backbone(ids, use_cache=False)[0]
        logits: torch.Tensor = self.head(torch.stack([hidden[i, lengths[i] - 1, :] for i in range(len(ids))]))
        return logits


def plain(model_path: Path, rows: list[list[int]], labels: LabelSet, micro: int) -> Outcome:
    """Micro-batches of random rows padded with 0, logits stacked, one loss and one backward a step."""
    model = PlainHead(model_path).eval()
    order = np.random.default_rng(0).permutation(len(rows))
    targets = torch.tensor(labels.probs_NK, dtype=torch.float32)
    steps = -(-len(rows) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    losses, padded, started = [], 0, time.perf_counter()
    for step in range(steps):
        batch = order[step * BATCH : (step + 1) * BATCH]
        logits = []
        for part in (batch[i : i + micro] for i in range(0, len(batch), micro)):
            ids = nn.utils.rnn.pad_sequence([torch.tensor(rows[i]) for i in part], batch_first=True)
            padded += ids.numel()
            logits.append(model(ids))
        loss = nn.functional.cross_entropy(torch.cat(logits), targets[batch])
        losses.append(loss.item())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    return Outcome(time.perf_counter() - started, float(np.mean(losses)), 1 - sum(map(len, rows)) / padded)


def row_mean(outputs: Any, labels: torch.Tensor, num_items_in_batch: int | torch.Tensor | None = None) -> torch.Tensor:
    """The mean over the global batch; the model's own loss is summed over micro-batches without a division."""
    loss = nn.functional.cross_entropy(outputs["logits"], labels, reduction="sum")
    return loss / (len(labels) if num_items_in_batch is None else num_items_in_batch)


def trainer(model_path: Path, rows: list[list[int]], labels: LabelSet, micro: int, scratch: Path) -> Outcome:
    """transformers.Trainer with its own collator (padding to the longest, with a mask) and accumulation to the global
    batch."""
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )

    model = AutoModelForSequenceClassification.from_pretrained(model_path, num_labels=2)
    nn.init.zeros_(model.score.weight)
    args = TrainingArguments(
        output_dir=str(scratch / "trainer"), per_device_train_batch_size=micro,
        gradient_accumulation_steps=BATCH // micro, num_train_epochs=1, learning_rate=LR,
        lr_scheduler_type="cosine", weight_decay=0.0, max_grad_norm=1.0, optim="adamw_torch_fused", save_strategy="no",
        logging_strategy="no", report_to="none",
        disable_tqdm=True, log_level="error", use_cpu=True, seed=0, dataloader_num_workers=0,
    )  # fmt: skip
    padded = [0]
    pad = DataCollatorWithPadding(AutoTokenizer.from_pretrained(model_path))

    def collate(features: list[dict[str, Any]]) -> Any:
        batch = pad(features)
        padded[0] += batch["input_ids"].numel()
        return batch

    examples = [{"input_ids": row, "label": int(label)} for row, label in zip(rows, labels.hard_N, strict=True)]
    outcome = Trainer(
        model=model, args=args, train_dataset=examples, data_collator=collate, compute_loss_func=row_mean
    ).train()
    return Outcome(outcome.metrics["train_runtime"], outcome.training_loss, 1 - sum(map(len, rows)) / padded[0])


def main() -> None:
    from transformers import AutoTokenizer
    from transformers.utils import logging as hf_logging

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder with train.jsonl: txt, hard_label, id")
    parser.add_argument("--rows", type=int, default=1200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--micro-tokens", type=int, default=Resources().tokens_at_once)
    parser.add_argument("--only", nargs="*", help="names of contenders, such as ours plain-8")
    args = parser.parse_args()
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    logging.disable(logging.WARNING)
    data, labels = read_rows(args.data, args.rows)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        model = build_gpt2(scratch / "model", data.inputs["text"].tolist())
        rows = AutoTokenizer.from_pretrained(model)(data.inputs["text"].tolist())["input_ids"]
        contenders: dict[str, Callable[[], Outcome]] = {
            "ours": lambda: ours(model, data, labels, scratch, args.micro_tokens),
            "plain-1": lambda: plain(model, rows, labels, 1),
            "plain-8": lambda: plain(model, rows, labels, 8),
            "trainer-1": lambda: trainer(model, rows, labels, 1, scratch),
            "trainer-8": lambda: trainer(model, rows, labels, 8, scratch),
            "trainer-32": lambda: trainer(model, rows, labels, 32, scratch),
        }
        chosen = {name: run for name, run in contenders.items() if not args.only or name in args.only}
        found = {name: [] for name in chosen}
        for _ in range(args.repeats):
            for contender, run in chosen.items():
                found[contender].append(run())
                sys.stderr.write(f"{contender} {found[contender][-1]}\n")
    report(args, found, [len(row) for row in rows])


def report(args: argparse.Namespace, found: dict[str, list[Outcome]], lengths: list[int]) -> None:
    out = sys.stdout.write
    out(
        f"{args.data.name}: {len(lengths)} rows, {np.mean(lengths):.0f} tokens on average, {max(lengths)} at most;"
        f" {torch.get_num_threads()} threads; best of {args.repeats}\n"
    )
    speed = {name: len(lengths) / min(o.seconds for o in outcomes) for name, outcomes in found.items()}
    for name, outcomes in found.items():
        ratio = f"{speed['ours'] / speed[name]:.2f}" if "ours" in speed else ""
        out(
            f"{name:12} {speed[name]:7.0f} rows/s   padding {outcomes[0].padding:5.1%}   mean loss"
            f" {outcomes[0].loss:.4f}   ours / it {ratio}\n"
        )


if __name__ == "__main__":
    main()
