"""The wanted state of the calling host, by long poll."""

from __future__ import annotations

import anyio.to_thread

from kumoi.base.errors import Conflict, Invalid
from kumoi.cloud.api.host import caller
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.host import host as host_domain
from kumoi.cloud.domain.host import wanted
from kumoi.cloud.hostapi.hello import REFUSED
from kumoi.cloud.hostapi.things import WantedThings
from kumoi.cloud.store.host.host import topic
from kumoi.engine.http.request import Reply
from kumoi.engine.position import Position

WAIT_MAX_S = 60.0
NUMBER_MAX = 2.0**53


async def show(request: Request) -> Reply:
    """Answers at once when something changed after `since` in that `epoch`; else when something does,
    or after `wait_s`.
    """
    host_id = caller.host_of(request)
    since = Position(request.query.get("epoch", ""), int(_number(request, "since")))
    wait_s = min(_number(request, "wait_s"), WAIT_MAX_S)
    if since.revision > 0 and wait_s > 0:
        await caller.hub_of(request).wait(topic(host_id), since, wait_s)
    answer = await anyio.to_thread.run_sync(_wanted, request, host_id, since)
    return Reply(200, answer)


def _wanted(request: Request, host_id: str, since: Position) -> WantedThings:
    with request.read() as connection:
        if refusal := host_domain.refused(connection, host_id):
            raise Conflict(refusal, kind=REFUSED, code=REFUSED)
        return wanted.since(connection, host_id, since, caller.kinds_of(request))


def _number(request: Request, name: str) -> float:
    raw = request.query.get(name, "0")
    try:
        number = float(raw)
    except ValueError as cause:
        raise Invalid(f"{name} is not a number: {raw}", field=name) from cause
    if not 0 <= number < NUMBER_MAX:
        raise Invalid(f"{name} is out of range: {raw}", field=name)
    return number
