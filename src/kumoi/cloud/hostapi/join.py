"""What a host that is not in the cloud yet says to the control plane, and how it knows whom it asks.

It has a token, which names the authority by its hash. So it takes the authority's certificate from
whoever answers, believes it by the hash alone, and says everything else over TLS that this authority
vouches for.
"""

from __future__ import annotations

import hashlib
import ssl
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from kumoi.base.errors import Conflict, Permanent, Transient
from kumoi.cloud.hostapi.hello import PATH, PROTOCOL, ErrorEnvelope
from kumoi.cloud.hostapi.things import Message

if TYPE_CHECKING:
    import httpx

ANSWER_TIMEOUT_S = 30.0
SETTINGS_TIMEOUT_S = 5.0
ANSWER_MAX_BYTES = 1 << 20
REQUEST_MAX_BYTES = 8 << 10
"""A whole request to join: whoever is on the underlay may send one."""


class JoinRequest(Message, frozen=True, kw_only=True):
    """`request` is a certificate request in PEM; `protocol` and `release` are the host's."""

    token: Annotated[str, msgspec.Meta(max_length=2_048)]
    request: Annotated[str, msgspec.Meta(max_length=2_048)]
    release: Annotated[str, msgspec.Meta(max_length=64)]
    protocol: int = PROTOCOL


class Joined(Message, frozen=True, kw_only=True):
    """All that the host needs: two certificates in PEM, and the text of its cloud.toml."""

    certificate: str
    authority: str
    cloud: str
    host: str
    address: str
    roles: list[str]


class CurrentSettings(Message, frozen=True, kw_only=True):
    """The text of cloud.toml, as a host that joins now would get it."""

    cloud: str


class RenewedCertificate(Message, frozen=True, kw_only=True):
    certificate: str


def fetch_authority(url: str, sha256: str) -> str:
    """The authority's certificate in PEM, which has that hash. Raises Transient or Conflict."""
    unchecked = ssl.create_default_context()
    unchecked.check_hostname = False
    unchecked.verify_mode = ssl.CERT_NONE  # What comes counts by its hash alone.
    answer = _call("GET", f"{url}{PATH}/authority", unchecked)
    try:
        found = x509.load_pem_x509_certificate(answer.content)
    except ValueError as cause:
        raise Transient(f"{url} answered with no certificate") from cause
    if hashlib.sha256(found.public_bytes(Encoding.DER)).hexdigest() != sha256:
        raise Conflict(
            f"who answers at {url} is not the cloud that the token is of: somebody is between, or "
            "the authority was made anew since; make another token"
        )
    return answer.text


def join(url: str, authority: str, request: JoinRequest) -> Joined:
    """Raises Conflict with what the control plane refuses, Transient when it cannot be asked."""
    trusted = ssl.create_default_context(cadata=authority)
    answer = _call("POST", f"{url}{PATH}/join", trusted, content=msgspec.json.encode(request))
    try:
        return msgspec.json.decode(answer.content, type=Joined)
    except msgspec.DecodeError as cause:
        raise Transient("join the cloud: the answer is not as agreed") from cause


def fetch_settings(url: str, tls: ssl.SSLContext) -> str:
    """The text of the cloud's settings as they are now, for a host that has a certificate. Raises Conflict or
    Transient.
    """
    answer = _call("GET", f"{url}{PATH}/settings", tls, timeout_s=SETTINGS_TIMEOUT_S)
    try:
        return msgspec.json.decode(answer.content, type=CurrentSettings).cloud
    except msgspec.DecodeError as cause:
        raise Transient("ask for the settings: the answer is not as agreed") from cause


def leave(url: str, tls: ssl.SSLContext, *, forced: bool) -> None:
    """Take this host out of the cloud. Raises Conflict with what the control plane refuses."""
    _call("DELETE", f"{url}{PATH}/host", tls, params={"force": str(forced).lower()})


def _call(
    method: str,
    url: str,
    tls: ssl.SSLContext,
    *,
    content: bytes | None = None,
    params: dict[str, str] | None = None,
    timeout_s: float = ANSWER_TIMEOUT_S,
) -> httpx.Response:
    import httpx  # noqa: PLC0415 - the API, which answers this, has it for nothing else

    headers = {} if content is None else {"Content-Type": "application/json"}
    try:
        with httpx.Client(verify=tls, timeout=timeout_s, trust_env=False) as client:
            answer = client.request(method, url, content=content, headers=headers, params=params)
    except httpx.HTTPError as cause:
        raise Transient(
            f"the control plane does not answer at {url}: is this machine on the underlay? "
            "One of its own needs --underlay-interface, and so does the first"
        ) from cause
    if answer.status_code == HTTPStatus.FORBIDDEN:
        raise NotAHost(_words(answer))
    if answer.is_client_error:
        raise Conflict(_words(answer))
    if not answer.is_success:
        raise Transient(f"the control plane answered {answer.status_code} at {url}")
    return answer


class NotAHost(Permanent):
    """The control plane does not know this host, or not by this key or token."""


def _words(answer: httpx.Response) -> str:
    try:
        return msgspec.json.decode(answer.content, type=ErrorEnvelope).error.message
    except msgspec.DecodeError:
        return f"the control plane refused, with {answer.status_code}"
