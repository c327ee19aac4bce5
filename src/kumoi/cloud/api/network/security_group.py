"""Security groups: what is accepted and what is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy.engine import Connection

from kumoi.cloud.api.network import rendering, security_group_rule
from kumoi.cloud.api.network.body import Tags
from kumoi.cloud.api.network.rendering import Shown
from kumoi.cloud.api.network.resource import Resource
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.network import security_group as domain
from kumoi.cloud.domain.network.security_group import SecurityGroupRequest
from kumoi.cloud.store.network.security_group import SecurityGroup
from kumoi.engine.http.bounds import Text
from kumoi.engine.http.request import UNSET, Body, Unset

COLUMNS = {"name": "name", "stateful": "stateful"}


class SecurityGroupChanges(Body):
    name: Text | Unset = UNSET
    description: Text | Unset = UNSET
    stateful: bool | Unset = UNSET


class SecurityGroupNew(SecurityGroupChanges):
    project_id: Text | Unset = UNSET
    tenant_id: Text | Unset = UNSET
    tags: Tags | Unset = UNSET


def _ensure_default(request: Request) -> None:
    """Make the default group of a project that lists its groups, and of one whose groups an administrator
    lists, where it has none yet.
    """
    mine, caller = request.caller.project_id, request.caller
    asked = [request.query[name] for name in ("project_id", "tenant_id") if name in request.query]
    projects = {mine, *(key for key in asked if caller.may("create_security_group", key))}
    with request.read() as connection:
        missing = [key for key in projects if key and domain.default(connection, key) is None]
    if missing:
        with request.write() as connection:
            for key in missing:
                domain.ensure_default(connection, key, request.services.clock.now())


def _shown(
    connection: Connection,
    _request: Request,
    rows: Sequence[SecurityGroup],
    tags: Mapping[str, Sequence[str]],
) -> list[Shown]:
    rules = domain.rules(connection, [row.id for row in rows])
    return [
        {
            "name": row.name,
            "stateful": row.stateful,
            "shared": False,
            "security_group_rules": [
                security_group_rule.render(rule) for rule in rules.get(row.id, ())
            ],
            **rendering.standard(row, tags.get(row.id, ())),
        }
        for row in rows
    ]


RESOURCE = Resource(
    word="security_group",
    words="security_groups",
    new=SecurityGroupNew,
    changes=SecurityGroupChanges,
    columns=COLUMNS,
    booleans=frozenset({"stateful"}),
    wanted=SecurityGroupRequest,
    make=domain.create,
    get=domain.get,
    page=domain.page,
    change=domain.update,
    remove=domain.delete,
    shown=_shown,
    prepare=_ensure_default,
)
