"""What the unit that has the authority's key is asked, and how the API asks it.

`Signing` is the contract; authority.py answers, in a unit of its own; `AuthorityClient` asks it over a
unix socket (engine/calls.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import msgspec

from kumoi.engine import calls

ANSWER_WITHIN_S = 10.0


class SignJoin(msgspec.Struct, frozen=True, kw_only=True, tag="join"):
    """`request` is a certificate request in PEM, which proves that its sender has the key."""

    token: str
    request: str


class Renew(msgspec.Struct, frozen=True, kw_only=True, tag="renew"):
    """`certificate` is that of a host, in PEM, which has not ended."""

    certificate: str


class SignedHost(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate in PEM, and the hash of its key, by which a host is enrolled. `address` and `nonce`
    are the token's, "" without one.
    """

    certificate: str
    host: str
    public_key_sha256: str
    address: str = ""
    nonce: str = ""


class Signing(Protocol):
    def certificate(self) -> str:
        """The authority's own, in PEM."""

    def sign_join(self, token: str, request: str) -> SignedHost:
        """Raises Invalid, saying what is wrong with the token or the request."""

    def renew(self, certificate: str) -> SignedHost:
        """A later one for the same host and key. Raises Invalid when it is none of ours, or has ended."""


class AuthorityClient:
    """`path` is where the unit listens, `file` the authority's certificate."""

    def __init__(self, path: Path, file: Path) -> None:
        self._path = path
        self._file = file

    def certificate(self) -> str:
        return self._file.read_text()

    def sign_join(self, token: str, request: str) -> SignedHost:
        return self._ask(SignJoin(token=token, request=request))

    def renew(self, certificate: str) -> SignedHost:
        return self._ask(Renew(certificate=certificate))

    def _ask(self, call: SignJoin | Renew) -> SignedHost:
        found = calls.ask(
            self._path,
            msgspec.json.encode(call),
            [],
            about="a host's certificate",
            within_s=ANSWER_WITHIN_S,
        )
        return msgspec.json.decode(found, type=SignedHost)
