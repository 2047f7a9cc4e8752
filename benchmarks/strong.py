"""What it costs to spread a fit, and how well a GPU is used.

    OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 python benchmarks/strong.py spread  # CPU, ten minutes
    python benchmarks/strong.py gpu --shape 0.5B --adapt full  # one GPU, against a plain transformers + torch loop

`spread`: the same recipe, rows and seed each time; one thread a process. Seconds a step are those of the training loop;
what is fixed is the rest. Repeats are interleaved, the median counts. `gpu`: random weights, random rows of 512 tokens,
bf16; needs neither Ray nor the network. Both print markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from w2s_ray.backends.devices.memory import Shape
from w2s_ray.config.recipe import Recipe
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.labels import LabelSet
from w2s_ray.core.resources import Resources

WORDS = [f"w{i}" for i in range(2000)]
Facts = dict[str, Any]


class Place:
    """Where a fit keeps checkpoints; none are due within a benchmark."""

    def __init__(self, folder: Path) -> None:
        self.scratch = folder / "scratch"

    def fetch(self, name: str) -> Path | None:
        return None

    def keep(self, name: str, file: Path) -> None:
        file.unlink()


def rows_of(count: int, low: int, high: int, words: list[str] = WORDS) -> tuple[Dataset, LabelSet]:
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(words, rng.integers(low, high + 1))) for _ in range(count)]
    data = Dataset.of("bench", "train", "text", ("0", "1"), [f"r{i}" for i in range(count)], text=texts)
    return data, LabelSet.hard(data.ids, rng.integers(0, 2, count), 2)


# --- spread ---

SPREAD_RECIPE = Recipe(lr=1e-4, epochs=1, batch=16)
NUM_ROWS = 640
ON_RAY = ("one process, no DeepSpeed", "two processes, ZeRO 2")


def once(model: str, folder: Path, settings: dict[str, Any]) -> Facts:
    """One fit in this process, or in the gang that this process belongs to."""
    from w2s_ray.backends.fit.job import Job
    from w2s_ray.backends.fit.single import fit
    from w2s_ray.backends.sharded.fit import fit_sharded

    data, labels = rows_of(NUM_ROWS, 40, 100)
    resources = Resources(checkpoint_every_s=1e9, **settings)
    run = fit_sharded if resources.sharded else fit
    started = time.perf_counter()
    facts = run(Job(data, [labels], model, SPREAD_RECIPE, resources, Place(folder), folder / "cache")).facts
    return facts | {"whole_s": time.perf_counter() - started}


def in_processes(model: Path, folder: Path, settings: dict[str, Any]) -> Facts:
    """`once` under plain Python or torchrun; `whole_s` begins with the processes."""
    size = settings.get("workers", 1)
    launcher = [sys.executable]
    if size > 1:
        launcher += [
            "-m",
            "torch.distributed.run",
            "--nproc_per_node",
            str(size),
            "--rdzv_backend",
            "c10d",
            "--rdzv_endpoint",
            "localhost:0",
        ]
    started = time.perf_counter()
    command = [
        *launcher,
        __file__,
        "once",
        "--model",
        str(model),
        "--folder",
        str(folder),
        "--settings",
        json.dumps(settings),
    ]
    ended = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"DS_ACCELERATOR": "cpu"}
    )
    if ended.returncode:
        raise SystemExit(ended.stderr[-3000:])
    line = next(line for line in ended.stdout.splitlines() if line.startswith("{"))
    return json.loads(line) | {"whole_s": time.perf_counter() - started}


def on_ray(model: Path, folder: Path, contenders: dict[str, dict[str, Any]], seed: int) -> dict[str, Facts]:
    """The same fits as steps of a study: one after another on one Ray, which is up already; `whole_s` begins with the
    submission."""
    from w2s_ray.engine.context import Context
    from w2s_ray.engine.execute import put_content
    from w2s_ray.engine.store import open_store
    from w2s_ray.ops.models import identify
    from w2s_ray.ops.prepare import CONTENT_VERSION, dataset_key
    from w2s_ray.ops.task import Learner
    from w2s_ray.ops.verbs import Verbs
    from w2s_ray.runtime.executor import RayExecutor

    url = str(folder / f"store-{seed}")
    found: dict[str, Facts] = {}
    with Context(open_store(url), lambda: RayExecutor(url)) as context:
        data, labels = rows_of(NUM_ROWS, 40, 100)
        put_content(
            context.store,
            dataset_key(data),
            CONTENT_VERSION,
            {"digest": data.digest},
            data.save,
            {"classes": list(data.classes)},
        )
        ctx, rows = Verbs(context, seed), context.adopt(dataset_key(data))
        taught = ctx.put(labels)
        warm = Learner(
            identify(str(model), Path()), SPREAD_RECIPE.model_copy(update={"l2": 1.0, "batch": 64}), Resources()
        )
        ctx.train(warm, rows, taught, keep_weights=False).handle.record()
        for index, (name, settings) in enumerate(contenders.items()):
            recipe = SPREAD_RECIPE.model_copy(
                update={"weight_decay": 1e-9 * (index + 1)}
            )  # else they would be one step
            started = time.perf_counter()
            trained = ctx.train(
                Learner(warm.model, recipe, Resources(checkpoint_every_s=1e9, **settings)),
                rows,
                taught,
                keep_weights=False,
            )
            facts = trained.handle.record().value["facts"]
            found[f"{name}, on Ray"] = facts | {"whole_s": time.perf_counter() - started}
    return found


def spread(repeats: int) -> None:
    from w2s_ray.backends.models.scratch import build_scratch

    contenders: dict[str, dict[str, Any]] = {
        "one process, no DeepSpeed": {},
        "DeepSpeed, ZeRO 0, one process": {"zero": 0},
        "DeepSpeed, ZeRO 2, one process": {"zero": 2},
        "DeepSpeed, ZeRO 3, one process": {"zero": 3},
        "two processes, ZeRO 0": {"workers": 2, "zero": 0},
        "two processes, ZeRO 1": {"workers": 2, "zero": 1},
        "two processes, ZeRO 2": {"workers": 2, "zero": 2},
        "two processes, ZeRO 3": {"workers": 2, "zero": 3},
    }
    found: dict[str, list[Facts]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        model = build_scratch(Path(name, "model"), WORDS, hidden=256, layers=6, heads=8, ffn=768, seed=0)
        for repeat in range(repeats):
            for contender, facts in on_ray(model, Path(name), {n: contenders[n] for n in ON_RAY}, repeat).items():
                found[contender].append(facts)
            for contender, settings in contenders.items():
                found[contender].append(in_processes(model, Path(name, "fit"), settings))
                sys.stderr.write(f"{contender}: {found[contender][-1]['seconds']}\n")
    base = step_ms(found["one process, no DeepSpeed"])
    lines = [
        "| | ms a step | against one process | tokens/s | fixed s | peak MB a process |",
        "|---|---|---|---|---|---|",
    ]
    for contender, facts in found.items():
        fixed = median(fact["whole_s"] - fact["seconds"]["train"] for fact in facts)
        peak = " + ".join(f"{mb:.0f}" for mb in facts[0]["peak_memory_mb"])
        lines.append(
            f"| {contender} | {step_ms(facts):.0f} | {step_ms(facts) / base:.2f} |"
            f" {median(fact['tokens_per_s'] for fact in facts):.0f} | {fixed:.1f} | {peak} |"
        )
    sys.stdout.write("\n".join(lines) + "\n")


def step_ms(facts: list[Facts]) -> float:
    return 1e3 * median(fact["seconds"]["train"] / fact["steps"] for fact in facts)


# --- gpu ---

LENGTH = 512


def gpu(size: str, adapt: str, checkpointing: bool, num_rows: int) -> None:
    """Our fit and a plain loop, in turn, on one GPU."""
    import torch

    from w2s_ray.ops.shapes import shape_of_name

    shape = shape_of_name(f"hub:Qwen/Qwen2.5-{size}@0", Path())
    assert shape is not None
    lines = ["| | tokens/s | MFU | peak GB |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as name:
        model = random_qwen(Path(name, "model"), shape)
        runs: dict[str, Callable[[], Facts]] = {
            "ours": lambda: ours_on_gpu(str(model), Path(name, "fit"), adapt, checkpointing, num_rows),
            "plain loop": lambda: plain_on_gpu(str(model), adapt, checkpointing, num_rows, shape),
        }
        for contender, run in runs.items():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            facts = run()
            peak = torch.cuda.max_memory_allocated() / 2**30
            lines.append(
                f"| {contender}, {size}, {adapt}, {'recomputed' if checkpointing else 'kept'} |"
                f" {facts['tokens_per_s']:.0f} | {facts['mfu']:.3f} | {peak:.1f} |"
            )
    sys.stdout.write("\n".join(lines) + "\n")


def random_qwen(folder: Path, shape: Shape) -> Path:
    """Random weights of a published shape, in bf16, with a tokenizer of whole words."""
    import torch
    from transformers import AutoModel, Qwen2Config

    from w2s_ray.backends.models.scratch import word_tokenizer

    config = Qwen2Config(
        hidden_size=shape.width, num_hidden_layers=shape.layers, num_attention_heads=shape.heads,
        intermediate_size=shape.ffn, vocab_size=shape.vocab,
        num_key_value_heads=shape.key_width // (shape.width // shape.heads), max_position_embeddings=2048,
    )  # fmt: skip
    with torch.device("cuda"):
        AutoModel.from_config(config, dtype=torch.bfloat16).cpu().save_pretrained(folder)
    word_tokenizer(WORDS, 2048).save_pretrained(folder)
    return folder


def ours_on_gpu(model: str, folder: Path, adapt: str, checkpointing: bool, num_rows: int) -> Facts:
    from w2s_ray.backends.fit.job import Job
    from w2s_ray.backends.fit.single import fit

    data, labels = rows_of(num_rows, LENGTH - 1, LENGTH - 1)
    recipe = Recipe(adapt=adapt, lr=1e-5, epochs=1, batch=32, precision="bf16")
    resources = Resources(gpus=1, cpus=4, checkpoint_every_s=1e9, activation_checkpointing=checkpointing)
    facts: Facts = fit(Job(data, [labels], model, recipe, resources, Place(folder), folder / "cache")).facts
    return facts


def plain_on_gpu(model: str, adapt: str, checkpointing: bool, num_rows: int, shape: Shape) -> Facts:
    """AutoModelForSequenceClassification, bf16 autocast, fused AdamW, micro-batches of 8 rows, as a script would have
    it."""
    import torch
    from transformers import AutoModelForSequenceClassification

    from w2s_ray.backends.devices.speed import utilisation

    frozen = adapt == "lora"
    whole: Any = AutoModelForSequenceClassification.from_pretrained(
        model, num_labels=2, pad_token_id=0, dtype=torch.bfloat16 if frozen else torch.float32
    )
    whole = whole.cuda()
    if frozen:
        from peft import LoraConfig, get_peft_model

        whole = get_peft_model(whole, LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="SEQ_CLS"))
    if checkpointing:
        whole.gradient_checkpointing_enable({"use_reentrant": False})
    whole.train()
    optimizer = torch.optim.AdamW([p for p in whole.parameters() if p.requires_grad], lr=1e-5, fused=True)
    rng = np.random.default_rng(0)
    ids = torch.tensor(rng.integers(5, len(WORDS), (num_rows, LENGTH))).cuda()
    labels = torch.tensor(rng.integers(0, 2, num_rows)).cuda()
    torch.cuda.synchronize()
    started = time.perf_counter()
    for step in range(num_rows // 32):
        for part in range(4):
            rows = slice(step * 32 + part * 8, step * 32 + part * 8 + 8)
            with torch.autocast("cuda", dtype=torch.bfloat16):
                loss = whole(input_ids=ids[rows], labels=labels[rows]).loss / 4
            loss.backward()
        torch.nn.utils.clip_grad_norm_(whole.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    torch.cuda.synchronize()
    speed = num_rows // 32 * 32 * LENGTH / (time.perf_counter() - started)
    device = torch.cuda.get_device_name()
    return {"tokens_per_s": speed, "mfu": utilisation(shape, speed, LENGTH, 1.0, device, "bf16", 1, frozen=frozen)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("spread", "gpu", "once"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--shape", default="0.5B", help="of Qwen2.5: 0.5B, 1.5B, 3B, 7B …")
    parser.add_argument("--adapt", default="full", choices=("full", "lora"))
    parser.add_argument("--checkpointing", action="store_true", help="compute activations twice")
    parser.add_argument("--rows", type=int, default=1280)
    parser.add_argument("--model", type=str)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--settings", type=json.loads)
    args = parser.parse_args()
    if args.part == "spread":
        spread(args.repeats)
    elif args.part == "gpu":
        gpu(args.shape, args.adapt, args.checkpointing, args.rows)
    else:
        facts = once(args.model, args.folder, args.settings)
        if int(os.environ.get("RANK", "0")) == 0:
            sys.stdout.write(json.dumps(facts) + "\n")


if __name__ == "__main__":
    main()
