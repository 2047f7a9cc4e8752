"""How much of a store is what: one listing of its files, which also counts what attempts left and no record names."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from w2s_ray.engine.store import Store


@dataclass
class Used:
    """By the artifacts of one step."""

    artifacts: int = 0
    size: int = 0  # bytes


def usage(store: Store) -> dict[str, Used]:
    """By step; the store's own files (leases, heartbeats, ledgers) count as their folders'."""
    found: dict[str, Used] = defaultdict(Used)
    for name, size in _files(store):
        step, *rest = name.split("/")
        found[step].size += size
        found[step].artifacts += len(rest) == 2 and rest[1] == "record.json"
    return dict(found)


def _files(store: Store) -> Iterator[tuple[str, int]]:
    """Names below the root, and bytes. What vanishes meanwhile is not counted."""
    if not store.local:
        root = store.root.lstrip("/")
        for path, facts in store.fs.find(store.root, detail=True).items():
            yield path.partition(f"{root}/")[2], int(facts["size"] or 0)
        return
    folders = [store.root]
    while folders:
        with suppress(FileNotFoundError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    with suppress(FileNotFoundError):
                        yield entry.path[len(store.root) + 1 :], entry.stat(follow_symlinks=False).st_size
