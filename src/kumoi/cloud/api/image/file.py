"""Upload and download of the content of images. Coroutines: content passes in blocks, so that no
process holds a whole image.

Hashing and file access run in threads, a block at a time, so that other requests go on meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from typing import IO

from kumoi.base.errors import Bug, Invalid, TooLarge, Transient
from kumoi.cloud.api.image.image import WITH_CONTENT
from kumoi.cloud.api.image.threads import in_thread
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.image import content, image_import
from kumoi.cloud.domain.image.content import Draft
from kumoi.cloud.drivers.image.files import DraftRoom
from kumoi.cloud.store.image.image import Image
from kumoi.engine.http import limits
from kumoi.engine.http.errors import UnsupportedMediaType
from kumoi.engine.http.request import Reply
from kumoi.engine.http.running import looked

BLOCK_BYTES = 1 << 20
OCTETS = "application/octet-stream"
RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


@dataclass(frozen=True, slots=True)
class _Part:
    """`length` bytes of a file, from `start` on."""

    start: int
    length: int


async def upload(request: Request) -> Reply:
    """Content for a queued image. An upload that breaks off leaves no file, and the image queued."""
    return await _written(request, _accept)


async def stage(request: Request) -> Reply:
    """Content that an import is to make the image's. Until then it is not shown."""
    return await _written(request, _stage)


async def _written(request: Request, keep: Callable[[Request, Draft], None]) -> Reply:
    room = await in_thread(request, partial(_require_upload, request))
    services = request.services
    make = partial(services.images.draft, services.cloud.image_max_bytes, room)
    draft = await in_thread(request, make)
    with draft:
        async for block in _blocks(request):
            await in_thread(request, partial(draft.write, block))
        await in_thread(request, partial(keep, request, draft))
    return Reply(204)


async def download(request: Request) -> Reply:
    """The content, or a part of it; 204 when there is none yet."""
    look = partial(looked, request, partial(_readable, request))
    row, headers = await in_thread(request, look)
    if row.sha256 is None or row.size is None or row.status not in WITH_CONTENT:
        return Reply(204, headers=headers)
    file = await in_thread(request, partial(_open, request, row.sha256))
    try:
        part = _part(request.http.headers.get("Range"), row.size)
    except Invalid:
        file.close()
        raise
    whole = part.length == row.size
    headers |= {"Content-Length": str(part.length), "Accept-Ranges": "bytes"}
    if whole and row.checksum:
        headers["Content-MD5"] = row.checksum
    if not whole:
        end = part.start + part.length - 1
        headers["Content-Range"] = f"bytes {part.start}-{end}/{row.size}"
    return Reply(200 if whole else 206, None, headers, _read(request, file, part), OCTETS)


def _require_upload(request: Request) -> DraftRoom | None:
    """What may be uploaded. Raises what can be known before any content is read."""
    media_type = request.http.headers.get("Content-Type", "").partition(";")[0].strip()
    if media_type != OCTETS:
        raise UnsupportedMediaType(f"Content-Type must be {OCTETS}")
    with request.read() as connection:
        row = content.require_expected(connection, request.caller, request.path["id"])
        room = content.draft_room(connection, request.services.cloud, request.caller, row)
    most = request.services.cloud.image_max_bytes
    declared = request.http.headers.get("Content-Length", "")
    if declared.isdecimal() and int(declared) > most:
        raise TooLarge(f"The image is too large: at most {most} bytes are allowed")
    return room


def _accept(request: Request, draft: Draft) -> None:
    services = request.services
    content.accept(
        services.database,
        services.cloud,
        services.images,
        draft,
        inspect=services.inspect_image,
        caller=request.caller,
        key=request.path["id"],
        now=services.clock.now(),
    )


def _stage(request: Request, draft: Draft) -> None:
    services = request.services
    image_import.stage(
        services.database,
        services.cloud,
        services.images,
        draft,
        caller=request.caller,
        key=request.path["id"],
        now=services.clock.now(),
    )


async def _blocks(request: Request) -> AsyncIterator[bytes]:
    """The body in blocks of at least BLOCK_BYTES, but for the last."""
    buffer = bytearray()
    async for piece in limits.parts(request.http):
        buffer += piece
        if len(buffer) >= BLOCK_BYTES:
            yield bytes(buffer)
            buffer.clear()
    if buffer:
        yield bytes(buffer)


def _readable(request: Request) -> Image:
    with request.read() as connection:
        return content.readable(connection, request.caller, request.path["id"])


def _open(request: Request, sha256: str) -> IO[bytes]:
    """An open file stays readable when its image is deleted meanwhile."""
    try:
        return request.services.images.open(sha256)
    except FileNotFoundError as cause:
        if request.services.cloud.is_replicated:
            raise Transient("The content of the image is on another control host.") from cause
        raise Bug(f"the file of content {sha256} is missing") from cause


def _part(header: str | None, size: int) -> _Part:
    """The part that a Range header asks for. Raises Invalid for one outside of the content."""
    if header is None:
        return _Part(0, size)
    found = RANGE.fullmatch(header.strip())
    if found is None or found.groups() == ("", ""):
        raise Invalid(f"Invalid range: {header}", field="Range")
    first, last = found.groups()
    if first == "":
        length = min(int(last), size)
        return _Part(size - length, length)
    start, end = int(first), min(int(last or size), size - 1)
    if start > end:
        raise Invalid(f"Invalid range: {header}", field="Range")
    return _Part(start, end - start + 1)


async def _read(request: Request, file: IO[bytes], part: _Part) -> AsyncIterator[bytes]:
    with contextlib.closing(file):
        position, left = part.start, part.length
        while left:
            read = partial(os.pread, file.fileno(), min(BLOCK_BYTES, left), position)
            block = await in_thread(request, read)
            if not block:
                raise Bug("an image's file is shorter than its row says")
            yield block
            position, left = position + len(block), left - len(block)
