"""The content of an image from somewhere on the internet. Called by the API for `web-download`, in a thread.

A tenant says where, and this machine asks: so it asks nobody who is not on the internet (base/pinned_http.py). All
addresses of a name must be of the internet, and a redirect is looked at in the same way.
"""

from __future__ import annotations

import contextlib
import http.client
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit

from kumoi.base.address import Network
from kumoi.base.errors import Forbidden, Invalid
from kumoi.base.pinned_http import PORTS, PinnedConnection, addresses_of, is_public

REDIRECTS_MAX = 3
DOWNLOAD_TIMEOUT_S = 900.0
BLOCK_BYTES = 1 << 20
URI_MAX = 2_048
FOUND = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Source:
    """Where to connect to, and what to ask there."""

    url: SplitResult
    host: str
    port: int
    address: str


def look(uri: str, allowed: Sequence[Network]) -> Source:
    """Raises Invalid for what is no such URI or cannot be resolved, Forbidden for what is not on the internet;
    `allowed` are networks that an operator excepts, with any port.
    """
    url = _split(uri)
    try:
        port = url.port or PORTS[url.scheme]
    except ValueError as cause:
        raise Invalid(f"the port of {uri} is no number", field="method.uri") from cause
    host = url.hostname or ""
    try:
        addresses = addresses_of(host, port)
    except (OSError, UnicodeError) as cause:
        raise Invalid(f"the host {host} was not found", field="method.uri") from cause
    excepted = all(any(each in network for network in allowed) for each in addresses)
    if not excepted and not all(is_public(each) for each in addresses):
        raise Forbidden(
            f"The host {host} is not on the internet; images are downloaded from nowhere else. Upload "
            "the content instead."
        )
    if not excepted and port not in PORTS.values():
        raise Forbidden(f"Images are downloaded from the ports 80 and 443 only, not from {port}.")
    return Source(url, host, port, str(addresses[0]))


def blocks(uri: str, allowed: Sequence[Network]) -> Iterator[bytes]:
    """The content. Raises as `look` does, and Invalid when it does not come, whole and in time."""
    until_s = time.monotonic() + DOWNLOAD_TIMEOUT_S
    for _ in range(REDIRECTS_MAX + 1):
        with _asked(look(uri, allowed), until_s) as answer:
            if answer.status in FOUND:
                uri = _redirected(uri, answer.getheader("Location") or "")
                continue
            if answer.status != http.HTTPStatus.OK:
                raise Invalid(f"{uri} answers {answer.status}", field="method.uri")
            yield from _read(answer, uri)
            return
    raise Invalid(f"{uri} is the end of too many redirects", field="method.uri")


def _redirected(uri: str, to: str) -> str:
    try:
        return urljoin(uri, to)
    except ValueError as cause:
        raise Invalid(f"{uri} leads to what is no URI", field="method.uri") from cause


def _split(uri: str) -> SplitResult:
    try:
        url = urlsplit(uri)
    except ValueError as cause:
        raise Invalid("the URI cannot be read", field="method.uri") from cause
    is_plain = uri.isascii() and uri.isprintable() and " " not in uri and len(uri) <= URI_MAX
    if not is_plain or url.scheme not in PORTS or not url.hostname:
        raise Invalid("the URI begins with http:// or https:// and a host", field="method.uri")
    if "@" in url.netloc:
        raise Invalid("the URI has no user and no password", field="method.uri")
    return url


@contextlib.contextmanager
def _asked(source: Source, until_s: float) -> Iterator[http.client.HTTPResponse]:
    where = (source.host, source.port, [source.address])
    connection = PinnedConnection(source.url.scheme, *where, until_s=until_s)
    try:
        path = source.url.path or "/"
        connection.request("GET", path + (f"?{source.url.query}" if source.url.query else ""))
        yield connection.getresponse()
    except TimeoutError as cause:
        raise Invalid(
            f"{source.host} did not give the content in time: upload it", field="method.uri"
        ) from cause
    except (OSError, http.client.HTTPException) as cause:
        raise Invalid(f"{source.host} did not give the content", field="method.uri") from cause
    finally:
        connection.close()


def _read(answer: http.client.HTTPResponse, uri: str) -> Iterator[bytes]:
    while block := answer.read(BLOCK_BYTES):
        yield block
    if answer.length:
        raise Invalid(f"{uri} ended before its end", field="method.uri")
