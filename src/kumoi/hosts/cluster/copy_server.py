"""Gives other control hosts what this one has, and brings here what they ask for. Called by main.py.

Who asks shows a certificate of the engines' authority, whose name says who it is: hosts, tenants and clients
have certificates of another authority, which TLS refuses. Only whole things are given.
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Collection, Iterator
from typing import IO

import msgspec
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route, Router

from kumoi.base import log
from kumoi.base.errors import Invalid, KumoiError, NotFound
from kumoi.hosts.cluster.copies import CopyKeeper
from kumoi.hosts.cluster.copy_calls import (
    CHANGES_MAX,
    CHUNK_BYTES,
    BringRequest,
    Brought,
    CopiesCaller,
    PackRequest,
)
from kumoi.hosts.cluster.copy_plan import CopyKind, CopyName

BODY_MAX_BYTES = 1 << 20
SHA256 = re.compile(r"[0-9a-f]{64}")
RANGE = re.compile(r"bytes=([0-9]{1,18})-")
JSON = "application/json"
PEERS = frozenset({CopiesCaller.COPIES})


OpenImage = Callable[[str], IO[bytes]]
"""By its sha256. Raises FileNotFoundError."""
Pack = Callable[[str, list[str]], IO[bytes]]
"""A repository but for what those commits have. Raises NotFound, Invalid, Transient."""
Handler = Callable[[Request], Awaitable[Response]]


class CopyServer:
    def __init__(self, keeper: CopyKeeper, open_image: OpenImage, pack: Pack) -> None:
        self._keeper = keeper
        self._open_image = open_image
        self._pack_repository = pack
        with_api, with_pipeline = PEERS | {CopiesCaller.API}, PEERS | {CopiesCaller.PIPELINE}
        repository = "/repositories/{project}/{name}"
        self.app = Router(
            [
                Route("/held", _guarded(self._held, PEERS)),
                Route("/images/{sha256}", _guarded(self._image, PEERS)),
                Route(f"{repository}/pack", _guarded(self._pack, PEERS), methods=["POST"]),
                Route("/images/{sha256}", _guarded(self._bring_image, with_api), methods=["POST"]),
                Route(
                    repository, _guarded(self._bring_repository, with_pipeline), methods=["POST"]
                ),
            ]
        )

    async def _held(self, _request: Request) -> Response:
        held = await to_thread.run_sync(self._keeper.held)
        return Response(msgspec.json.encode(held), media_type=JSON)

    async def _image(self, request: Request) -> Response:
        sha256 = _sha256(request)
        try:
            file = await to_thread.run_sync(self._open_image, sha256)
        except FileNotFoundError as cause:
            raise NotFound("image", sha256) from cause
        found = RANGE.fullmatch(request.headers.get("Range", "bytes=0-"))
        return _streamed(file, int(found[1]) if found else 0)

    async def _pack(self, request: Request) -> Response:
        asked = msgspec.json.decode(await _body(request), type=PackRequest)
        haves = asked.haves[:CHANGES_MAX]
        return _streamed(
            await to_thread.run_sync(self._pack_repository, _repository(request), haves), 0
        )

    async def _bring_image(self, request: Request) -> Response:
        copy = CopyName(CopyKind.IMAGE, _sha256(request))
        await to_thread.run_sync(self._keeper.bring, copy)
        return Response(b"{}", media_type=JSON)

    async def _bring_repository(self, request: Request) -> Response:
        asked = msgspec.json.decode(await _body(request), type=BringRequest)
        copy = CopyName(CopyKind.REPOSITORY, _repository(request))
        found = await to_thread.run_sync(self._keeper.bring, copy, asked.number)
        return Response(msgspec.json.encode(Brought(found.number)), media_type=JSON)


def _guarded(handler: Handler, callers: Collection[CopiesCaller]) -> Handler:
    """For these alone, and with errors as statuses."""

    async def answer(request: Request) -> Response:
        if _caller(request) not in callers:
            return Response("this certificate does not open that", 403)
        try:
            return await handler(request)
        except NotFound as error:
            return Response(error.message, 404)
        except (Invalid, msgspec.DecodeError) as error:
            return Response(str(error), 400)
        except KumoiError as error:
            log.failure("copy.not_given", error, path=request.url.path)
            return Response(error.message, 503)

    return answer


def _caller(request: Request) -> str:
    """The name in the certificate, which TLS has checked; "" without one."""
    return str(request.scope.get("extensions", {}).get("tls", {}).get("client_name", ""))


async def _body(request: Request) -> bytes:
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > BODY_MAX_BYTES:
            raise Invalid(f"at most {BODY_MAX_BYTES} bytes may be asked with")
    return bytes(content)


def _sha256(request: Request) -> str:
    value = request.path_params["sha256"]
    if not SHA256.fullmatch(value):
        raise NotFound("image", value)
    return str(value)


def _repository(request: Request) -> str:
    return f"{request.path_params['project']}/{request.path_params['name']}"


def _streamed(file: IO[bytes], begin: int) -> Response:
    """The file from there on, closed at its end."""
    left = max(file.seek(0, os.SEEK_END) - begin, 0)
    headers = {"Content-Length": str(left)}
    media_type = "application/octet-stream"
    return StreamingResponse(_parts(file, begin), headers=headers, media_type=media_type)


def _parts(file: IO[bytes], begin: int) -> Iterator[bytes]:
    with file:
        file.seek(begin)
        while part := file.read(CHUNK_BYTES):
            yield part
