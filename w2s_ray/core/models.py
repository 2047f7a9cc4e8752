"""`ModelRef`: which pretrained model. Methods pass it on and never look inside.

Schemes: `hub:org/name@revision` (the Hugging Face hub), `path:/folder` (a local Hugging Face folder),
`package:name/folder` (one inside an installed Python package), `world/name` (the built-in ladder).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelRef:
    """A pretrained model as the study names it.

    `identity` is what counts in a fingerprint (a revision, or the digest of a folder's files); `path` is where it is
    and does not count.
    """

    name: str
    identity: str
    path: str = ""

    def __str__(self) -> str:
        return self.name
