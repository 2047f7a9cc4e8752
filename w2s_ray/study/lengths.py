"""How long the rows of a study are to the models that will read them. Their tokens are kept in the cache, where a run
on this machine finds them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from w2s_ray.config.load import Study
from w2s_ray.config.recipe import Recipe
from w2s_ray.config.schema import Cell, Role
from w2s_ray.core.dataset import Dataset
from w2s_ray.core.errors import InputError
from w2s_ray.data.label_files import EXTERNAL
from w2s_ray.engine.context import Context
from w2s_ray.engine.fingerprint import Key
from w2s_ray.engine.store import cache_folder
from w2s_ray.ops.models import UNTRAINED, identify, locate
from w2s_ray.study.check import not_to_be_had, role_of
from w2s_ray.study.setting import Setting


@dataclass(frozen=True)
class Lengths:
    """The rows of one split to one model."""

    model: str
    data: str
    split: str
    longest: int  # tokens
    limit: int | None  # that the model reads; None: any number
    too_long: int  # rows
    certain: bool  # whether the study reads them for certain


@dataclass(frozen=True)
class _Reading:
    model: str
    prompt: str
    more: int  # tokens that the model adds itself: its answer
    certain: tuple[str, ...]  # splits that are read in every such cell; of the others the method decides


def lengths_of(study: Study, context: Context) -> Iterator[Lengths | InputError]:
    """For every model and every split of its tasks; an error where a model's tokenizer cannot be loaded or a row not be
    read."""
    setting = Setting(context, study.base, study.gpus)
    seen: set[tuple[str, _Reading]] = set()
    failed: set[str] = set()
    for cell in study.cells:
        splits: dict[str, str] = setting.prepared(cell).value["splits"]
        for reading in _readings(cell):
            wanted = [split for split, key in splits.items() if (key, reading) not in seen]
            seen |= {(splits[split], reading) for split in wanted}
            if not wanted or reading.model in failed or not_to_be_had(reading.model):
                continue
            rows = {split: Dataset.load(context.store.open(Key.parse(splits[split])).path) for split in wanted}
            try:
                yield from _measured(reading, rows, study)
            except InputError as error:
                failed.add(reading.model)
                yield error


def _readings(cell: Cell) -> Iterator[_Reading]:
    config, method = cell.config, cell.method
    roles: list[tuple[Role, str]] = [("weak", config.models.weak), ("strong", config.models.strong)]
    for role, model in [*roles, *((role_of(method, name), name) for name in method.other_models)]:
        if not model.startswith(EXTERNAL):
            recipe: Recipe = config.train.of(role, model)
            taught = ("labelled",) if role == "weak" or config.ceiling_on == "labelled" else ()
            yield _Reading(model, recipe.prompt, recipe.answer_tokens, ("pool", "test", *taught))


def _measured(reading: _Reading, rows: Mapping[str, Dataset], study: Study) -> Iterator[Lengths]:
    from w2s_ray.backends.batch.tokens import tokenise

    tokenizer, limit = _reader(locate(identify(reading.model, study.base).path.removeprefix(UNTRAINED)))
    for split, data in rows.items():
        tokens = tokenise(data.prompted(reading.prompt), tokenizer, cache_folder() / "tokens")
        most = None if limit is None else limit - (reading.more if data.kind.generated else 0)
        longest_N = tokens.lengths_Q.reshape(-1, tokens.per_row).max(axis=1)
        too_long = 0 if most is None else int((longest_N > most).sum())
        certain = split in reading.certain
        yield Lengths(reading.model, data.name, split, int(longest_N.max()), most, too_long, certain)


@cache
def _reader(path: str) -> tuple[Any, int | None]:
    """A model's tokenizer, and its longest row."""
    from w2s_ray.backends.models.load import load_tokenizer, longest_of

    return load_tokenizer(path), longest_of(path)
