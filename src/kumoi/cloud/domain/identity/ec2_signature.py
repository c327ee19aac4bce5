"""The signature of a request to EC2's API, as AWS defines it: version 2 and version 4.

The older versions 0 and 1 sign with SHA-1 over parameters run together, so that different requests have
one signature; they are refused.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from kumoi.base.errors import Unauthenticated

ALGORITHM = "AWS4-HMAC-SHA256"
VERSION_2_HASHES = {"HmacSHA256": "sha256", "HmacSHA1": "sha1"}
BASIC_TIME = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedRequest:
    """What was signed. `body_hash` is of version 4."""

    verb: str
    host: str
    path: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body_hash: str

    def header(self, name: str) -> str:
        """Whatever the case of its name."""
        return next((v for k, v in self.headers.items() if k.lower() == name.lower()), "")


def expected(secret: str, request: SignedRequest) -> str:
    """The signature that the owner of the secret makes. Raises Unauthenticated for a version that is not
    supported.
    """
    if (
        request.header("Authorization").startswith(ALGORITHM)
        or request.params.get("X-Amz-Algorithm") == ALGORITHM
    ):
        return _version_4(secret, request)
    if request.params.get("SignatureVersion") == "2":
        return _version_2(secret, request)
    raise Unauthenticated("EC2 signatures of version 2 and 4 are supported, no others.")


def signed_at(request: SignedRequest) -> datetime | None:
    """When it was signed; None where that is not said. Raises Unauthenticated for what is no time."""
    text = (
        request.params.get("Timestamp")
        or request.header("X-Amz-Date")
        or request.params.get("X-Amz-Date")
    )
    if not text:
        return None
    try:
        if "-" in text:
            found = datetime.fromisoformat(text)
            return found if found.tzinfo else found.replace(tzinfo=UTC)
        return datetime.strptime(text, BASIC_TIME).replace(tzinfo=UTC)
    except ValueError as cause:
        raise Unauthenticated("The credential's timestamp is no time.") from cause


def _version_2(secret: str, request: SignedRequest) -> str:
    method = request.params.get("SignatureMethod", "HmacSHA256")
    if method not in VERSION_2_HASHES:
        raise Unauthenticated(f"{method} is no method of signature version 2.")
    lines = [request.verb, request.host.lower(), request.path, _query(request.params, "Signature")]
    digest = hmac.new(secret.encode(), "\n".join(lines).encode(), VERSION_2_HASHES[method])
    return base64.b64encode(digest.digest()).decode()


def _version_4(secret: str, request: SignedRequest) -> str:
    given = _authorization(request)
    scope = given.get("Credential", "").split("/")[1:]
    names = given.get("SignedHeaders", "").split(";")
    if len(scope) != 4 or scope[3] != "aws4_request":  # noqa: PLR2004 - Day, region, service, word.
        raise Unauthenticated("The signature's scope is not that of a request.")
    headers = "".join(f"{name}:{_signed_header(request, name)}\n" for name in names)
    # What a POST has for parameters is its body.
    query = "" if request.verb.upper() == "POST" else _query(request.params, "X-Amz-Signature")
    canonical = [request.verb.upper(), request.path, query, headers, ";".join(names)]
    text = "\n".join([*canonical, request.body_hash])
    moment = request.header("X-Amz-Date") or request.params.get("X-Amz-Date", "")
    hashed = hashlib.sha256(text.encode()).hexdigest()
    key = f"AWS4{secret}".encode()
    for word in scope:
        key = hmac.digest(key, word.encode(), "sha256")
    to_sign = "\n".join([ALGORITHM, moment, "/".join(scope), hashed])
    return hmac.new(key, to_sign.encode(), "sha256").hexdigest()


def _authorization(request: SignedRequest) -> dict[str, str]:
    """The parts of the header, or of the query, by the header's names."""
    text = request.header("Authorization")
    if text:
        parts = text.removeprefix(ALGORITHM).split(",")
        return {name.strip(): value for name, _, value in (part.partition("=") for part in parts)}
    names = ("Credential", "SignedHeaders")
    return {name: request.params.get(f"X-Amz-{name}", "") for name in names}


def _signed_header(request: SignedRequest, name: str) -> str:
    value = request.header(name)
    if name == "host" and not value:
        value = request.host
    return " ".join(value.split())


def _query(params: Mapping[str, str], without: str) -> str:
    """In the order of the names, each part quoted."""
    return "&".join(
        f"{quote(name, safe='-_.~')}={quote(params[name], safe='-_.~')}"
        for name in sorted(params)
        if name != without
    )
