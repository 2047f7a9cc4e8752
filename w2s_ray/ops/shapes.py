"""The shape of a model by its name, so that a plan can be made before anything is loaded: from its `config.json`, or
for published models from a table."""

from __future__ import annotations

import json
from pathlib import Path

from w2s_ray.backends.devices.memory import Shape
from w2s_ray.data.label_files import EXTERNAL
from w2s_ray.ops.models import UNTRAINED, folder_of, num_parameters

# width, layers, heads, key heads, inner width of the MLP, words; from the `config.json` of each.
_QWEN25 = {
    "0.5B": (896, 24, 14, 2, 4864, 151936),
    "1.5B": (1536, 28, 12, 2, 8960, 151936),
    "3B": (2048, 36, 16, 2, 11008, 151936),
    "7B": (3584, 28, 28, 4, 18944, 152064),
    "14B": (5120, 48, 40, 8, 13824, 152064),
    "32B": (5120, 64, 40, 8, 27648, 152064),
    "72B": (8192, 80, 64, 8, 29568, 152064),
}
_PYTHIA = {
    "70m": (512, 6, 8, 8, 2048, 50304),
    "160m": (768, 12, 12, 12, 3072, 50304),
    "410m": (1024, 24, 16, 16, 4096, 50304),
    "1b": (2048, 16, 8, 8, 8192, 50304),
    "1.4b": (2048, 24, 16, 16, 8192, 50304),
    "2.8b": (2560, 32, 32, 32, 10240, 50304),
    "6.9b": (4096, 32, 32, 32, 16384, 50432),
    "12b": (5120, 36, 40, 40, 20480, 50688),
}
_GPT2 = {
    "gpt2": (768, 12, 12, 12, 3072, 50257),
    "gpt2-medium": (1024, 24, 16, 16, 4096, 50257),
    "gpt2-large": (1280, 36, 20, 20, 5120, 50257),
    "gpt2-xl": (1600, 48, 25, 25, 6400, 50257),
}
_PUBLISHED = {
    **{f"Qwen/Qwen2.5-{size}": ("qwen2", numbers) for size, numbers in _QWEN25.items()},
    **{f"EleutherAI/pythia-{size}": ("gpt_neox", numbers) for size, numbers in _PYTHIA.items()},
    **{f"openai-community/{name}": ("gpt2", numbers) for name, numbers in _GPT2.items()},
    "Qwen/Qwen1.5-0.5B": ("qwen2", (1024, 24, 16, 16, 2816, 151936)),
    "meta-llama/Meta-Llama-3-8B": ("llama", (4096, 32, 32, 8, 14336, 128256)),
    "meta-llama/Llama-3.1-8B": ("llama", (4096, 32, 32, 8, 14336, 128256)),
    "meta-llama/Llama-3.1-70B": ("llama", (8192, 80, 64, 8, 28672, 128256)),
    "mistralai/Mistral-7B-v0.1": ("mistral", (4096, 32, 32, 8, 14336, 32000)),
}


def shape_of_name(name: str, base: Path) -> Shape | None:
    """None for labels in a file, and for a hub model that is neither in the table nor in this machine's cache."""
    bare = name.removeprefix(UNTRAINED)
    if bare.startswith(EXTERNAL):
        return None
    if not bare.startswith("hub:"):
        return Shape.of(
            json.loads((folder_of(bare, base) / "config.json").read_text(encoding="utf-8")), num_parameters(bare, base)
        )
    kind, numbers = _PUBLISHED.get(bare.removeprefix("hub:").partition("@")[0].removesuffix("-Instruct"), ("", ()))
    if not numbers:
        config = config_in_cache(bare)
        return None if config is None else Shape.of(json.loads(config.read_text(encoding="utf-8")))
    names = (
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "intermediate_size",
        "vocab_size",
    )
    return Shape.of({"model_type": kind, **dict(zip(names, numbers, strict=True))})


def config_in_cache(name: str) -> Path | None:
    """The configuration of a pinned hub model, if this machine's cache holds it."""
    from huggingface_hub import try_to_load_from_cache

    repo, _, commit = name.removeprefix(UNTRAINED).removeprefix("hub:").partition("@")
    found = try_to_load_from_cache(repo, "config.json", revision=commit)
    return Path(found) if isinstance(found, str) else None
