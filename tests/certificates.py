"""Certificates, keys and bundles of them, as tenants have them. For tests."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)
from cryptography.x509.oid import NameOID

NOW = datetime.now(UTC)


def signed(name: str = "shop.example") -> tuple[EllipticCurvePrivateKey, x509.Certificate]:
    """By itself."""
    key = generate_private_key(SECP256R1())
    return key, signed_by(key, name)


def signed_by(
    key: Any,
    name: str = "shop.example",
    *,
    names: Sequence[str] = (),
    digest: hashes.SHA256 | None = hashes.SHA256(),  # noqa: B008 - it has no state.
    days: int = 30,
) -> x509.Certificate:
    """By this key, which is its own. It ends in so many days, or has ended."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    also = [x509.DNSName(each) for each in (name, *names)]
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=60))
        .not_valid_after(NOW + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(also), critical=False)
        .sign(key, digest)
    )


def key_pem(key: Any) -> bytes:
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem


def certificate_pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def bundled(
    key: EllipticCurvePrivateKey, certificate: x509.Certificate, password: bytes | None = None
) -> bytes:
    """As PKCS#12."""
    how = NoEncryption() if password is None else BestAvailableEncryption(password)
    return pkcs12.serialize_key_and_certificates(b"x", key, certificate, None, how)


def revoked(key: EllipticCurvePrivateKey, issuer: x509.Certificate) -> bytes:
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.subject)
    builder = builder.last_update(NOW).next_update(NOW + timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
