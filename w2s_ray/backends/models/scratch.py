"""Small models with random weights, written as ordinary Hugging Face folders: for tests, benchmarks and the built-in
world, where nothing can be downloaded."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from w2s_ray.backends.models.load import load_tokenizer, quiet
from w2s_ray.core.errors import ModelError
from w2s_ray.core.seeds import derive_seed, stream

PAD, BOS, UNK = "<pad>", "<bos>", "<unk>"
SPECIAL = (PAD, BOS, UNK)


def build_scratch(
    folder: Path,
    vocabulary: Sequence[str],
    *,
    hidden: int,
    layers: int,
    heads: int,
    ffn: int,
    seed: int,
    init_std: float = 0.02,
    positions: int = 512,
) -> Path:
    """Write a Llama of this shape with a word-level tokenizer; the ids 0 to 2 are pad, bos and unk. Equal arguments
    give equal bytes. An existing folder is replaced."""
    _check_vocabulary(vocabulary)
    if hidden % heads:
        raise ModelError(f"hidden is {hidden}, which {heads} heads do not divide; choose a multiple")
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        with quiet():
            word_tokenizer(vocabulary, positions).save_pretrained(made)
            model = _random_llama(len(SPECIAL) + len(vocabulary), hidden, layers, heads, ffn, seed, init_std, positions)
            model.save_pretrained(made, safe_serialization=True)
        _swap(made, folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder


def build_untrained(folder: Path, like: Path, seed: int = 0) -> Path:
    """Write a model of the same shape and tokenizer with weights drawn anew, as its architecture draws them: the
    control for what pretraining gave."""
    from transformers import AutoConfig, AutoModel

    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        with quiet(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "untrained"))
            model = AutoModel.from_config(
                AutoConfig.from_pretrained(like, local_files_only=True), dtype=torch.float32, trust_remote_code=False
            )
            model.save_pretrained(made, safe_serialization=True)
            load_tokenizer(str(like)).save_pretrained(made)
        _swap(made, folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder


def word_tokenizer(vocabulary: Sequence[str], positions: int) -> Any:
    """One token a word, split at white space; a bos before each text, so that the two texts of a pair are told
    apart."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(WordLevel({word: i for i, word in enumerate([*SPECIAL, *vocabulary])}, unk_token=UNK))
    words.pre_tokenizer = WhitespaceSplit()
    words.post_processor = TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, SPECIAL.index(BOS))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token=PAD,
        bos_token=BOS,
        unk_token=UNK,
        padding_side="right",
        model_max_length=positions,
    )


def _random_llama(
    num_tokens: int, hidden: int, layers: int, heads: int, ffn: int, seed: int, init_std: float, positions: int
) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=num_tokens,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        intermediate_size=ffn,
        max_position_embeddings=positions,
        initializer_range=init_std,
        tie_word_embeddings=True,
        pad_token_id=SPECIAL.index(PAD),
        bos_token_id=SPECIAL.index(BOS),
        eos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        model = LlamaForCausalLM(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim >= 2:  # norms keep their ones; numpy's streams are the same on every machine
                parameter.copy_(
                    torch.from_numpy(stream(seed, "scratch", name).normal(0, init_std, tuple(parameter.shape)))
                )
    return model


def _check_vocabulary(vocabulary: Sequence[str]) -> None:
    bad = [word for word in vocabulary if not word or word != "".join(word.split()) or word in SPECIAL]
    if bad or len(set(vocabulary)) < len(vocabulary) or not vocabulary:
        raise ModelError(
            f"a vocabulary holds distinct words without white space, other than {', '.join(SPECIAL)}; got"
            f" {len(vocabulary)} words, {len(set(vocabulary))} distinct, not usable: {bad[:3]}"
        )


def _swap(made: Path, folder: Path) -> None:
    """Put the finished folder in place. One with the same bytes, which a racing writer makes, is left alone: somebody
    may be reading it."""
    if all(
        (folder / path.name).is_file() and (folder / path.name).read_bytes() == path.read_bytes()
        for path in made.iterdir()
    ):
        return
    old = made.with_name(f"{made.name}.old")
    with suppress(FileNotFoundError):
        os.replace(folder, old)
    try:
        os.replace(made, folder)
    except OSError:
        if not (folder / "config.json").is_file():
            raise
    shutil.rmtree(old, ignore_errors=True)


def main() -> int:
    """`python -m w2s_ray.backends.models.scratch FOLDER --words ROWS.jsonl`: a small untrained model over the words of
    one's own texts, to be a weak teacher."""
    parser = argparse.ArgumentParser(prog="python -m w2s_ray.backends.models.scratch", description=main.__doc__)
    parser.add_argument("folder", type=Path, help="where the Hugging Face folder is written")
    parser.add_argument(
        "--words",
        type=Path,
        required=True,
        metavar="FILE",
        help="a text or JSONL file whose most frequent words become the vocabulary",
    )
    parser.add_argument("--num-words", type=int, default=5000)
    parser.add_argument("--hidden", type=int, default=32)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    words = _frequent_words(args.words, args.num_words)
    build_scratch(
        args.folder,
        words,
        hidden=args.hidden,
        layers=args.layers,
        heads=2,
        ffn=2 * args.hidden,
        seed=args.seed,
        init_std=0.1,
    )
    sys.stdout.write(f"{args.folder}: {args.layers} layers of width {args.hidden} over {len(words)} words\n")
    return 0


def _frequent_words(path: Path, most: int) -> list[str]:
    """The words of all texts in a file, the most frequent first."""
    counts: Counter[str] = Counter()
    for line in path.read_text(encoding="utf-8").splitlines():
        texts = (
            [value for value in json.loads(line).values() if isinstance(value, str)]
            if path.suffix == ".jsonl"
            else [line]
        )
        counts.update(word for text in texts for word in text.split())
    return [word for word, _ in counts.most_common(most + len(SPECIAL)) if word not in SPECIAL][:most]


if __name__ == "__main__":
    raise SystemExit(main())
