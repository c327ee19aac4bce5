"""HTTP to servers that tenants name (base/pinned_http.py): none that is internal, no redirect, and bounds on
all of it. Called by git_remote.py and commit_status.py.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO
from urllib.parse import urlsplit

from kumoi.base.address import Network
from kumoi.base.errors import Invalid, Permanent, Transient
from kumoi.base.pinned_http import PORTS, PinnedConnection, addresses_of, is_public

WHOLE_MAX_S = 300.0
PART_BYTES = 65_536
URL_MAX = 1_000
REDIRECTS = range(300, 400)
SERVER_ERROR, TOO_MANY, OK = 500, 429, range(200, 300)


@dataclass(frozen=True, slots=True)
class UrlPlace:
    """Where a URL leads. `path` begins with a slash."""

    scheme: str
    host: str
    port: int
    path: str


def place(url: str) -> UrlPlace:
    """Raises Invalid for what is no URL of HTTP, or holds a login."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as cause:
        raise Invalid("this is no URL", field="url") from cause
    if len(url) > URL_MAX or not url.isascii() or not url.isprintable() or " " in url:
        raise Invalid(f"a URL has {URL_MAX} printable ASCII characters at most", field="url")
    if parts.scheme not in PORTS or not parts.hostname:
        raise Invalid("a URL begins with https://", field="url")
    if parts.username is not None or parts.query or parts.fragment:
        raise Invalid("the URL holds no login, ? or #: a token has a field of its own", field="url")
    return UrlPlace(parts.scheme, parts.hostname, port or PORTS[parts.scheme], parts.path or "/")


def require_header(value: str) -> None:
    """Raises Invalid."""
    if not (value.isascii() and value.isprintable()):
        raise Invalid("the token has characters that no HTTP header can have", field="token")


@dataclass(frozen=True, slots=True)
class Guard:
    """`networks` are internal ones that the operator lets webhooks name; only there may it be HTTP
    without TLS.
    """

    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, cidrs: Sequence[str]) -> Guard:
        return cls(tuple(ipaddress.ip_network(each) for each in cidrs))

    def addresses(self, at: UrlPlace) -> list[str]:
        """Those of its host. Raises Invalid where one is internal, Transient where there is none."""
        try:
            found = addresses_of(at.host, at.port)
        except (OSError, UnicodeError) as cause:
            raise Transient(f"there is no address of {at.host}") from cause
        for address in found:
            is_named = any(address in network for network in self.networks)
            if not is_named and not is_public(address):
                raise Invalid(f"{at.host} is at {address}, an internal address", field="url")
            if at.scheme != "https" and not is_named:
                raise Invalid(f"{at.host} is asked by https:// only", field="url")
        return sorted(map(str, found))


@contextlib.contextmanager
def asked(
    guard: Guard,
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Iterator[HttpAnswer]:
    """An answer of status 2xx. `url` may have a query that we made. Raises Permanent when it is
    refused or redirected, Transient when it may be otherwise later, Invalid as `Guard.addresses`.
    """
    base, question, query = url.partition("?")
    at = place(base)
    for value in (headers or {}).values():
        require_header(value)
    addresses, until_s = guard.addresses(at)[::-1], time.monotonic() + WHOLE_MAX_S
    connection = PinnedConnection(at.scheme, at.host, at.port, addresses, until_s=until_s)
    with contextlib.closing(connection):
        try:
            told = {"User-Agent": "kumoi", "Accept": "*/*", **(headers or {})}
            connection.request(method, f"{at.path}{question}{query}", body=body, headers=told)
            answer = connection.getresponse()
            _require_good(at, answer)
            yield HttpAnswer(at.host, answer)
        except ssl.SSLCertVerificationError as cause:
            raise Permanent(
                f"the certificate of {at.host} is not one that can be trusted"
            ) from cause
        except TimeoutError as cause:
            raise Transient(f"{at.host} did not answer in time") from cause
        except (OSError, http.client.HTTPException) as cause:
            raise Transient(f"{at.host} did not answer") from cause


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """Read in parts, within WHOLE_MAX_S."""

    host: str
    stream: http.client.HTTPResponse

    def read(self, size: int) -> bytes:
        """Up to so many bytes; fewer at its end."""
        return self.stream.read(size)

    def copy(self, out: IO[bytes], most: int) -> None:
        """All of the rest. Raises Permanent when it is more than `most` bytes."""
        left = most
        while part := self.read(PART_BYTES):
            left -= len(part)
            if left < 0:
                raise Permanent(f"{self.host} sent more than {round(most / 2**20)} MiB")
            out.write(part)


def _require_good(at: UrlPlace, answer: http.client.HTTPResponse) -> None:
    status = answer.status
    if status in OK:
        return
    if status in REDIRECTS:
        to = "somewhere"
        with contextlib.suppress(ValueError):  # What is no URL.
            to = urlsplit(answer.headers.get("Location", "")).hostname or to
        raise Permanent(f"{at.host} redirects to {to}, which is not followed: register that URL")
    if status >= SERVER_ERROR or status == TOO_MANY:
        raise Transient(f"{at.host} answered with status {status}")
    raise Permanent(f"{at.host} refused with status {status}: look at the URL and the token")
