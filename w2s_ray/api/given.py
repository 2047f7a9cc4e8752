"""What a study may be given as: a mapping, a config, a file, a study; with objects where YAML has words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from w2s_ray.config.load import Study, followed, made, raw_of
from w2s_ray.config.method import MethodParams
from w2s_ray.config.schema import IN_A_STUDY, StudyConfig
from w2s_ray.core.errors import ConfigError
from w2s_ray.core.plugins import available

Given = Study | StudyConfig | Mapping[str, Any] | str | Path


def taken(
    study: Given, sets: Sequence[str] = (), *, base: str | Path | None = None,
    resources: Mapping[str, Any] | None = None,
) -> Study:  # fmt: skip
    """The checked study that is meant. `sets` are `KEY=VALUE` as after `--set`; `resources` stand above its own."""
    raw, own, file = _read(study)
    found = made(plain(raw), (Path(base) if base is not None else own).resolve(), sets, resources)
    return replace(found, file=file)


def _read(study: Given) -> tuple[Mapping[str, Any], Path, Path | None]:
    """Its keys, where its relative paths start, and its file."""
    if isinstance(study, (str, Path)):
        return raw_of(Path(study)), Path(study).resolve().parent, Path(study)
    if isinstance(study, Study):
        return study.raw | followed(study.config), study.base, study.file
    if isinstance(study, StudyConfig):
        return study.model_dump(mode="json") | followed(study), Path.cwd(), None
    if isinstance(study, Mapping):
        return study, Path.cwd(), None
    raise ConfigError(f"study is {study!r}; give a w2s.Study, a mapping with its keys, or the path of its YAML")


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """As YAML would hold them. What an object leaves at its default stays unsaid, so that a convention's default or a
    model's own still counts. A method that no name finds stays what it is."""
    try:
        return {str(key): _plain(value) for key, value in values.items()}
    except RecursionError:
        raise ConfigError("the study holds a list or mapping that holds itself; write its values out") from None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, BaseModel):
        return value if _is_own(value) else _said(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value) if not _is_default(value, f)}
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if hasattr(value, "tolist"):  # numpy's
        return _plain(value.tolist())
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple, range)) else value


def _said(value: BaseModel) -> dict[str, Any]:
    named = [name for name in type(value).model_fields if name in value.model_fields_set or name == "type"]
    return {name: _plain(getattr(value, name)) for name in named}


def _is_own(value: BaseModel) -> bool:
    """Whether it is a method of this program alone: a class that is not in the registry."""
    if not isinstance(value, MethodParams):
        return False
    return type(value) not in available("w2s_ray.methods").values()


def _is_default(value: Any, field: Any) -> bool:
    default = field.default if field.default is not MISSING else field.default_factory()
    said = getattr(value, field.name)
    # No GPU is the default of `Resources`, and not of a study: 0 that somebody wrote is not that default's own 0.0.
    return said is default if field.name in IN_A_STUDY else bool(said == default)
