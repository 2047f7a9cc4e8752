"""The store: artifacts on any fsspec URL, each whole or absent.

    <root>/<step>/<slug>-<hash12>/<attempt>/…     an attempt's files
    <root>/<step>/<slug>-<hash12>/record.json     made last, by exclusive create: the only proof of completion
    <root>/<step>/<slug>-<hash12>/failure.json    why the last attempt ended without a record
    <root>/<step>/<slug>-<hash12>/work/…          what an unfinished step keeps for its next attempt
    <root>/leases/…, <root>/drivers/…, <root>/stops/…   see lease.py
    <root>/ledger/…, <root>/ends/…                what a study's drivers did (account.py), how its last one ended

Nothing is ever renamed into place, so one protocol serves a disk, an object store and memory. The promise: exactly-once
results, at-least-once compute.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from w2s_ray.core.errors import GONE, ConfigError, DamagedArtifact, StoreError
from w2s_ray.engine.fingerprint import SHOWN_KEY, Key
from w2s_ray.engine.record import Failure, Record

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
LARGEST = 64 * 2**20  # bytes of a small file: a record of 100,000 files has 20 MB
_MEMORY_LOCK = threading.Lock()  # fsspec's memory:// checks and writes in two steps


@dataclass(frozen=True)
class Artifact:
    """A finished result: its record, and a local folder with its verified files."""

    key: Key
    record: Record
    path: Path


@dataclass
class Store:
    """Artifacts below one URL. Made by `open_store`; cheap to make again in each process."""

    url: str
    fs: Any
    root: str
    local: bool  # on a disk, which is used directly: atomic links and moves, no copies
    _records: dict[Key, Record] = field(default_factory=dict)
    _verified: dict[tuple[Key, str], Path] = field(default_factory=dict)

    # --- records ---

    def record(self, key: Key) -> Record | None:
        """The record of a finished artifact, or None."""
        if (known := self._records.get(key)) is not None:
            return known
        data = self.read(f"{key.path}/record.json")
        if data is None:
            return None
        try:
            record = Record.loads(data)
        except (ValueError, TypeError):
            raise DamagedArtifact(key.full) from None
        if record.key != key.full:
            if not record.key.startswith(f"{key.path}"):
                raise DamagedArtifact(key.full)  # the record of another artifact, copied here
            raise StoreError(
                f"{key} is taken by another artifact with the same 12 digits ({record.key}); use another store"
            )
        self._records[key] = record
        return record

    def has(self, key: Key) -> bool:
        return self.record(key) is not None

    def there(self, key: Key) -> bool:
        """`has`, before making an artifact: a record that cannot be read is set aside, so that a new one can take its
        place."""
        try:
            return self.has(key)
        except DamagedArtifact:
            self.set_aside(key)
            return False

    def commit(self, key: Key, record: Record) -> bool:
        """Publish. False when another attempt was first: its record stands and this attempt's files are dropped."""
        if self.create(f"{key.path}/record.json", record.dumps()) or self._stands(key, record):
            self._records[key] = record
            self.remove(f"{key.path}/failure.json")
            return True
        self.remove(f"{key.path}/{record.attempt}")
        return False

    def _stands(self, key: Key, record: Record) -> bool:
        """Whether the stored record is this one: an object store may have accepted it and lost the reply."""
        data = self.read(f"{key.path}/record.json")
        return data is not None and data == record.dumps()

    def fail(self, key: Key, failure: Failure) -> None:
        self.write(f"{key.path}/failure.json", failure.dumps())

    def failure(self, key: Key) -> Failure | None:
        """Why the last attempt failed, if it did. A record that cannot be read counts as none, and the step is tried
        again."""
        data = self.read(f"{key.path}/failure.json")
        try:
            return None if data is None else Failure.loads(data)
        except ValueError:
            return None

    def finished(self, step: str | None = None) -> Iterator[Key]:
        """Keys of all finished artifacts, or of one step's; records that cannot be read are skipped."""
        for path in sorted(self.fs.glob(f"{self.root}/{step or '*'}/*/record.json")):
            try:
                yield Key.parse(Record.loads(self.read(path.removeprefix(f"{self.root}/")) or b"").key)
            except (ValueError, TypeError):
                continue

    def find(self, shown: str) -> Record | None:
        """The record of a key as people see it, with the beginning of its digest; None where there is none."""
        data = self.read(f"{shown}/record.json") if SHOWN_KEY.fullmatch(shown) else None
        try:
            record = None if data is None else Record.loads(data)
        except (ValueError, TypeError):
            return None
        return record if record is not None and record.key.startswith(shown) else None

    def forget(self, key: Key) -> None:
        """Drop what is cached of a key, so that the store itself is read the next time."""
        self._records.pop(key, None)
        self._verified = {k: v for k, v in self._verified.items() if k[0] != key}

    # --- an attempt's files ---

    def attempt_folder(self, key: Key, attempt: str) -> Path:
        """Where an attempt writes: in place on a disk, in a temporary folder otherwise."""
        if self.local:
            folder = Path(self.root) / key.path / attempt
            folder.mkdir(parents=True, exist_ok=True)
            return folder
        return Path(tempfile.mkdtemp(prefix="w2s-attempt-"))

    def upload(self, key: Key, attempt: str, folder: Path) -> dict[str, dict[str, Any]]:
        """Bring an attempt's files into the store; returns their sizes and checksums."""
        files = {}
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            name = path.relative_to(folder).as_posix()
            files[name] = {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
            if not self.local:
                self.fs.put_file(str(path), f"{self.root}/{key.path}/{attempt}/{name}")
        if not self.local:
            shutil.rmtree(folder)
        return files

    def open(self, key: Key) -> Artifact:
        """The artifact with local files; each file's checksum is verified once a process. The caller knows that it
        existed: where its record is missing, it was set aside."""
        record = self.record(key)
        if record is None:
            raise DamagedArtifact(key.full, GONE)
        if (key, record.attempt) not in self._verified:
            self._verified[key, record.attempt] = self._verify(key, record)
        return Artifact(key, record, self._verified[key, record.attempt])

    def _verify(self, key: Key, record: Record) -> Path:
        remote = f"{self.root}/{key.path}/{record.attempt}"
        if self.local:
            folder = Path(remote)
        else:
            folder = cache_folder() / hashlib.sha256(self.url.encode()).hexdigest()[:12] / key.digest / record.attempt
            with _alone(folder.with_name(f"{record.attempt}.lock")):
                for name, facts in record.files.items():
                    self._download(f"{remote}/{name}", folder / name, facts)
        for name, facts in record.files.items():
            if not _is_whole(folder / name, facts):
                raise DamagedArtifact(key.full, record.attempt)
        return folder

    def _download(self, remote: str, path: Path, facts: dict[str, Any]) -> None:
        if _is_whole(path, facts):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{uuid4().hex}")
        try:
            self.fs.get_file(remote, str(part))
            if _is_whole(part, facts):  # only a whole file takes its place; the caller's check reports a missing one
                os.replace(part, path)
        except FileNotFoundError:
            return
        finally:
            part.unlink(missing_ok=True)

    def set_aside(self, key: Key) -> None:
        """Take a damaged artifact out of use; its record is kept under another name, for diagnosis."""
        data = self.read(f"{key.path}/record.json")
        if data is not None:
            self.write(f"{key.path}/record.damaged-{uuid4().hex[:8]}.json", data)
            self.remove(f"{key.path}/record.json")
        self.forget(key)

    # --- small files, below the root ---

    def read(self, name: str) -> bytes | None:
        """Of a larger one than there should be the beginning alone, which no reader takes for whole."""
        path = f"{self.root}/{name}"
        try:
            if self.local:
                with open(path, "rb") as file:
                    return file.read(LARGEST)
            return self._beginning(path)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def _beginning(self, path: str) -> bytes:
        try:
            data: bytes = self.fs.cat_file(path, start=0, end=LARGEST)
        except FileNotFoundError:
            raise
        except Exception:
            if self.fs.size(path):
                raise
            return b""  # an object store has no range of an empty file
        return data

    def write(self, name: str, data: bytes) -> None:
        """Replace a file atomically: a reader sees the old bytes or the new."""
        path = f"{self.root}/{name}"
        if self.local:
            part = _write_part(Path(path), data, durable=False)
            os.replace(part, path)
        else:
            self.fs.pipe_file(path, data)

    def create(self, name: str, data: bytes, *, durable: bool = True) -> bool:
        """Create a file that must not exist. Of any number of callers one gets True. A `durable` file survives a power
        cut."""
        path = f"{self.root}/{name}"
        if self.local:
            part = _write_part(Path(path), data, durable)
            try:
                os.link(part, path)
            except FileExistsError:
                return False
            finally:
                os.unlink(part)
            return True
        try:
            with _MEMORY_LOCK:
                self.fs.pipe_file(path, data, mode="create")
        except FileExistsError:
            return False
        return True

    def remove(self, name: str) -> None:
        """Remove a file or folder if it is there."""
        path = f"{self.root}/{name}"
        try:
            if self.local and not os.path.isdir(path):
                os.unlink(path)
            else:
                self.fs.rm(path, recursive=True)
        except FileNotFoundError:
            return

    def read_only(self) -> StoreError | None:
        """Why nothing can be written, if nothing can."""
        try:
            self.probe()
        except StoreError as error:
            return error
        return None

    def probe(self) -> None:
        """Check that the store can be written, exclusively created in, read and removed from; raises StoreError with
        the reason."""
        name = f"drivers/probe-{uuid4().hex}"
        try:
            if not self.create(name, b"x") or self.create(name, b"y"):
                raise StoreError(
                    f"the store {self.url} does not support exclusive create, so two drivers could overwrite each"
                    " other; use a local path, s3:// or gs://"
                )
            if self.read(name) != b"x":
                raise StoreError(f"the store {self.url} does not give back what was written")
            self.remove(name)
        except StoreError:
            raise
        except Exception as error:  # each cloud's client has errors of its own: no credentials, no bucket, no network
            raise StoreError(
                f"the store {self.url} cannot be used: {error}; give another one with --store, or free space and"
                " permissions there"
            ) from error


@dataclass(frozen=True)
class WorkPlace:
    """The work directory of an unfinished step: whole files by name, kept for its next attempt. On a disk a file is
    moved, not copied."""

    store: Store
    key: Key

    @property
    def _folder(self) -> Path:
        return (
            Path(self.store.root) / self.key.path / "work"
            if self.store.local
            else cache_folder() / "work" / self.key.digest
        )

    @property
    def scratch(self) -> Path:
        """A local folder for temporary files; on the store's own file system where that is a disk."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder

    def fetch(self, name: str) -> Path | None:
        """A local file of that name, or None."""
        if self.store.local:
            path = self._folder / name
            return path if path.is_file() else None
        path = self.scratch / name
        part = path.with_name(f".{name}.{uuid4().hex}")  # processes of one machine may fetch it at once
        try:
            self.store.fs.get_file(f"{self.store.root}/{self.key.path}/work/{name}", str(part))
        except FileNotFoundError:
            return None
        os.replace(part, path)
        return path

    def keep(self, name: str, file: Path) -> None:
        """Move a finished temporary file to this name; replaces an older one atomically."""
        if self.store.local:
            os.replace(file, self.scratch / name)
        else:
            self.store.fs.put_file(str(file), f"{self.store.root}/{self.key.path}/work/{name}")
            file.unlink()

    def clear(self) -> None:
        """Drop everything: the step is done."""
        if self._folder.exists():
            shutil.rmtree(self._folder, ignore_errors=True)
        if not self.store.local:
            self.store.remove(f"{self.key.path}/work")


def _write_part(path: Path, data: bytes, durable: bool) -> Path:
    """A complete temporary file beside `path`."""
    part = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        if error.errno in NO_ROOM:
            raise no_room(error, part.parent) from error
        raise
    return part


def no_room(error: OSError, place: object) -> StoreError:
    """A full or read-only disk in a line."""
    return StoreError(f"{error.strerror} at {place}; free space there, or give another store with --store")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Of the processes of this machine, so that each file is fetched once. A killed one gives the lock back; on a disk
    without locks all go on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab") as file:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _is_whole(path: Path, facts: dict[str, Any]) -> bool:
    """Whether a file is there and is what its record says."""
    return path.is_file() and path.stat().st_size == facts["bytes"] and sha256_of(path) == facts["sha256"]


def sha256_of(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """The folder for copies of remote files on this machine; `W2S_CACHE` overrides it."""
    return Path(os.environ.get("W2S_CACHE") or Path.home() / ".cache" / "w2s_ray")


@lru_cache(maxsize=32)
def open_store(url: str) -> Store:
    """The store at a URL or an absolute path."""
    if "://" not in url and not os.path.isabs(url):
        raise ConfigError(
            f"store: {url!r} is not absolute; workers run in other folders, so give an absolute path or a URL such as"
            " s3://bucket/folder"
        )
    import fsspec  # here, so that importing a method stays fast
    from fsspec.implementations.local import LocalFileSystem

    options = {"use_listings_cache": False} if url.startswith("s3://") else {}
    try:
        fs, root = fsspec.core.url_to_fs(url, **options)
    except (ImportError, ValueError) as error:
        raise ConfigError(
            f"store: {url!r} cannot be opened ({error}); give an absolute path, s3://… (pip install 'w2s_ray[s3]') or"
            " gs://… (w2s_ray[gcs])"
        ) from error
    return Store(url, fs, str(root).rstrip("/"), isinstance(fs, LocalFileSystem))
