"""The agent's client of the host API.

`Upstream` is the contract, `HttpUpstream` the real client: HTTPS, with this host's own certificate.
Every call raises Transient when the control plane cannot be reached or its answer cannot be read.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Protocol, Self

import httpx
import msgspec

from kumoi.base.backoff import Backoff
from kumoi.base.errors import KumoiError, Permanent, Transient
from kumoi.base.files import is_disk_full
from kumoi.cloud.hostapi.hello import PATH, REFUSED, ErrorEnvelope, Hello, HostHello
from kumoi.cloud.hostapi.join import RenewedCertificate
from kumoi.cloud.hostapi.messages import ImageContent
from kumoi.cloud.hostapi.things import Reports, ThingReport, WantedThings, raw
from kumoi.engine.position import Position

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 15.0
CHUNK_BYTES = 1 << 20
RETRY = Backoff(first_s=0.2, most_s=5.0)  # Between calls that do not reach the control plane.
_NOT_FOUND = httpx.codes.NOT_FOUND
_JSON = {"Content-Type": "application/json"}


class HostRefused(KumoiError):
    """The control plane says that this host may not act, and why."""

    code = REFUSED


class Upstream(Protocol):
    async def wanted(self, since: Position, wait_s: float) -> WantedThings:
        """Raises HostRefused when this host may not act."""
        ...

    async def report(self, reports: Sequence[ThingReport]) -> None: ...

    async def hello(self, hello: HostHello) -> Hello:
        """Raises HostRefused when this host may not act."""
        ...

    async def fetch_image(self, image: ImageContent, path: Path) -> None:
        """Write an image's file to `path`, and check its hash."""
        ...

    async def send_image(self, image_id: str, path: Path) -> None:
        """Upload the content of a wanted snapshot."""
        ...

    async def give_up_image(self, image_id: str) -> None:
        """Say that a wanted snapshot cannot be made."""
        ...

    async def console(self, server_id: str, text: str) -> None:
        """The end of what a server wrote to its console."""
        ...


class HttpUpstream:
    """One connection pool, for as long as the agent lives."""

    def __init__(self, url: str, *, tls: ssl.SSLContext | bool) -> None:
        timeout = httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        self._client = httpx.AsyncClient(base_url=url + PATH, verify=tls, timeout=timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def wanted(self, since: Position, wait_s: float) -> WantedThings:
        with _attempting("ask what is wanted"):
            answer = await self._client.get(
                "/wanted",
                params={"epoch": since.epoch, "since": since.revision, "wait_s": f"{wait_s:g}"},
                timeout=httpx.Timeout(wait_s + ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            )
            _check_accepted(answer)
            return msgspec.json.decode(answer.content, type=WantedThings)

    async def report(self, reports: Sequence[ThingReport]) -> None:
        with _attempting("report what is"):
            content = msgspec.json.encode(Reports(reports=[raw(report) for report in reports]))
            answer = await self._client.post("/reports", content=content, headers=_JSON)
            answer.raise_for_status()

    async def hello(self, hello: HostHello) -> Hello:
        with _attempting("say hello"):
            content = msgspec.json.encode(hello)
            answer = await self._client.put("/hello", content=content, headers=_JSON)
            _check_accepted(answer)
            return msgspec.json.decode(answer.content, type=Hello)

    async def fetch_image(self, image: ImageContent, path: Path) -> None:
        digest = hashlib.sha256()
        with _attempting(f"fetch image {image.id}"):
            async with self._client.stream("GET", f"/images/{image.id}") as answer:
                if answer.status_code == _NOT_FOUND:
                    raise Permanent(f"image {image.id} is gone")
                answer.raise_for_status()
                with path.open("wb") as file:
                    async for chunk in answer.aiter_bytes(CHUNK_BYTES):
                        file.write(chunk)
                        digest.update(chunk)
        if digest.hexdigest() != image.sha256:
            raise Transient(f"fetch image {image.id}: what came is not what it should be")

    async def send_image(self, image_id: str, path: Path) -> None:
        with _attempting(f"send image {image_id}"):
            headers = {"Content-Type": "application/octet-stream"}
            answer = await self._client.put(
                f"/images/{image_id}", content=_chunks(path), headers=headers
            )
            answer.raise_for_status()

    async def give_up_image(self, image_id: str) -> None:
        with _attempting(f"give up image {image_id}"):
            (await self._client.delete(f"/images/{image_id}")).raise_for_status()

    async def renew_certificate(self) -> str:
        """A certificate in PEM for this host's key, which ends later."""
        with _attempting("renew the host's certificate"):
            answer = await self._client.post("/certificate")
            answer.raise_for_status()
            return msgspec.json.decode(answer.content, type=RenewedCertificate).certificate

    async def console(self, server_id: str, text: str) -> None:
        with _attempting("send a console"):
            headers = {"Content-Type": "text/plain; charset=utf-8"}
            url = f"/servers/{server_id}/console"
            answer = await self._client.put(url, content=text.encode(), headers=headers)
            if answer.status_code != _NOT_FOUND:  # Deleted meanwhile: nobody reads it.
                answer.raise_for_status()


def _check_accepted(answer: httpx.Response) -> None:
    """Raises HostRefused, or HTTPStatusError for any other answer that is no success."""
    if answer.status_code == httpx.codes.CONFLICT:
        raise HostRefused(msgspec.json.decode(answer.content, type=ErrorEnvelope).error.message)
    answer.raise_for_status()


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(path.open, "rb") as file:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield chunk


def tls_context(pki_dir: Path, host_name: str) -> ssl.SSLContext:
    """Trust only the cloud's own authority, and present this host's certificate."""
    context = ssl.create_default_context(cafile=str(pki_dir / "ca.crt"))
    context.load_cert_chain(pki_dir / f"{host_name}.crt", pki_dir / f"{host_name}.key")
    return context


@contextlib.contextmanager
def _attempting(what: str) -> Iterator[None]:
    """Turn the errors of httpx, msgspec and the operating system into Transient or Permanent."""
    try:
        yield
    except httpx.HTTPError as cause:
        raise Transient(what) from cause
    except msgspec.DecodeError as cause:
        raise Transient(f"{what}: the answer is not as agreed") from cause
    except OSError as cause:
        if is_disk_full(cause):
            raise Permanent(f"{what}: the host's disk is full") from cause
        raise Transient(what) from cause
