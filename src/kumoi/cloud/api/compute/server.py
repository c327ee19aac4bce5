"""Servers: create, list, show, change, delete."""

from __future__ import annotations

from typing import Any

from kumoi.base.errors import KumoiError
from kumoi.cloud.api.compute import rendering, server_body, server_query, server_view, shapes
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.compute import address, server_create, server_delete
from kumoi.cloud.domain.compute import server as domain
from kumoi.cloud.domain.compute.server_create import ServerRequest
from kumoi.cloud.store.compute.server import Server
from kumoi.engine import audit
from kumoi.engine.http.request import UNSET, Reply


def create(request: Request) -> Reply:
    """Answers with the first of them, or with the reservation's id."""
    body = request.parse(server_body.ServerCreate)
    wanted = server_body.new_server(request, body)
    made = _made(request, wanted)
    asked = body.server.return_reservation_id
    if asked is not UNSET and shapes.flag(asked, "return_reservation_id"):
        return Reply(202, {"reservation_id": made[0].reservation_id})
    shown: dict[str, Any] = {
        "id": made[0].id,
        "links": rendering.links(request, f"servers/{made[0].id}"),
        "OS-DCF:diskConfig": made[0].disk_config,
        "security_groups": [{"name": name} for name in wanted.security_groups or ("default",)],
        "adminPass": server_body.password(body.server.admin_pass),
    }
    headers = {"Location": f"{request.base}/{rendering.VERSION}/servers/{made[0].id}"}
    return Reply(202, {"server": shown}, headers)


def _made(request: Request, wanted: ServerRequest) -> list[Server]:
    """All or none of the servers: several are made in several transactions, between which others
    write.
    """
    made: list[Server] = []
    now = request.services.clock.now()
    try:
        while len(made) < wanted.max_count:
            with request.write() as connection:
                more = server_create.create(connection, request.caller, wanted, now, made=made)
                audit.about((made or more)[0].id)
            if not more:
                break
            made += more
    except KumoiError:
        for server in made:
            with request.write() as connection:
                server_delete.withdraw(connection, server, now)
        raise
    return made


def index(request: Request) -> Reply:
    query = server_query.parse(request)
    with request.read() as connection:
        found = domain.page(connection, request.caller, query)
    shown = [server_view.brief(request, row) for row in found]
    ids = [row.id for row in found]
    return Reply(200, rendering.page(request, "servers", shown, ids, query.limit))


def detail(request: Request) -> Reply:
    query = server_query.parse(request)
    with request.read() as connection:
        found = domain.page(connection, request.caller, query)
        context = server_view.context(connection, request, found)
    shown = server_view.details(request, found, context)
    ids = [row.id for row in found]
    return Reply(200, rendering.page(request, "servers", shown, ids, query.limit))


def show(request: Request) -> Reply:
    with request.read() as connection:
        found = domain.get(connection, request.caller, request.path["id"])
        context = server_view.context(connection, request, [found])
    return Reply(200, {"server": server_view.one(request, found, context)})


def update(request: Request) -> Reply:
    values = server_body.changes(request, request.parse(server_body.ServerUpdate).server)
    now = request.services.clock.now()
    with request.write() as connection:
        changed = domain.rename(connection, request.caller, request.path["id"], values, now)
        context = server_view.context(connection, request, [changed])
    return Reply(200, {"server": server_view.updated(request, changed, context)})


def delete(request: Request) -> Reply:
    now = request.services.clock.now()
    with request.write() as connection:
        found = domain.unlocked(connection, request.caller, request.path["id"])
        server_delete.begin(connection, request.caller, found, now)
    return Reply(204)


def addresses(request: Request) -> Reply:
    with request.read() as connection:
        found = domain.get(connection, request.caller, request.path["id"])
        listed = address.of(connection, [found.id]).addresses.get(found.id, ())
    return Reply(200, {"addresses": server_view.plain_addresses(listed)})


def network_addresses(request: Request) -> Reply:
    name = request.path["network"]
    with request.read() as connection:
        found = domain.get(connection, request.caller, request.path["id"])
        listed = address.of(connection, [found.id]).addresses.get(found.id, ())
    shown = server_view.plain_addresses(listed)
    if name not in shown:
        raise server_view.no_network(name)
    return Reply(200, {name: shown[name]})
