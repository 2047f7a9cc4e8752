"""Greedy generation with a cache of keys and values against the loop that reads everything again for each token.

    OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 python benchmarks/generate.py

Token for token the same answers to questions of the built-in world, by its largest model.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch

from w2s_ray.backends.batch.tokens import end_id
from w2s_ray.backends.inference.hf import HuggingFaceModel, open_model
from w2s_ray.config.recipe import Recipe
from w2s_ray.core.resources import Resources
from w2s_ray.ops.models import folder_of
from w2s_ray.world.corpus import documents


@torch.inference_mode()
def without_a_cache(model: HuggingFaceModel, prompts: list[str], most: int, tokens_at_once: int) -> list[list[int]]:
    """Prompts of like length at once, padded on the right."""
    ids = model.tokenizer(prompts)["input_ids"]
    order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
    end, out = end_id(model.tokenizer), [[] for _ in ids]
    while order:
        rows = order[: max(1, tokens_at_once // (len(ids[order[0]]) + most))]
        order = order[len(rows) :]
        lengths = torch.tensor([len(ids[i]) for i in rows])
        padded = torch.zeros(len(rows), int(lengths.max()) + most, dtype=torch.long)
        for place, i in enumerate(rows):
            padded[place, : len(ids[i])] = torch.tensor(ids[i])
        done = torch.zeros(len(rows), dtype=torch.bool)
        for _ in range(most):
            longest, kept = int(lengths.max()), int(lengths.max() - lengths.min()) + 1
            logits = model.reader.backbone(padded[:, :longest], use_cache=False, logits_to_keep=kept).logits
            token = logits[torch.arange(len(rows)), lengths - 1 - (longest - kept)].argmax(dim=-1)
            for place in (~done).nonzero()[:, 0].tolist():
                out[rows[place]].append(int(token[place]))
            done |= token == end
            if done.all():
                break
            padded[torch.arange(len(rows)), lengths] = token
            lengths += 1
    return out


def main() -> None:
    prompts = [" ".join(text.split()[:24]) for text in documents(512, 7)]
    print("| new tokens | without a cache, s | with one, s | times | the same tokens |\n|---|---|---|---|---|")
    for most in (16, 64):
        model = open_model(str(folder_of("world/small", Path())), Recipe(), Resources())
        model.generate(prompts[:8], 2)
        started = time.perf_counter()
        plain = without_a_cache(model, prompts, most, 4096)
        middle = time.perf_counter()
        cached = [list(said.tokens) for said in model.generate(prompts, most)]
        ended = time.perf_counter()
        slow, fast = middle - started, ended - middle
        same = sum(one == other for one, other in zip(plain, cached, strict=True))
        print(f"| {most} | {slow:.1f} | {fast:.1f} | {slow / fast:.1f} | {same} of {len(prompts)} |")


if __name__ == "__main__":
    main()
