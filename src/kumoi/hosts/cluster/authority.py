"""The unit that has the authority's key: it signs for hosts, two things and nothing else, and keeps no
state.

A request with a join token, for exactly the host and the address that the token names; and a
renewal, for the same host and key as a certificate that the authority signed and that has not ended.
`root`, who made the key, makes tokens with it.
"""

from __future__ import annotations

import secrets
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from kumoi.base.clock import Clock
from kumoi.base.errors import Invalid, Permanent
from kumoi.config import CloudSettings
from kumoi.hosts.cluster import join_token
from kumoi.hosts.cluster.join_token import JoinToken
from kumoi.hosts.cluster.signing import Renew, SignedHost, SignJoin
from kumoi.hosts.first_use import pki
from kumoi.hosts.first_use.pki import Authority

NONCE_BYTES = 16


class Signer:
    """`directory` is where the authority's files are."""

    def __init__(self, cloud: CloudSettings, directory: Path, clock: Clock) -> None:
        self._cloud = cloud
        self._directory = directory
        self._clock = clock

    def certificate(self) -> str:
        return _pem(self._authority().certificate)

    def sign_join(self, token: str, request: str) -> SignedHost:
        """Raises Invalid, saying what is wrong with the token or the request."""
        authority, now = self._authority(), self._now()
        claims = join_token.check(token, authority.derive(join_token.sealing_key))
        claims.require_current(now)
        subject = pki.host_subject(self._cloud.name, claims.host, claims.address)
        signed = authority.sign(subject, _requested_key(request), now)
        return _signed(signed, claims.host, address=claims.address, nonce=claims.nonce)

    def renew(self, certificate: str) -> SignedHost:
        """Raises Invalid when it is none of ours, or has ended."""
        authority, now = self._authority(), self._now()
        before = _loaded(certificate)
        host = pki.host_of(before, self._cloud.name)
        if host is None or not authority.has_issued(before):
            raise Invalid("the certificate is not a host's of this cloud", field="certificate")
        if before.not_valid_after_utc <= now:
            raise Invalid(
                f"the certificate of {host} has ended: join again, with a token",
                field="certificate",
            )
        subject = pki.subject_of(before)
        signed = authority.sign(subject, pki.elliptic_key(before), now)
        return _signed(signed, host)

    def make_token(self, host: str, address: str, lives: timedelta) -> tuple[JoinToken, str]:
        """A new token, and the line that is it."""
        authority = self._authority()
        token = JoinToken(
            cloud=self._cloud.name,
            host=host,
            address=address,
            expires_at=int((self._now() + lives).timestamp()),
            nonce=secrets.token_hex(NONCE_BYTES),
            url=self._cloud.host_api_url,
            authority=pki.fingerprint(authority.certificate),
        )
        return token, join_token.seal(token, authority.derive(join_token.sealing_key))

    def _now(self) -> datetime:
        return self._clock.now().astimezone(UTC)

    def _authority(self) -> Authority:
        """Raises Permanent."""
        found = Authority.of(self._directory)
        if found is None:
            raise Permanent(f"{self._directory} has no authority, or its key cannot be read")
        return found


def answer(signer: Signer, content: bytes, _descriptors: list[int], _who: socket.socket) -> bytes:
    """The unit's part, in a process of its own."""
    call = msgspec.json.decode(content, type=SignJoin | Renew)
    if isinstance(call, SignJoin):
        return msgspec.json.encode(signer.sign_join(call.token, call.request))
    return msgspec.json.encode(signer.renew(call.certificate))


def _requested_key(request: str) -> ec.EllipticCurvePublicKey:
    """Of a request that its own key has signed. What it asks for beside that does not count."""
    try:
        found = x509.load_pem_x509_csr(request.encode())
        key = found.public_key()
        if isinstance(key, ec.EllipticCurvePublicKey) and found.is_signature_valid:
            return key
    except ValueError as cause:
        raise Invalid("the certificate request cannot be read", field="request") from cause
    raise Invalid("the certificate request is not signed by its own key", field="request")


def _loaded(certificate: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(certificate.encode())
    except ValueError as cause:
        raise Invalid("the certificate cannot be read", field="certificate") from cause


def _signed(
    certificate: x509.Certificate, host: str, *, address: str = "", nonce: str = ""
) -> SignedHost:
    return SignedHost(
        certificate=_pem(certificate),
        host=host,
        public_key_sha256=pki.public_key_sha256(certificate),
        address=address,
        nonce=nonce,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()
