"""The file of a backup: a tar of parts, and at its end a manifest with the hash of each.

    stores/cloud.db …            the parts
    manifest-<sha256>.json       the list of parts; its name has the hash of its content

So a file that was cut off has no manifest, and damage is noticed before any part is used. Parts are
not compressed: images and git bundles are already. No part's name has a meaning here. The commands
`backup` and `restore` call this.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import io
import os
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

import msgspec

from kumoi.base import files
from kumoi.base.errors import Conflict, Invalid, Permanent

FORMAT = 1
MANIFEST = "manifest-"
MANIFEST_MAX_BYTES = 64 << 20
CHUNK = 1 << 20

Tell = Callable[[int], None]  # Called with the number of bytes just read.


class Part(msgspec.Struct, frozen=True):
    name: str
    size: int
    sha256: str
    mode: int


class StoreFacts(msgspec.Struct, frozen=True):
    migration: str
    epoch: str
    revision: int


class Manifest(msgspec.Struct, frozen=True):
    """`made_at` is in ISO 8601. `state_dir` is that of the cloud that was backed up."""

    format: int
    release: str
    cloud: str
    state_dir: str
    made_at: str
    stores: dict[str, StoreFacts]
    parts: list[Part]

    @property
    def bytes(self) -> int:
        return sum(part.size for part in self.parts)


@dataclass
class Writer:
    tar: tarfile.TarFile
    tell: Tell
    parts: list[Part] = field(default_factory=list)

    def add(self, name: str, source: Path) -> None:
        with source.open("rb") as opened:
            status = os.fstat(opened.fileno())
            reader = _Hashing(opened, self.tell)
            mode = status.st_mode & 0o777
            self._put(name, status.st_size, mode, reader)
        self.parts.append(Part(name, status.st_size, reader.hexdigest(), mode))

    def finish(self, manifest: Manifest) -> None:
        content = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
        name = f"{MANIFEST}{hashlib.sha256(content).hexdigest()}.json"
        self._put(name, len(content), 0o600, io.BytesIO(content))

    def _put(self, name: str, size: int, mode: int, content: IO[bytes] | _Hashing) -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode, entry.mtime = size, mode, int(time.time())
        self.tar.addfile(entry, content)


@contextmanager
def written(path: Path, tell: Tell) -> Iterator[Writer]:
    """Writes a new backup, which gets its name once it is complete and on the disk. Only its owner
    may read it.

    Raises Conflict when there is a file of that name, Permanent when the disk is full.
    """
    if path.exists() or path.is_symlink():
        raise Conflict(f"{path} is there: a backup is not written over")
    draft = files.draft_of(path)
    draft.unlink(missing_ok=True)
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, files.PRIVATE)
        with os.fdopen(descriptor, "wb") as out, tarfile.open(fileobj=out, mode="w") as tar:
            yield Writer(tar, tell)
        files.publish(draft, path, promise=files.Promise.NEW)
    except OSError as cause:
        if not files.is_disk_full(cause) and cause.errno != errno.EFBIG:
            raise Permanent(f"{path} cannot be written: {cause.strerror}") from cause
        raise Permanent(f"the disk is full: {path} was not written") from cause
    finally:
        draft.unlink(missing_ok=True)


def read_manifest(path: Path) -> Manifest:
    """Raises Invalid when the file is no backup, was cut off, or has a newer format."""
    try:
        with tarfile.open(path, "r:") as tar:
            last = tar.getmembers()[-1]
            found = tar.extractfile(last)
            if not last.name.startswith(MANIFEST) or found is None:
                raise Invalid(f"{path} is no backup of Kumoi, or was cut off")
            content = found.read(MANIFEST_MAX_BYTES)
        if last.name != f"{MANIFEST}{hashlib.sha256(content).hexdigest()}.json":
            raise Invalid(f"{path} is damaged: its manifest is not what it was")
        manifest = msgspec.json.decode(content, type=Manifest)
    except FileNotFoundError as cause:
        raise Invalid(f"{path} is not there") from cause
    except (OSError, tarfile.TarError, IndexError, msgspec.MsgspecError) as cause:
        raise Invalid(f"{path} is no backup of Kumoi, or was cut off") from cause
    if manifest.format > FORMAT:
        raise Invalid(
            f"{path} was made by release {manifest.release}, whose format this one does not know"
        )
    return manifest


def unpack(path: Path, manifest: Manifest, into: Path, tell: Tell) -> None:
    """Write every part below a directory. Raises Invalid when a part is missing or damaged,
    Permanent when there is no room.
    """
    try:
        with tarfile.open(path, "r:") as tar:
            for part in manifest.parts:
                _unpack_part(tar, part, _below(into, part.name), tell)
    except (tarfile.TarError, EOFError) as cause:
        raise Invalid(f"{path} is damaged") from cause
    except OSError as cause:
        raise Permanent(f"{into} cannot be written: {cause.strerror}") from cause


def _unpack_part(tar: tarfile.TarFile, part: Part, target: Path, tell: Tell) -> None:
    try:
        found = tar.extractfile(part.name)
    except KeyError as cause:
        raise Invalid(f"the backup is damaged: {part.name} is not in it") from cause
    if found is None:
        raise Invalid(f"the backup is damaged: {part.name} is no file")
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    reader = _Hashing(found, tell)
    private = functools.partial(os.open, mode=files.PRIVATE)
    with open(target, "xb", opener=private) as out:
        while chunk := reader.read(CHUNK):
            out.write(chunk)
        os.fchmod(out.fileno(), part.mode & 0o777)
        os.fsync(out.fileno())
    if reader.hexdigest() != part.sha256:
        raise Invalid(f"the backup is damaged: {part.name} is not what it was")


def _below(top: Path, name: str) -> Path:
    """A part's path below `top`. Raises Invalid for a name that would leave it."""
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts:
        raise Invalid(f"the backup is damaged: a part is called {name!r}")
    return top / pure


class _Hashing:
    """A file whose content is hashed while it is read."""

    def __init__(self, source: IO[bytes], tell: Tell) -> None:
        self._source, self._tell, self._hash = source, tell, hashlib.sha256()

    def read(self, count: int = -1) -> bytes:
        chunk = self._source.read(count)
        self._hash.update(chunk)
        self._tell(len(chunk))
        return chunk

    def hexdigest(self) -> str:
        return self._hash.hexdigest()
