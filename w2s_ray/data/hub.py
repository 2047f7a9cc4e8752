"""Rows of a dataset on the Hugging Face hub, at one commit. Works from the local cache when offline; runs no code of
the dataset's.

`datasets` falls back to the newest cached copy of a dataset, of whatever revision, when the hub does not answer or does
not know the revision. So the commit of what was loaded is checked, and that is why a revision must be a whole commit
hash: of a branch or tag nothing could be checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from w2s_ray.core.errors import ConfigError, DataError
from w2s_ray.core.plugins import closest
from w2s_ray.data.scheme import Asked, Rows, Scheme

Row = dict[str, object]

COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class HubName:
    """`hub:org/name[/config]@commit[#split]`, taken apart."""

    repo: str
    config: str | None
    commit: str
    split: str | None

    def __str__(self) -> str:
        config, split = f"/{self.config}" if self.config else "", f"#{self.split}" if self.split else ""
        return f"hub:{self.repo}{config}@{self.commit}{split}"


def parse(name: str, key: str) -> HubName:
    """Take a name apart; refuses one that does not pin a commit."""
    rest, _, split = name.removeprefix("hub:").partition("#")
    path, _, commit = rest.partition("@")
    parts = path.split("/")
    if len(parts) not in (2, 3) or not all(parts):
        raise ConfigError(
            f"{key}: {name!r} does not name a dataset; write hub:ORG/NAME@COMMIT, or hub:ORG/NAME/CONFIG@COMMIT for one"
            " of its configurations"
        )
    repo, config = "/".join(parts[:2]), parts[2] if len(parts) == 3 else None
    if not COMMIT.fullmatch(commit):
        fault = f"has {commit!r} as its revision, which can move" if commit else "has no revision"
        where = f"https://huggingface.co/datasets/{repo}/commits/main"
        raise ConfigError(
            f"{key}: {name!r} {fault}; pin it with the 40-digit commit hash that {where} lists: hub:{path}@COMMIT"
        )
    return HubName(repo, config, commit, split or None)


def load(name: HubName, key: str) -> Mapping[str, Iterable[Row]]:
    """The splits of a dataset, each with `column_names`."""
    import datasets

    try:
        builder = datasets.load_dataset_builder(name.repo, name.config, revision=name.commit)
        if builder.hash == name.commit:
            builder.download_and_prepare()
    except (OSError, ValueError, RuntimeError, client_error(), datasets.exceptions.DatasetsError) as error:
        raise DataError(f"{key}: {name} {_reason(name, error)}") from error
    if builder.hash != name.commit:
        raise DataError(
            f"{key}: {name} could not be loaded at that commit, and of this dataset the cache holds {builder.hash}; "
            "unset HF_HUB_OFFLINE and run again with a network, or pin the cached commit if that is the one you mean"
        )
    splits: Mapping[str, Iterable[Row]] = builder.as_dataset()
    return splits


def _reason(name: HubName, error: Exception) -> str:
    """What went wrong and what to do. The exceptions' classes are too coarse (gated, absent and unknown revision are
    one), so their text decides."""
    import huggingface_hub.constants

    text = " ".join(str(error).split())
    page = f"https://huggingface.co/datasets/{name.repo}"
    if huggingface_hub.constants.HF_HUB_OFFLINE and (isinstance(error, ConnectionError) or "find cache" in text):
        return (
            "is not in the local cache and HF_HUB_OFFLINE is set; unset it and run once with a network, after which it"
            " works offline"
        )
    if "gated" in text:
        return f"is gated; ask for access at {page}, then log in with `hf auth login` or set HF_TOKEN"
    if "Revision" in text and "exist" in text:
        return f"has no such commit; {page}/commits/main lists them"
    if "scripts are no longer supported" in text:
        return (
            "is a loading script, which is not run here; pin a commit of its Parquet copy instead, listed at"
            f" {page}/commits/refs%2Fconvert%2Fparquet"
        )
    if "exist on the Hub" in text:
        return (
            f"is not on the hub or is private; check the spelling at {page}, or log in with `hf auth login` if it is"
            " yours"
        )
    if "BuilderConfig" in text or "Config name is missing" in text:
        return f"needs one of the dataset's configurations after its name, hub:ORG/NAME/CONFIG@COMMIT ({text})"
    if _is_network_fault(error) or "check your connection" in text:
        return (
            f"could not be fetched ({text}); check the network, HF_ENDPOINT and any proxy, and run again: what is"
            " loaded already is kept"
        )
    return (
        f"could not be read ({type(error).__name__}: {text}); load it once with datasets.load_dataset to see more, or"
        " save its rows as a file"
    )


def client_error() -> type[Exception]:
    """The root of the errors of the HTTP library that the hub's client is built on, which differs from version to
    version."""
    from huggingface_hub.errors import HfHubHTTPError

    return HfHubHTTPError.__bases__[0]


def _is_network_fault(error: Exception) -> bool:
    status = getattr(getattr(error, "response", None), "status_code", 0)
    return isinstance(error, ConnectionError | TimeoutError) or (
        isinstance(error, client_error()) and (status in (0, 429) or status >= 500)
    )


def _name(asked: Asked) -> HubName:
    return parse(f"hub:{asked.rest}", asked.key)


def _splits(asked: Asked) -> dict[str, Rows]:
    name = _name(asked)
    splits: Mapping[str, Any] = load(name, asked.key)
    if name.split and name.split not in splits:
        raise ConfigError(
            f"{asked.key}: {name} has no split {name.split!r}{closest(name.split, splits)}; there are:"
            f" {', '.join(splits)}"
        )
    wanted = [name.split] if name.split else list(splits)
    return {
        split: Rows(f"{name.repo} {split}", tuple(splits[split].column_names), splits[split].__iter__)
        for split in wanted
    }


SCHEME = Scheme(
    "hub:ORG/NAME[/CONFIG][@COMMIT][#SPLIT]",
    "a dataset of the Hugging Face hub at one commit, from the cache when offline",
    lambda asked: str(_name(asked)),
    _splits,
)
