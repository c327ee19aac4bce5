"""The keys that sign tokens, as they are kept on one control host: a directory with a file for each.

What the directory stands for is `SigningKeys`, which several API processes share. On several control
hosts it is the store (stored_key.py). Which key signs and which are accepted is domain/identity/signing_key.py's to say. A file
that this release does not understand is left alone and told once; tokens of its key are not
accepted here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from kumoi.base import files, log

ALGORITHM = "EdDSA"
FIRST = "first"  # A name of its own, so that two starting at once end with one key.
SUFFIX = ".json"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """`id` is the `kid` of the tokens that it signs; `made_at` is when it was published."""

    id: str
    made_at: datetime
    private: Ed25519PrivateKey


class SigningKeys(Protocol):
    """The keys that all API processes share."""

    def load(self) -> Sequence[SigningKey]:
        """All keys, in no order; empty before the first one is added."""
        ...

    def add(self, key: SigningKey) -> None: ...

    def add_first(self, key: SigningKey) -> None:
        """Add a key unless there is one, even one that this release does not understand."""
        ...

    def remove(self, id: str) -> None:
        """A key that is not there is no error."""
        ...


class _File(msgspec.Struct):
    id: str
    algorithm: str
    made_at: datetime
    private_key: str


class KeyDirectory:
    """`SigningKeys` on one machine: a directory that only its owner can read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._told: set[Path] = set()

    def load(self) -> list[SigningKey]:
        found = [self._read(path) for path in sorted(self._path.glob(f"*{SUFFIX}"))]
        return [key for key in found if key is not None]

    def add(self, key: SigningKey) -> None:
        self._ensure()
        text, owner = render(key), self._owner()
        files.replace(self._path_of(key.id), text, promise=files.Promise.NEW, owner=owner)

    def add_first(self, key: SigningKey) -> None:
        self._ensure()
        if any(self._path.glob(f"*{SUFFIX}")):
            return
        draft = self._path / f".{FIRST}.{os.getpid()}"
        text, owner = render(key), self._owner()
        files.replace(draft, text, promise=files.Promise.OLD_OR_NEW, owner=owner)
        try:
            os.link(draft, self._path_of(FIRST))
        except FileExistsError:
            pass  # Somebody else's is as good.
        finally:
            draft.unlink()
        files.sync(self._path)

    def remove(self, id: str) -> None:
        """Whatever the file is called."""
        for path in self._path.glob(f"*{SUFFIX}"):
            key = self._read(path)
            if key is not None and key.id == id:
                path.unlink(missing_ok=True)

    def _ensure(self) -> None:
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _owner(self) -> tuple[int, int]:
        """Of a key, also of one that a command of root's makes."""
        status = self._path.stat()
        return status.st_uid, status.st_gid

    def _path_of(self, name: str) -> Path:
        return self._path / f"{name}{SUFFIX}"

    def _read(self, path: Path) -> SigningKey | None:
        try:
            return parse(path.read_bytes())
        except FileNotFoundError:  # It has just been removed.
            return None
        except (ValueError, TypeError) as error:
            if path not in self._told:
                self._told.add(path)
                log.failure("signing_key.not_understood", error, file=path.name)
            return None


def parse(content: bytes) -> SigningKey:
    """Raises ValueError for a file that is no key of this format."""
    file = msgspec.json.decode(content, type=_File)
    private = load_pem_private_key(file.private_key.encode(), password=None)
    if file.algorithm != ALGORITHM or not isinstance(private, Ed25519PrivateKey):
        raise ValueError(f"its algorithm is not {ALGORITHM}")
    return SigningKey(file.id, file.made_at, private)


def render(key: SigningKey) -> bytes:
    pem = key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return msgspec.json.encode(_File(key.id, ALGORITHM, key.made_at, pem.decode()))
