"""What hosts send: hello, which is their sign of life, and reports of their things."""

from __future__ import annotations

import kumoi
from kumoi import addresses
from kumoi.base.errors import Conflict, TooLarge
from kumoi.cloud.api.host import caller
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.compute import console
from kumoi.cloud.domain.host import host as host_domain
from kumoi.cloud.domain.host import report as domain
from kumoi.cloud.domain.host import witness
from kumoi.cloud.hostapi.hello import REFUSED, Hello, HostHello
from kumoi.cloud.hostapi.things import Reports
from kumoi.cloud.hostapi.witness import WitnessAnswer
from kumoi.engine import feed
from kumoi.engine.db import now
from kumoi.engine.http import limits
from kumoi.engine.http.request import Reply


def put_hello(request: Request) -> Reply:
    """A hello without news wakes no loop. That of a host that may not act is no sign of life: only
    its release is kept.
    """
    host_id = caller.host_of(request)
    hello = request.parse(HostHello)
    database = request.services.database
    with database.read() as connection:
        is_news = host_domain.is_news(connection, host_id, hello)
        epoch = feed.position(connection).epoch
        refusal = host_domain.refusal(connection, hello)
    with database.write(wakes=is_news and not refusal) as connection:
        if refusal:
            host_domain.note_refused(connection, host_id, hello)
        elif is_news:
            host_domain.register(connection, host_id, hello, now(connection))
        else:
            host_domain.beat(connection, host_id, now(connection))
    if refusal:
        raise Conflict(refusal, kind=REFUSED, code=REFUSED)
    cloud = request.services.cloud
    urls = addresses.host_api_urls(cloud, host_id) if cloud.is_replicated else ()
    return Reply(200, Hello(release=kumoi.__version__, epoch=epoch, host_api_urls=urls))


async def create(request: Request) -> Reply:
    """Written together with the reports that other hosts send at the same time; see intake.py."""
    host_id = caller.host_of(request)
    request.raw = await _body(request)
    reports = domain.read_all(host_id, request.parse(Reports).reports)
    await caller.intake_of(request).take(host_id, reports)
    return Reply(204)


def put_console(request: Request) -> Reply:
    """The end of a server's console output, as text. It wakes no loop."""
    host_id = caller.host_of(request)
    with request.services.database.write(wakes=False) as connection:
        console.keep(connection, host_id, request.path["id"], request.raw, now(connection))
    return Reply(204)


def put_witness(request: Request) -> Reply:
    """Whether another host answers this one. The healer looks by itself."""
    host_id = caller.host_of(request)
    answer = request.parse(WitnessAnswer)
    with request.services.database.write(wakes=False) as connection:
        witness.take(connection, host_id, answer, now(connection))
    return Reply(204)


async def _body(request: Request) -> bytes:
    """Raises TooLarge."""
    most = limits.BODY_MAX_BYTES
    body = bytearray()
    async for piece in limits.parts(request.http):
        body += piece
        if len(body) > most:
            raise TooLarge(f"Request is too large: at most {most} bytes")
    return bytes(body)
