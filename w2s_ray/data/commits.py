"""Which commit a model or data set of the hub means now: asked of the hub, or where it does not answer, of this
machine's cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from w2s_ray.core.errors import InputError
from w2s_ray.data.hub import COMMIT, client_error

What = Literal["model", "dataset"]
MAIN = "main"
ANSWER_S = 20.0  # for the hub


@dataclass(frozen=True)
class Commit:
    """A commit, and where it was learned."""

    digest: str
    told_by: str


def commit_of(what: What, repo: str, revision: str = MAIN) -> Commit:
    """The commit that a branch, a tag or a beginning of a commit means."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return _cached(what, repo, revision, "HF_HUB_OFFLINE is set; unset it and run once with a network")
    try:
        return Commit(_asked(what, repo, revision), f"told now by {constants.ENDPOINT}")
    except _Away as away:
        return _cached(what, repo, revision, f"the hub does not answer ({away}); try again with a network")


class _Away(Exception):
    """The hub did not answer, which says nothing of what was asked."""


def _asked(what: What, repo: str, revision: str) -> str:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    api = HfApi()
    ask: Callable[..., object] = api.model_info if what == "model" else api.dataset_info
    try:
        digest = str(getattr(ask(repo, revision=revision, timeout=ANSWER_S), "sha", ""))
    except GatedRepoError:
        raise InputError(f"is gated; ask for access at {page(what, repo)}, then log in with `hf auth login`") from None
    except RevisionNotFoundError:
        raise InputError(f"has no {revision!r}; {page(what, repo)}/commits/main lists its commits") from None
    except RepositoryNotFoundError:
        raise InputError(
            f"is not on the hub or is private; check the spelling at {page(what, repo)}, or log in with `hf auth login`"
        ) from None
    except (client_error(), OSError, ValueError) as error:
        raise _Away(" ".join(str(error).split())[:200]) from None
    if not COMMIT.fullmatch(digest):
        raise _Away(f"it gave {digest!r:.60} as the commit")
    return digest


def _cached(what: What, repo: str, revision: str, why: str) -> Commit:
    """As the cache last saw it."""
    from huggingface_hub import constants

    place = Path(constants.HF_HUB_CACHE, f"{what}s--{repo.replace('/', '--')}", "refs", *revision.split("/"))
    try:
        digest = place.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        digest = ""
    if not COMMIT.fullmatch(digest):
        raise InputError(
            f"has no commit, and this machine's cache knows no {revision} of it: {why}, or write"
            f" hub:{repo}@COMMIT with the 40 digits that {page(what, repo)}/commits/main lists"
        )
    return Commit(digest, f"told by this machine's cache ({why.partition(';')[0]})")


def page(what: What, repo: str) -> str:
    """Where people look at it."""
    return f"https://huggingface.co/{'datasets/' if what == 'dataset' else ''}{repo}"
