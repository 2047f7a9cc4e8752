"""For sweep.py: one fit as a script of its own, the way openai/weak-to-strong's train_simple.py does it, in plain torch
and transformers.

A gold run trains on labelled rows, scores the test rows, labels the pool and writes these labels; a transfer run reads
such labels. Minibatches of rows in one order for all epochs, padded with 0 and unmasked (one row at a time has no
padding), logits of a batch stacked for one loss and one backward; Adam, cosine, no clip, no dropout; evaluation 32 rows
at a time in the rows' order; at the end the weights, the accuracy and the labels are on disk. It imports nothing of
w2s_ray.
"""

from __future__ import annotations

import argparse
import json
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging

BATCH, EVAL_BATCH = 32, 32

Row = dict[str, Any]


class WithHead(nn.Module):
    """A backbone, and a linear head without bias, at first zero, on the last token that is not 0."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.backbone = AutoModel.from_pretrained(path)
        self.head = nn.Linear(self.backbone.config.hidden_size, 2, bias=False)
        nn.init.zeros_(self.head.weight)

    def forward(self, rows: list[Row]) -> torch.Tensor:
        ids_BT = nn.utils.rnn.pad_sequence([torch.tensor(row["input_ids"]) for row in rows], batch_first=True)
        last_B = (ids_BT != 0).sum(dim=1) - 1
        hidden_BTD = self.backbone(ids_BT, use_cache=False)[0]
        logits_BK: torch.Tensor = self.head(hidden_BTD[torch.arange(len(rows)), last_B])
        return logits_BK


def read(path: Path, tokenizer: Any) -> list[Row]:
    rows: list[Row] = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [row | {"input_ids": tokenizer(row["txt"])["input_ids"]} for row in rows]


def train(model: WithHead, rows: list[Row], lr: float, epochs: int, minibatch: int) -> None:
    num_steps = len(rows) * epochs // BATCH
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
    source = chain.from_iterable(repeat(rows, epochs))
    for _ in range(num_steps):
        batch = list(islice(source, BATCH))
        logits_BK = torch.cat([model(batch[i : i + minibatch]) for i in range(0, BATCH, minibatch)])
        nn.functional.cross_entropy(logits_BK, torch.tensor([row["soft_label"] for row in batch])).backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()


@torch.no_grad()
def label(model: WithHead, rows: list[Row]) -> list[Row]:
    """The rows with what the model says of them, and whether it is right."""
    labelled = []
    for start in range(0, len(rows), EVAL_BATCH):
        part = rows[start : start + EVAL_BATCH]
        for row, probs in zip(part, model(part).softmax(dim=-1).tolist(), strict=True):
            labelled.append({**row, "soft_label": probs, "acc": (probs[1] > probs[0]) == bool(row["hard_label"])})
    return labelled


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument(
        "--train",
        type=Path,
        required=True,
        help="rows with txt and soft_label: gold, or the labels that a gold run wrote",
    )
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--pool", type=Path, help="of a gold run: rows to label")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--minibatch", type=int, required=True)
    args = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    tokenizer, model = AutoTokenizer.from_pretrained(args.model), WithHead(args.model).eval()  # eval: no dropout
    train(model, read(args.train, tokenizer), args.lr, args.epochs, args.minibatch)
    tested = label(model, read(args.test, tokenizer))
    args.out.mkdir(parents=True)
    model.backbone.save_pretrained(args.out)
    if args.pool:
        lines = [json.dumps(row) for row in label(model, read(args.pool, tokenizer))]
        (args.out / "weak_labels.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (args.out / "results_summary.json").write_text(
        json.dumps({"accuracy": sum(row["acc"] for row in tested) / len(tested)}), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
