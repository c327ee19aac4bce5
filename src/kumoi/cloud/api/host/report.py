"""What hosts say: their inventory, which is their sign of life, and what their servers are."""

from __future__ import annotations

from kumoi.cloud.api.host import caller
from kumoi.cloud.api.request import Reply, Request
from kumoi.cloud.domain.compute import console
from kumoi.cloud.domain.host import host as host_domain
from kumoi.cloud.domain.host import report as report_domain
from kumoi.cloud.hostapi.messages import Inventory, Reports


def put_inventory(request: Request) -> Reply:
    """Nobody is woken by a host that says nothing new."""
    host_id = caller.host_of(request)
    inventory = request.parse(Inventory)
    now = request.services.clock.now()
    database = request.services.database
    with database.read() as connection:
        is_news = host_domain.is_news(connection, host_id, inventory)
    with database.write(wakes=is_news) as connection:
        if is_news:
            host_domain.register(connection, host_id, inventory, now)
        else:
            host_domain.beat(connection, host_id, now)
    return Reply(204)


def create(request: Request) -> Reply:
    """Each report counts for itself. Those that say nothing new are not written."""
    host_id = caller.host_of(request)
    reports = request.parse(Reports).reports
    with request.read() as connection:
        news = [one for one in reports if report_domain.says_news(connection, host_id, one)]
    if news:
        now = request.services.clock.now()
        with request.write() as connection:
            for one in news:
                report_domain.take(connection, host_id, one, now)
    return Reply(204)


def put_console(request: Request) -> Reply:
    """The last of what a server wrote to its console, as text. Nobody is woken by it."""
    host_id = caller.host_of(request)
    now = request.services.clock.now()
    with request.services.database.write(wakes=False) as connection:
        console.keep(connection, host_id, request.path["id"], request.raw, now)
    return Reply(204)
