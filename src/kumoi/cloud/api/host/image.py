"""The content of images: hosts download it for their servers, and upload what createImage asked for."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import IO

import anyio.to_thread

from kumoi.base.errors import NotFound, Transient
from kumoi.cloud.api.host import caller
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.compute import snapshot
from kumoi.cloud.domain.compute import upload as upload_domain
from kumoi.cloud.domain.host import prefetch
from kumoi.cloud.domain.image import content
from kumoi.cloud.drivers.image.files import DraftRoom
from kumoi.engine.http import limits
from kumoi.engine.http.request import Reply

CHUNK_BYTES = 1 << 20


async def download(request: Request) -> Reply:
    """A file that is deleted meanwhile is still read to its end."""
    host_id = caller.host_of(request)
    sha256 = await anyio.to_thread.run_sync(_content, request, host_id)
    try:
        file = await anyio.to_thread.run_sync(request.services.images.open, sha256)
    except FileNotFoundError as cause:
        if request.services.cloud.is_replicated:
            raise Transient(f"the content of image {request.path['id']} is not here") from cause
        raise NotFound("content of image", request.path["id"]) from cause
    headers = {"X-Kumoi-Sha256": sha256, "Content-Length": str(os.fstat(file.fileno()).st_size)}
    return Reply(200, headers=headers, stream=_chunks(file), media_type="application/octet-stream")


async def upload(request: Request) -> Reply:
    """The image of a server of this host, asked for by createImage."""
    services, key = request.services, request.path["id"]
    owner, room = await anyio.to_thread.run_sync(_uploader, request)
    most = services.cloud.image_max_bytes
    draft = await anyio.to_thread.run_sync(services.images.draft, most, room)
    with draft:
        buffer = bytearray()
        async for piece in limits.parts(request.http):
            buffer += piece
            if len(buffer) >= CHUNK_BYTES:
                await anyio.to_thread.run_sync(draft.write, bytes(buffer))
                buffer.clear()
        await anyio.to_thread.run_sync(draft.write, bytes(buffer))
        now = services.clock.now()
        await anyio.to_thread.run_sync(
            lambda: content.accept(
                services.database,
                services.cloud,
                services.images,
                draft,
                inspect=services.inspect_image,
                caller=owner,
                key=key,
                now=now,
            )
        )
    await anyio.to_thread.run_sync(_finish, request)
    return Reply(204)


def delete(request: Request) -> Reply:
    """The host cannot make the image."""
    host_id, now = caller.host_of(request), request.services.clock.now()
    with request.write() as connection:
        upload_domain.give_up(connection, host_id, request.path["id"], now)
    return Reply(204)


def _uploader(request: Request) -> tuple[Caller, DraftRoom | None]:
    """For whom it is, and what that project's uploads may have together: this one counts as any other."""
    host_id, key = caller.host_of(request), request.path["id"]
    with request.read() as connection:
        owner = snapshot.uploader(connection, host_id, key, request.request_id)
        row = content.require_expected(connection, owner, key)
        return owner, content.draft_room(connection, request.services.cloud, owner, row)


def _finish(request: Request) -> None:
    with request.write() as connection:
        upload_domain.finish(connection, request.path["id"], request.services.clock.now())


def _content(request: Request, host_id: str) -> str:
    with request.read() as connection:
        return prefetch.content(connection, host_id, request.path["id"])


async def _chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    with file:
        while chunk := await anyio.to_thread.run_sync(file.read, CHUNK_BYTES):
            yield chunk
