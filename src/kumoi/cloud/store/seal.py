"""The key that seals what users keep as secrets and as credentials: a file that only the API can read, and that all API processes share.

Who has the database alone has no secret. Made by whichever process needs it first.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kumoi.base import files
from kumoi.base.errors import Bug

KEY_BYTES = 32
NONCE_BYTES = 12
FORMAT = b"1"


class Seal:
    def __init__(self, path: Path) -> None:
        self._path = path

    def ensure(self) -> None:
        """Make the key now, for somebody who gives it to others before anybody needs it."""
        self._cipher()

    def close(self, name: str, plain: bytes) -> bytes:
        """What only `open` with the same name turns back."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return FORMAT + nonce + self._cipher().encrypt(nonce, plain, name.encode())

    def open(self, name: str, sealed: bytes) -> bytes:
        """Raises Bug for what was sealed with another key, or under another name."""
        nonce, text = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        if sealed[:1] != FORMAT:
            raise Bug(f"secret {name} is sealed in a form that this release does not know")
        try:
            return self._cipher().decrypt(nonce, text, name.encode())
        except InvalidTag as cause:
            raise Bug(f"secret {name} was sealed with another key") from cause

    def _cipher(self) -> AESGCM:
        try:
            return AESGCM(self._path.read_bytes())
        except FileNotFoundError:
            self._make()
            return AESGCM(self._path.read_bytes())

    def _make(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = self._path.parent.stat()
        draft = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        owner = (status.st_uid, status.st_gid)
        key = secrets.token_bytes(KEY_BYTES)
        files.replace(draft, key, promise=files.Promise.OLD_OR_NEW, owner=owner)
        try:
            os.link(draft, self._path)
        except FileExistsError:
            pass  # Somebody else's is as good.
        finally:
            draft.unlink()
        files.sync(self._path.parent)
