"""The agent's client of the host API.

`Upstream` is the contract, `HttpUpstream` the real client: HTTPS, with this host's own certificate.
Every call raises Transient when the control plane cannot be reached or its answer cannot be read.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, Self

import httpx
import msgspec

from kumoi.base import files, log
from kumoi.base.backoff import Backoff
from kumoi.base.errors import KumoiError, Permanent, Transient
from kumoi.base.files import Promise, is_disk_full
from kumoi.cloud.hostapi.hello import PATH, REFUSED, ErrorEnvelope, Hello, HostHello
from kumoi.cloud.hostapi.join import RenewedCertificate
from kumoi.cloud.hostapi.messages import ImageContent
from kumoi.cloud.hostapi.owner import ASKED_MAX, OWNERS_PATH, Owners, OwnersQuestion
from kumoi.cloud.hostapi.things import Reports, ThingReport, WantedThings, raw
from kumoi.cloud.hostapi.witness import WITNESS_PATH, WitnessAnswer
from kumoi.engine.position import Position

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 15.0
CHUNK_BYTES = 1 << 20
RETRY = Backoff(first_s=0.2, most_s=5.0)  # Between calls that do not reach the control plane.
TIMEOUT = httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
_NOT_FOUND, _NOT_NOW = httpx.codes.NOT_FOUND, httpx.codes.SERVICE_UNAVAILABLE
_REFUSED = httpx.codes.CONFLICT
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

    async def witness(self, answer: WitnessAnswer) -> None:
        """To a question that came with what is wanted."""
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
    """The host APIs of all control hosts, each with a connection pool for as long as the agent lives. They
    are asked in turn, beginning with the one that answered last: one that cannot be reached, or says that it
    cannot help now, is left for the next. Who they are is learned from what they answer, and kept in the file
    `known` for the next start.
    """

    def __init__(
        self, urls: Sequence[str], *, tls: ssl.SSLContext | bool, known: Path | None = None
    ) -> None:
        self._urls = [*urls]
        self._at = self._urls[0]
        self._tls = tls
        self._known = known
        self._moved = asyncio.Event()
        self._clients: dict[str, httpx.AsyncClient] = {}
        if known is not None and (found := read_known(known)):
            self._learn(found)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self._clients.values():
            await client.aclose()

    async def wanted(self, since: Position, wait_s: float) -> WantedThings:
        """Whoever is asked may be silent for long without being gone; when another call has found another
        one, that is asked again.
        """
        asking = asyncio.ensure_future(self._wanted(since, wait_s))
        moved = asyncio.ensure_future(self._moved.wait())
        try:
            await asyncio.wait({asking, moved}, return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                return asking.result()
            raise Transient("ask what is wanted: another control host answers now")
        finally:
            for task in (asking, moved):
                task.cancel()
            await asyncio.gather(asking, moved, return_exceptions=True)

    async def _wanted(self, since: Position, wait_s: float) -> WantedThings:
        with _attempting("ask what is wanted"):
            answer = await self._ask(
                "GET",
                "/wanted",
                params={"epoch": since.epoch, "since": since.revision, "wait_s": f"{wait_s:g}"},
                timeout=httpx.Timeout(wait_s + ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            )
            _check_accepted(answer)
            return msgspec.json.decode(answer.content, type=WantedThings)

    async def report(self, reports: Sequence[ThingReport]) -> None:
        with _attempting("report what is"):
            content = msgspec.json.encode(Reports(reports=[raw(report) for report in reports]))
            answer = await self._ask("POST", "/reports", content=lambda: content, headers=_JSON)
            answer.raise_for_status()

    async def hello(self, hello: HostHello) -> Hello:
        with _attempting("say hello"):
            content = msgspec.json.encode(hello)
            answer = await self._ask("PUT", "/hello", content=lambda: content, headers=_JSON)
            _check_accepted(answer)
            said = msgspec.json.decode(answer.content, type=Hello)
            self._learn(said.host_api_urls)
            return said

    async def fetch_image(self, image: ImageContent, path: Path) -> None:
        digest = hashlib.sha256()
        with _attempting(f"fetch image {image.id}"):
            async with self._streamed(f"/images/{image.id}") as answer:
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
            answer = await self._ask(
                "PUT", f"/images/{image_id}", content=lambda: _chunks(path), headers=headers
            )
            answer.raise_for_status()

    async def give_up_image(self, image_id: str) -> None:
        with _attempting(f"give up image {image_id}"):
            (await self._ask("DELETE", f"/images/{image_id}")).raise_for_status()

    async def witness(self, answer: WitnessAnswer) -> None:
        with _attempting("say whether another host answers"):
            content = msgspec.json.encode(answer)
            told = await self._ask("POST", WITNESS_PATH, content=lambda: content, headers=_JSON)
            told.raise_for_status()

    async def owners(self, ids: Sequence[str]) -> dict[str, str]:
        """The project of each port, router, balancer and station of a balancer that there is among them."""
        found: dict[str, str] = {}
        for start in range(0, len(ids), ASKED_MAX):
            found |= await self._owners(ids[start : start + ASKED_MAX])
        return found

    async def _owners(self, ids: Sequence[str]) -> dict[str, str]:
        with _attempting("ask whose ports and routers are"):
            content = msgspec.json.encode(OwnersQuestion(ids=[*ids]))
            told = await self._ask("POST", OWNERS_PATH, content=lambda: content, headers=_JSON)
            told.raise_for_status()
            return msgspec.json.decode(told.content, type=Owners).owners

    async def renew_certificate(self) -> str:
        """A certificate in PEM for this host's key, which ends later."""
        with _attempting("renew the host's certificate"):
            answer = await self._ask("POST", "/certificate")
            answer.raise_for_status()
            return msgspec.json.decode(answer.content, type=RenewedCertificate).certificate

    async def console(self, server_id: str, text: str) -> None:
        with _attempting("send a console"):
            headers = {"Content-Type": "text/plain; charset=utf-8"}
            url = f"/servers/{server_id}/console"
            answer = await self._ask("PUT", url, content=text.encode, headers=headers)
            if answer.status_code != _NOT_FOUND:  # Deleted meanwhile: nobody reads it.
                answer.raise_for_status()

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        content: Callable[[], bytes | AsyncIterator[bytes]] = bytes,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str | int] | None = None,
        timeout: httpx.Timeout = TIMEOUT,  # noqa: ASYNC109 - of each of them
    ) -> httpx.Response:
        """The answer of the first that gives one; of the last where none can help now, or all refuse this host."""
        for url, others in self._in_turn():
            try:
                answer = await self._client(url).request(
                    method, path, content=content(), headers=headers, params=params, timeout=timeout
                )
            except httpx.TransportError:
                self._leave(url)
                if not others:
                    raise
                continue
            if answer.status_code == _REFUSED and others:
                continue  # It may be of the release before, and the next one of this host's.
            if answer.status_code != _NOT_NOW:
                return answer
            self._leave(url)
        return answer

    @contextlib.asynccontextmanager
    async def _streamed(self, path: str) -> AsyncIterator[httpx.Response]:
        """Likewise, while it comes. One that breaks off is asked from its beginning by whoever calls again."""
        for url, others in self._in_turn():
            async with contextlib.AsyncExitStack() as opened:
                try:
                    answer = await opened.enter_async_context(self._client(url).stream("GET", path))
                except httpx.TransportError:
                    self._leave(url)
                    if not others:
                        raise
                    continue
                if answer.status_code != _NOT_NOW or not others:
                    yield answer
                    return
            self._leave(url)

    def _in_turn(self) -> list[tuple[str, int]]:
        """Each with the number of those after it."""
        first = self._urls.index(self._at)
        turns = self._urls[first:] + self._urls[:first]
        return [(url, len(turns) - place) for place, url in enumerate(turns, 1)]

    def _leave(self, url: str) -> None:
        if url != self._at or len(self._urls) == 1:
            return
        self._at = self._urls[(self._urls.index(url) + 1) % len(self._urls)]
        log.warning("control_plane.left", url=url, now=self._at)
        self._moved.set()
        self._moved = asyncio.Event()

    def _client(self, url: str) -> httpx.AsyncClient:
        if url not in self._clients:
            self._clients[url] = httpx.AsyncClient(
                base_url=url + PATH, verify=self._tls, timeout=TIMEOUT
            )
        return self._clients[url]

    def _learn(self, urls: Sequence[str]) -> None:
        """Those that are known keep their order. A control plane that does not say changes nothing."""
        known = [url for url in self._urls if url in urls]
        found = [*known, *(url for url in urls if url not in known)]
        if not found or found == self._urls:
            return
        self._urls = found
        if self._at not in found:
            self._at = found[0]
        if self._known is not None:
            files.replace(self._known, msgspec.json.encode(found), promise=Promise.OLD_OR_NEW)


def read_known(path: Path) -> list[str]:
    """Nothing where nobody said anything yet, or what is there cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[str])
    except (FileNotFoundError, msgspec.DecodeError):
        return []


def _check_accepted(answer: httpx.Response) -> None:
    """Raises HostRefused, or HTTPStatusError for any other answer that is no success."""
    if answer.status_code == _REFUSED:
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
