"""POST /v2/images/{id}/import. A coroutine: a download may take minutes, and no thread of the requests waits for it.

The answer comes when the import has ended; how, its task says.
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Annotated

import msgspec
from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar

from kumoi.base.address import Network
from kumoi.base.errors import Conflict, Invalid, TooLarge, Unsupported
from kumoi.cloud.api.image.threads import in_thread
from kumoi.cloud.api.image.version import METHODS
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.image import image_import as domain
from kumoi.cloud.drivers.image import download
from kumoi.cloud.store.image.task import ImageTask
from kumoi.config import CloudSettings
from kumoi.engine import audit
from kumoi.engine.http import limits
from kumoi.engine.http.bounds import Entries, Text
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

STAGED, WEB = METHODS
BODY_MAX = 16_384
DOWNLOADS_EACH, DOWNLOADS_SHARED, DOWNLOADS_MAX = 2, 8, 32
"""At once in one process: of one project; while a project begins another beside its own; and in all. So those who have
two leave others their first.
"""
COPY = "copy-image"
WHY = {COPY: "there is one store of images, so there is nothing to copy to"}
_DOWNLOADS: RunVar[tuple[CapacityLimiter, Counter[str]]] = RunVar("downloads of images")


class ImportMethod(Body, kw_only=True):
    name: Text
    uri: Annotated[str, msgspec.Meta(max_length=download.URI_MAX)] | Unset = UNSET


class ImageImport(Body, kw_only=True):
    method: ImportMethod
    stores: Entries[Text] | Unset = UNSET
    all_stores: bool | Unset = UNSET
    all_stores_must_succeed: bool | Unset = UNSET


async def create(request: Request) -> Reply:
    """Raises Invalid and Unsupported for the method, Conflict for an image in another state."""
    asked = await _body(request)
    if asked.method.name not in METHODS:
        why = WHY.get(asked.method.name, f"the ways to import are {' and '.join(METHODS)}")
        raise Unsupported(f"{asked.method.name} is not offered: {why}.")
    if asked.method.name == STAGED:
        await in_thread(request, partial(_import_staged, request, asked))
    else:
        await _import_from_web(request, asked)
    return Reply(202)


async def _import_from_web(request: Request, asked: ImageImport) -> None:
    if asked.method.uri is UNSET:
        raise Invalid(f"{WEB} needs the URI to download from", field="method.uri")
    allowed = networks(request.services.cloud)
    uri = asked.method.uri
    # Refused at once, where it can be.
    await in_thread(request, partial(download.look, uri, allowed))
    download_it = partial(_import, request, asked, "queued", uri, allowed)
    with _download(request.caller.project_id or "") as limiter:
        await to_thread.run_sync(download_it, limiter=limiter)


@contextlib.contextmanager
def _download(project_id: str) -> Iterator[CapacityLimiter]:
    """Whose threads it has meanwhile. Raises Conflict when as many go on as may."""
    try:
        limiter, going_on = _DOWNLOADS.get()
    except LookupError:
        limiter, going_on = CapacityLimiter(DOWNLOADS_MAX), Counter()
        _DOWNLOADS.set((limiter, going_on))
    own, most = going_on[project_id], DOWNLOADS_SHARED if going_on[project_id] else DOWNLOADS_MAX
    for begun, bound in ((own, DOWNLOADS_EACH), (going_on.total(), most)):
        if begun >= bound:
            raise Conflict(f"{begun} images are being downloaded: try again when one is there.")
    going_on[project_id] += 1
    try:
        yield limiter
    finally:
        going_on[project_id] -= 1
        if not going_on[project_id]:
            del going_on[project_id]


def networks(cloud: CloudSettings) -> list[Network]:
    """What an operator excepts from the rule that images come from the internet."""
    texts = [text.strip() for text in cloud.image_import_networks.split(",")]
    return [ipaddress.ip_network(text) for text in texts if text]


def _import_staged(request: Request, asked: ImageImport) -> None:
    _import(request, asked, "uploading", None, ())


def _import(
    request: Request,
    asked: ImageImport,
    status: str,
    uri: str | None,
    allowed: Sequence[Network],
) -> None:
    services, key = request.services, request.path["id"]
    task: ImageTask = domain.begin(
        services.database,
        request.caller,
        key,
        services.clock.now(),
        asked=msgspec.to_builtins(asked),
        status=status,
    )
    blocks: Iterable[bytes] | None = None if uri is None else download.blocks(uri, allowed)
    domain.finish(
        services.database,
        services.cloud,
        services.images,
        task,
        inspect=services.inspect_image,
        caller=request.caller,
        now=services.clock.now(),
        blocks=blocks,
    )
    audit.about(key)


async def _body(request: Request) -> ImageImport:
    raw = bytearray()
    async for part in limits.parts(request.http):
        raw += part
        if len(raw) > BODY_MAX:
            raise TooLarge(f"The body has at most {BODY_MAX} bytes")
    request.raw = bytes(raw)
    return request.parse(ImageImport)
