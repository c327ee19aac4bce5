"""Access rules of a user's application credentials: what is shown."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import Connection

from kumoi.cloud.api.identity import rendering
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.identity import access_rule as domain
from kumoi.cloud.domain.identity import application_credential, user
from kumoi.cloud.store.identity import access_rule as store
from kumoi.cloud.store.identity.access_rule import AccessRule
from kumoi.cloud.store.identity.user import User
from kumoi.engine.http.request import Reply

COLUMNS = {"service": "service", "path": "path", "method": "method"}


def index(request: Request) -> Reply:
    wanted = rendering.listing(request, COLUMNS)
    with request.read() as connection:
        owner = _owner(request, connection, "identity:list_access_rules")
        found = store.page(connection, wanted, user_id=owner.id)
    shown = [render(request, row) for row in found]
    return Reply(200, rendering.page(request, "access_rules", shown, wanted))


def show(request: Request) -> Reply:
    with request.read() as connection:
        owner = _owner(request, connection, "identity:get_access_rule")
        found = domain.get(connection, owner.id, request.path["rule_id"])
    return Reply(200, {"access_rule": render(request, found)})


def delete(request: Request) -> Reply:
    with request.write() as connection:
        application_credential.require_unrestricted(request.claims)
        owner = _owner(request, connection, "identity:delete_access_rule")
        domain.delete(connection, owner.id, request.path["rule_id"])
    return Reply(204)


def _owner(request: Request, connection: Connection, rule: str) -> User:
    """The user that the path names. Raises as `user.get_for` does."""
    return user.get_for(connection, request.caller, rule, request.path["id"])


def render(request: Request, row: AccessRule) -> dict[str, Any]:
    return {
        "id": row.id,
        "service": row.service,
        "method": row.method,
        "path": row.path,
        "links": rendering.link(request, "users", row.user_id, "access_rules", row.id),
    }
