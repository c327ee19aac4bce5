"""Join tokens: one line of text with which one host joins, under one name and one address, for a while.

    kumoi1.CLAIMS.SEAL      each in base64url

The claims are JSON and no secret; the seal is their HMAC under a key that is derived from the
authority's. So whoever has the authority's key can check a token, and nobody has to remember it. That
a token is good for one key is the store's to say (cloud/domain/host/join.py).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from datetime import datetime

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from kumoi.base.errors import Invalid

FORMAT = "kumoi1"
TEXT_MAX = 2_048
KEY_BYTES = 32
PURPOSE = b"kumoi join token 1"


class JoinToken(msgspec.Struct, frozen=True, kw_only=True):
    """`address` is the host's on the underlay, `expires_at` in seconds since 1970. `url` is the host
    API's, and `authority` the SHA-256 of the only authority to be believed there, in hexadecimal digits.
    """

    cloud: str
    host: str
    address: str
    expires_at: int
    nonce: str
    url: str
    authority: str

    def require_current(self, now: datetime) -> None:
        """Raises Invalid when it has expired."""
        if now.timestamp() >= self.expires_at:
            raise Invalid(
                f"the token for {self.host} has expired: make another where the authority is, "
                f"sudo ./kumoi cluster token {self.host}",
                field="token",
            )


def sealing_key(authority: ec.EllipticCurvePrivateKey) -> bytes:
    """From the authority's key, from which nobody else can derive it."""
    secret = authority.private_numbers().private_value.to_bytes(KEY_BYTES, "big")
    return HKDF(hashes.SHA256(), KEY_BYTES, salt=None, info=PURPOSE).derive(secret)


def seal(token: JoinToken, key: bytes) -> str:
    """The line to be given to the host."""
    claims = msgspec.json.encode(token)
    return ".".join((FORMAT, _encoded(claims), _encoded(_mac(claims, key))))


def read(text: str) -> JoinToken:
    """The claims, whoever made them: for the host, which cannot check the seal. Raises Invalid."""
    return _parts(text)[1]


def check(text: str, key: bytes) -> JoinToken:
    """The claims of a token that was sealed with this key. Raises Invalid for any other."""
    claims, token, mac = _parts(text)
    if not hmac.compare_digest(mac, _mac(claims, key)):
        raise Invalid("the token is not of this cloud's authority", field="token")
    return token


def _parts(text: str) -> tuple[bytes, JoinToken, bytes]:
    try:
        kind, *parts = text.strip().split(".")
        if kind != FORMAT or len(text) > TEXT_MAX:
            raise ValueError
        claims, mac = (_decoded(part) for part in parts)
        return claims, msgspec.json.decode(claims, type=JoinToken), mac
    except (ValueError, binascii.Error, msgspec.MsgspecError) as cause:
        raise Invalid(
            "this is no whole join token: it is one line, as `kumoi cluster token` prints it",
            field="token",
        ) from cause


def _mac(claims: bytes, key: bytes) -> bytes:
    return hmac.digest(key, FORMAT.encode() + b"." + claims, hashlib.sha256)


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
