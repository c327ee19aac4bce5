"""Keypairs: what is allowed. Keys are made and read outside the transaction; see `generate`."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from datetime import datetime

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Invalid, NotFound
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.compute import quota
from kumoi.cloud.store.compute import keypair as store
from kumoi.cloud.store.compute.keypair import Keypair

SSH = "ssh"
X509 = "x509"
NAME_OLD = re.compile(r"[A-Za-z0-9 _-]+")
NAME_NEW = re.compile(r"[A-Za-z0-9 @._-]+")  # Since microversion 2.92.


@dataclass(frozen=True, slots=True)
class Material:
    """A key, before it is kept. `private_key` is None when the user has it."""

    type: str
    public_key: str
    fingerprint: str
    private_key: str | None = None


def generate(comment: str) -> Material:
    """A new Ed25519 key: in use for years, and made in no time."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    text = f"{public.decode()} {comment}"
    return Material(SSH, text, _fingerprint(text), private.decode())


def read(type_: str, public_key: str) -> Material:
    """A key that the user brings. Raises Invalid (field `public_key`)."""
    if type_ == X509:
        raise Invalid("Keypair type x509 is not supported: no server takes it.", field="type")
    parts = public_key.split()
    try:
        serialization.load_ssh_public_key(" ".join(parts[:2]).encode())
    except (ValueError, UnsupportedAlgorithm, binascii.Error) as cause:
        raise Invalid(
            "Keypair data is invalid: failed to read the public key", field="public_key"
        ) from cause
    return Material(SSH, public_key.strip(), _fingerprint(public_key))


def create(
    connection: Connection,
    caller: Caller,
    *,
    user_id: str,
    name: str,
    material: Material,
    now: datetime,
) -> Keypair:
    """Raises Conflict when the user has one of that name, OverQuota."""
    if store.get(connection, user_id, name) is not None:
        raise Conflict(f"Key pair '{name}' already exists.")
    used = store.count(connection, user_id)
    quota.require(connection, caller.project_id or "", "key_pairs", used=used)
    row = Keypair(
        number=store.next_number(connection),
        user_id=user_id,
        name=name,
        type=material.type,
        public_key=material.public_key,
        fingerprint=material.fingerprint,
        created_at=now,
    )
    store.insert(connection, row)
    return row


def get(connection: Connection, user_id: str, name: str) -> Keypair:
    """Raises NotFound."""
    row = store.get(connection, user_id, name)
    if row is None:
        raise NotFound("keypair", name)
    return row


def page(
    connection: Connection, user_id: str, *, marker: str | None, limit: int | None
) -> list[Keypair]:
    """Raises Invalid (field `marker`)."""
    if marker is not None and store.get(connection, user_id, marker) is None:
        raise Invalid(f"marker [{marker}] not found", field="marker")
    return store.page(connection, user_id, marker=marker, limit=limit)


def delete(connection: Connection, user_id: str, name: str) -> None:
    """Raises NotFound. Servers keep the key they were made with."""
    if not store.delete(connection, user_id, name):
        raise NotFound("keypair", name)


def _fingerprint(public_key: str) -> str:
    """MD5 in pairs, as Nova shows it and `ssh-keygen -l -E md5` prints it."""
    blob = base64.b64decode(public_key.split()[1])
    digest = hashlib.md5(blob, usedforsecurity=False).hexdigest()
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))
