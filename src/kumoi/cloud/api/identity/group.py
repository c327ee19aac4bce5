"""Groups: what is accepted and what is shown."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import Connection

from kumoi.cloud.api.identity import open_body, rendering, user
from kumoi.cloud.api.identity.open_body import OpenBody
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.identity import group as domain
from kumoi.cloud.domain.identity import user as user_domain
from kumoi.cloud.store.identity import group as store
from kumoi.cloud.store.identity import user as users
from kumoi.cloud.store.identity.group import Group
from kumoi.cloud.store.listing import Listing
from kumoi.engine import audit
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

COLUMNS = {"name": "name", "domain_id": "domain_id"}


class GroupNew(OpenBody):
    name: rendering.Name
    domain_id: rendering.Key | Unset = UNSET
    description: rendering.Text | None = ""


class GroupChanges(OpenBody):
    name: rendering.Name | Unset = UNSET
    domain_id: rendering.Key | Unset = UNSET
    description: rendering.Text | Unset | None = UNSET


class GroupCreate(Body):
    group: GroupNew


class GroupUpdate(Body):
    group: GroupChanges


def create(request: Request) -> Reply:
    wanted = request.parse(GroupCreate).group
    named = rendering.named_domain(wanted.domain_id)
    request.caller.check("identity:create_group", domain_id=named)
    with request.write() as connection:
        made = domain.create(
            connection,
            name=wanted.name,
            description=wanted.description or "",
            domain_id=rendering.home(request, wanted.domain_id),
            extra=open_body.others(request, "group", GroupNew),
        )
        audit.about(made.id)
    return Reply(201, {"group": render(request, made)})


def index(request: Request) -> Reply:
    wanted = rendering.listing(request, COLUMNS)
    with request.read() as connection:
        found = store.page(connection, rendering.confined(request, wanted, "identity:list_groups"))
    shown = [render(request, row) for row in found]
    return Reply(200, rendering.page(request, "groups", shown, wanted))


def show(request: Request) -> Reply:
    with request.read() as connection:
        found = domain.get_for(connection, request.caller, "identity:get_group", request.path["id"])
    return Reply(200, {"group": render(request, found)})


def update(request: Request) -> Reply:
    values = open_body.changes(request, "group", request.parse(GroupUpdate).group)
    if values.get("description", "") is None:
        values["description"] = ""
    with request.write() as connection:
        key = request.path["id"]
        domain.get_managed(connection, request.caller, "identity:update_group", key)
        changed = domain.update(connection, key, values)
    return Reply(200, {"group": render(request, changed)})


def delete(request: Request) -> Reply:
    with request.write() as connection:
        key = request.path["id"]
        domain.get_managed(connection, request.caller, "identity:delete_group", key)
        domain.delete(connection, key, request.services.clock.now())
    rendering.ended(request)
    return Reply(204)


def list_users(request: Request) -> Reply:
    wanted = rendering.listing(request, user.COLUMNS, booleans=("enabled",))
    with request.read() as connection:
        rule = "identity:list_users_in_group"
        found = domain.get_for(connection, request.caller, rule, request.path["id"])
        wanted = rendering.confined(request, wanted, rule)
        rows = users.page(connection, wanted, ids=store.members(connection, found.id))
    shown = [user.render(request, row) for row in rows]
    return Reply(200, rendering.page(request, "users", shown, wanted))


def add_user(request: Request) -> Reply:
    with request.write() as connection:
        _require_both(request, connection, "identity:add_user_to_group")
        domain.join(connection, request.path["id"], request.path["user_id"])
    return Reply(204)


def check_user(request: Request) -> Reply:
    with request.read() as connection:
        _require_both(request, connection, "identity:check_user_in_group")
        domain.check(connection, request.path["id"], request.path["user_id"])
    return Reply(204)


def remove_user(request: Request) -> Reply:
    with request.write() as connection:
        now = request.services.clock.now()
        _require_both(request, connection, "identity:remove_user_from_group")
        domain.leave(connection, request.path["id"], request.path["user_id"], now)
    rendering.ended(request)
    return Reply(204)


def of_user(request: Request) -> Reply:
    with request.read() as connection:
        rule = "identity:list_groups_for_user"
        found = user_domain.get_for(connection, request.caller, rule, request.path["id"])
        ids = store.groups_of(connection, found.id)
        within = request.caller.domain_id
        wanted = Listing() if within is None else Listing(filters={"domain_id": [within]})
        rows = store.page(connection, wanted, ids=ids)
    shown = [render(request, row) for row in rows]
    return Reply(200, rendering.page(request, "groups", shown))


def _require_both(request: Request, connection: Connection, rule: str) -> None:
    """Raises Forbidden unless the rule allows this with the group and with the user."""
    caller = request.caller
    if rule == "identity:check_user_in_group":
        domain.get_for(connection, caller, rule, request.path["id"])
    else:
        domain.get_managed(connection, caller, rule, request.path["id"])
    user_domain.get_for(connection, caller, rule, request.path["user_id"])


def render(request: Request, row: Group) -> dict[str, Any]:
    shown = {
        "id": row.id,
        "name": row.name,
        "domain_id": row.domain_id,
        "description": row.description,
        "links": rendering.link(request, "groups", row.id),
    }
    return open_body.shown(row.extra, shown)
