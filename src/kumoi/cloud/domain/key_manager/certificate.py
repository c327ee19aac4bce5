"""Certificates behind references: a secret with a PKCS#12 or PEM, or a container. For load balancers.

What is parsed was sent by a tenant, so all of it is bounded: by the size of a payload, by the number of
certificates, and by how often a PKCS#12 may have its password hashed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificatePublicKeyTypes,
    PrivateKeyTypes,
    PublicKeyTypes,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from sqlalchemy.engine import Connection

from kumoi.base.errors import Forbidden, Invalid, NotFound
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.key_manager import container, pkcs12, private_key, secret
from kumoi.cloud.domain.key_manager.encryption import HashRounds
from kumoi.cloud.store.seal import Seal

CHAIN_MAX = 16
UNREADABLE = (ValueError, TypeError, KeyError, UnsupportedAlgorithm, x509.InvalidVersion)
"""Of what is no certificate or key, or none that is known here."""
REFERENCE = re.compile(r"(?:.*/)?v1/(secrets|containers)/([0-9a-fA-F-]{1,64})/?")


@dataclass(frozen=True, slots=True)
class CertificateBundle:
    """As PEM: the key, and the certificate with those that it is signed by."""

    private_key: bytes
    certificates: bytes


def bundle(  # noqa: PLR0917 - as those for authorities.
    connection: Connection,
    caller: Caller,
    reference: str,
    seal: Seal,
    now: datetime,
    rounds: HashRounds,
) -> CertificateBundle:
    """Raises Invalid in Octavia's words, whatever is wrong. `rounds` are those of the request."""
    kind, key = _named(reference)

    def opened(one: str) -> bytes:
        return secret.opened(connection, caller, one, seal, now).content

    try:
        if kind == "containers":
            row = container.RULES.readable(connection, caller, key)
            return _of_parts({name: opened(one) for name, one in row.secrets.items()}, rounds)
        return _of_secret(opened(key), rounds)
    except (NotFound, Forbidden) as cause:
        raise unreadable(reference) from cause
    except UNREADABLE as cause:
        raise Invalid(
            "The PKCS12 bundle is unreadable. Please check the PKCS12 bundle validity. In addition, "
            "make sure it does not require a pass phrase."
        ) from cause


def authorities(
    connection: Connection, caller: Caller, reference: str, seal: Seal, now: datetime
) -> bytes:
    """Certificates that others are checked with, as PEM. Raises Invalid."""
    return _public(connection, caller, reference, seal, now, _certificates)


def revocations(
    connection: Connection, caller: Caller, reference: str, seal: Seal, now: datetime
) -> bytes:
    """A list of revoked certificates, as PEM. Raises Invalid."""
    return _public(connection, caller, reference, seal, now, _revoked)


def unreadable(reference: str) -> Invalid:
    return Invalid(f"Could not retrieve certificate: {[reference]}", field="tls_container_ref")


def _public(  # noqa: PLR0917 - as both that call it.
    connection: Connection,
    caller: Caller,
    reference: str,
    seal: Seal,
    now: datetime,
    render: Callable[[bytes], bytes],
) -> bytes:
    kind, key = _named(reference)
    try:
        if kind == "containers":
            key = container.RULES.readable(connection, caller, key).secrets[container.CERTIFICATE]
        return render(secret.opened(connection, caller, key, seal, now).content)
    except (NotFound, Forbidden, *UNREADABLE) as cause:
        raise unreadable(reference) from cause


def _named(reference: str) -> tuple[str, str]:
    found = REFERENCE.fullmatch(reference)
    if found is None:
        raise unreadable(reference)
    return found[1], found[2]


def _of_secret(content: bytes, rounds: HashRounds) -> CertificateBundle:
    """A PKCS#12, or PEM of a key and certificates."""
    if content.lstrip().startswith(b"-----BEGIN"):
        return _rendered(private_key.read(content, None), _chain(content))
    found = pkcs12.read(content, rounds)
    if len(found.keys) != 1 or not 0 < len(found.certificates) <= CHAIN_MAX:
        raise ValueError("it has no key or no certificate, or too many")
    key = private_key.of_plain_der(found.keys[0])
    chain = [x509.load_der_x509_certificate(one) for one in found.certificates]
    own = _public_bytes(key.public_key())
    return _rendered(key, sorted(chain, key=lambda one: _public_bytes(one.public_key()) != own))


def _of_parts(parts: dict[str, bytes], rounds: HashRounds) -> CertificateBundle:
    passphrase = parts.get(container.PASSPHRASE)
    key = private_key.read(parts[container.PRIVATE_KEY], passphrase, rounds)
    chain = _chain(parts[container.CERTIFICATE]) + _chain(parts.get(container.INTERMEDIATES, b""))
    return _rendered(key, chain)


def _chain(content: bytes) -> list[x509.Certificate]:
    if not content:
        return []
    if b"-----BEGIN" in content:
        return x509.load_pem_x509_certificates(content)
    return [x509.load_der_x509_certificate(content)]


def _rendered(key: PrivateKeyTypes, chain: Sequence[x509.Certificate]) -> CertificateBundle:
    """Raises ValueError where they do not belong together."""
    if not chain or len(chain) > CHAIN_MAX:
        raise ValueError("there is no certificate, or too many")
    if _public_bytes(key.public_key()) != _public_bytes(chain[0].public_key()):
        raise ValueError("the key is not the certificate's")
    return CertificateBundle(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        b"".join(one.public_bytes(Encoding.PEM) for one in chain),
    )


def _public_bytes(key: CertificatePublicKeyTypes | PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _certificates(content: bytes) -> bytes:
    chain = _chain(content)
    if not chain or len(chain) > CHAIN_MAX:
        raise ValueError("there is no certificate, or too many")
    return b"".join(one.public_bytes(Encoding.PEM) for one in chain)


def _revoked(content: bytes) -> bytes:
    is_pem = b"-----BEGIN" in content
    found = x509.load_pem_x509_crl(content) if is_pem else x509.load_der_x509_crl(content)
    return found.public_bytes(Encoding.PEM)
