"""Keypairs: what is allowed. Callers of `generate` and `read` have no transaction open: making a key
takes time.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from sqlalchemy.engine import Connection

from kumoi.base import ssh_key
from kumoi.base.errors import Conflict, Invalid, NotFound
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.compute import quota
from kumoi.cloud.store.compute import keypair as store
from kumoi.cloud.store.compute.keypair import Keypair

SSH = "ssh"
X509 = "x509"
RSA_BITS = 2_048
COMMON_NAME_MAX = 64
CERTIFICATE_LIFE = timedelta(days=3_650)
NAME_OLD = re.compile(r"[A-Za-z0-9 _-]+")
NAME_NEW = re.compile(r"[A-Za-z0-9 @._-]+")  # Since microversion 2.92.


@dataclass(frozen=True, slots=True)
class Material:
    """A key that is not stored yet. `private_key` is None when the user has it."""

    type: str
    public_key: str
    fingerprint: str
    private_key: str | None = None


def generate(type_: str, comment: str) -> Material:
    """A new Ed25519 key, or a certificate of a new RSA key, which takes 0.1 s to make."""
    if type_ == X509:
        return _new_certificate(comment)
    private_key, public_key = ssh_key.new_pair(comment)
    return Material(SSH, public_key, _fingerprint(public_key), private_key)


def read(type_: str, public_key: str) -> Material:
    """A key of the user's, to be stored byte for byte. Raises Invalid (field `public_key`)."""
    if type_ == X509:
        return _read_certificate(public_key)
    parts = public_key.split()
    if not public_key.strip().isprintable():  # One key is one line of a server's file.
        raise Invalid("Keypair data is invalid: it is not one line", field="public_key")
    try:
        serialization.load_ssh_public_key(" ".join(parts[:2]).encode())
    except (ValueError, UnsupportedAlgorithm, NotImplementedError, binascii.Error) as cause:
        raise Invalid(
            "Keypair data is invalid: failed to read the public key", field="public_key"
        ) from cause
    return Material(SSH, public_key, _fingerprint(public_key))


def _read_certificate(pem: str) -> Material:
    try:
        found = x509.load_pem_x509_certificate(pem.encode())
    except (ValueError, x509.InvalidVersion) as cause:
        raise Invalid(
            "Keypair data is invalid: failed to read the certificate", field="public_key"
        ) from cause
    return Material(X509, pem, _in_pairs(found.fingerprint(hashes.SHA1()).hex()))  # noqa: S303


def create(
    connection: Connection,
    caller: Caller,
    *,
    user_id: str,
    name: str,
    material: Material,
    now: datetime,
) -> Keypair:
    """Raises Conflict when the user has a keypair of that name, OverQuota."""
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


def page(connection: Connection, user_id: str, *, marker: str | None, limit: int) -> list[Keypair]:
    """Raises Invalid (field `marker`)."""
    if marker is not None and store.get(connection, user_id, marker) is None:
        raise Invalid(f"marker [{marker}] not found", field="marker")
    return store.page(connection, user_id, marker=marker, limit=limit)


def delete(connection: Connection, user_id: str, name: str) -> None:
    """Raises NotFound. Servers keep the key they were made with."""
    if not store.delete(connection, user_id, name):
        raise NotFound("keypair", name)


def _new_certificate(name: str) -> Material:
    """Self-signed, as Nova makes them for servers that are reached over WinRM."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=RSA_BITS)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:COMMON_NAME_MAX])])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + CERTIFICATE_LIFE)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    pem = made.public_bytes(serialization.Encoding.PEM).decode()
    return Material(X509, pem, _read_certificate(pem).fingerprint, private.decode())


def _fingerprint(public_key: str) -> str:
    """MD5 in pairs, as Nova shows it and `ssh-keygen -l -E md5` prints it."""
    blob = base64.b64decode(public_key.split()[1])
    return _in_pairs(hashlib.md5(blob, usedforsecurity=False).hexdigest())


def _in_pairs(digest: str) -> str:
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))
