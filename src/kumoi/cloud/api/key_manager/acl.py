"""Who may read a secret or a container: what is accepted and what is shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.key_manager.kept import PROJECT, KeptRules
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

Users = Annotated[list[Annotated[str, msgspec.Meta(max_length=64)]], msgspec.Meta(max_length=100)]


class ReadAcl(Body, rename={"project_access": PROJECT}):
    project_access: bool | Unset = UNSET
    users: Users | Unset = UNSET


class AclChanges(Body):
    read: ReadAcl


def handlers(
    rules: KeptRules[Any], words: str
) -> tuple[Callable[[Request], Reply], Callable[[Request], Reply], Callable[[Request], Reply]]:
    """To show it, to change it, and to have none."""

    def show(request: Request) -> Reply:
        with request.read() as connection:
            row = rules.readable(connection, request.caller, request.path["id"], "get_acl")
        return Reply(200, row.acl or {"read": {PROJECT: True}})

    def update(request: Request) -> Reply:
        said = request.parse(AclChanges).read
        now, key = request.services.clock.now(), request.path["id"]
        with request.write() as connection:
            row = rules.found(connection, key)
            before = (row.acl or {}).get("read", {}) if request.http.method == "PATCH" else {}
            read = {
                "created": before.get("created", now.isoformat()[:19]),
                "updated": now.isoformat()[:19],
                "users": before.get("users", []) if said.users is UNSET else said.users,
                PROJECT: before.get(PROJECT, True)
                if said.project_access is UNSET
                else said.project_access,
            }
            rules.set_acl(connection, request.caller, key, {"read": read}, now)
        return Reply(200, {"acl_ref": f"{request.base}/v1/{words}/{key}/acl"})

    def delete(request: Request) -> Reply:
        now = request.services.clock.now()
        with request.write() as connection:
            rules.set_acl(connection, request.caller, request.path["id"], None, now)
        return Reply(200)

    return show, update, delete
