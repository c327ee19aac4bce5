"""Users: what is accepted and what is shown. A password is hashed before the transaction opens."""

from __future__ import annotations

from typing import Any

from kumoi.base.errors import Unauthenticated
from kumoi.base.secret import Secret
from kumoi.cloud.api.identity import open_body, password_check, project, rendering
from kumoi.cloud.api.identity.open_body import OpenBody
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.identity import assignment, password_rules
from kumoi.cloud.domain.identity import user as domain
from kumoi.cloud.domain.identity.login import REFUSED
from kumoi.cloud.domain.identity.password import hash_password
from kumoi.cloud.domain.identity.user import UserRequest
from kumoi.cloud.store.identity import password_history
from kumoi.cloud.store.identity import project as projects
from kumoi.cloud.store.identity import user as store
from kumoi.cloud.store.identity.assignment import AssignmentTarget
from kumoi.cloud.store.identity.user import User
from kumoi.engine import audit
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

COLUMNS = {"name": "name", "enabled": "enabled", "domain_id": "domain_id"}


class UserNew(OpenBody):
    name: rendering.Name
    domain_id: rendering.Key | Unset = UNSET
    default_project_id: rendering.Key | None = None
    description: rendering.Text | None = None
    email: rendering.Name | None = None
    enabled: bool = True
    password: rendering.Password | None = None
    options: rendering.Options | Unset = UNSET


class UserChanges(OpenBody):
    name: rendering.Name | Unset = UNSET
    domain_id: rendering.Key | Unset = UNSET
    default_project_id: rendering.Key | Unset | None = UNSET
    description: rendering.Text | Unset | None = UNSET
    email: rendering.Name | Unset | None = UNSET
    enabled: bool | Unset = UNSET
    password: rendering.Password | Unset | None = UNSET
    options: rendering.Options | Unset = UNSET


class Passwords(Body):
    password: rendering.Password
    original_password: rendering.Password


class UserCreate(Body):
    user: UserNew


class UserUpdate(Body):
    user: UserChanges


class ChangePassword(Body):
    user: Passwords


def create(request: Request) -> Reply:
    wanted = request.parse(UserCreate).user
    named = rendering.named_domain(wanted.domain_id)
    request.caller.check("identity:create_user", domain_id=named)
    cloud, now = request.services.cloud, request.services.clock.now()
    hashed = _hashed(request, wanted.password)
    with request.write() as connection:
        made = domain.create(
            connection,
            UserRequest(
                name=wanted.name,
                domain_id=rendering.home(request, wanted.domain_id),
                description=wanted.description,
                email=wanted.email,
                enabled=wanted.enabled,
                default_project_id=wanted.default_project_id,
                password_hash=hashed,
                options=wanted.options or {},
                extra=open_body.others(request, "user", UserNew),
            ),
            cloud,
            now,
        )
        audit.about(made.id)
    return Reply(201, {"user": render(request, made)})


def index(request: Request) -> Reply:
    wanted = rendering.listing(request, COLUMNS, booleans=("enabled",))
    with request.read() as connection:
        found = store.page(connection, rendering.confined(request, wanted, "identity:list_users"))
    shown = [render(request, row) for row in found]
    return Reply(200, rendering.page(request, "users", shown, wanted))


def show(request: Request) -> Reply:
    with request.read() as connection:
        found = domain.get_for(connection, request.caller, "identity:get_user", request.path["id"])
    return Reply(200, {"user": render(request, found)})


def update(request: Request) -> Reply:
    values = open_body.changes(request, "user", request.parse(UserUpdate).user)
    if "password" in values:
        values["password_hash"] = _hashed(request, values.pop("password"))
    with request.write() as connection:
        now, key = request.services.clock.now(), request.path["id"]
        domain.get_managed(connection, request.caller, "identity:update_user", key)
        changed = domain.update(connection, key, values, cloud=request.services.cloud, now=now)
    rendering.ended(request)
    return Reply(200, {"user": render(request, changed)})


def change_password(request: Request) -> Reply:
    """Change a password by naming the old one, which may be expired: it needs no token. Wrong ones count as
    failed logins.
    """
    wanted = request.parse(ChangePassword).user
    key = request.path["id"]
    with request.read() as connection:
        found = store.get(connection, key)
        earlier = password_history.hashes(connection, key)
    password_check.verify(request, found, key, Secret(wanted.original_password))
    if found is None or found.password_hash is None:
        raise Unauthenticated(REFUSED)
    if request.record is not None:
        request.record.user_id = key
    cloud, new = request.services.cloud, Secret(wanted.password)
    password_rules.require_old_enough(cloud, found, request.services.clock.now())
    hashed = _hashed(request, wanted.password)
    password_rules.require_unused(cloud, [found.password_hash, *earlier], new)
    with request.write() as connection:
        now = request.services.clock.now()
        domain.change_password(
            connection,
            key,
            checked_hash=found.password_hash,
            new_hash=hashed or "",
            cloud=cloud,
            now=now,
        )
    rendering.ended(request)
    return Reply(204)


def _hashed(request: Request, password: str | None) -> str | None:
    """Raises Invalid for one that the cloud's rules do not take."""
    if not password:
        return None
    password_rules.require_strong(request.services.cloud, Secret(password))
    return hash_password(Secret(password))


def delete(request: Request) -> Reply:
    with request.write() as connection:
        key = request.path["id"]
        domain.get_managed(connection, request.caller, "identity:delete_user", key)
        domain.delete(connection, key, request.services.clock.now())
    rendering.ended(request)
    return Reply(204)


def list_projects(request: Request) -> Reply:
    """The projects on which the user has a role."""
    with request.read() as connection:
        found = domain.get_for(
            connection, request.caller, "identity:list_user_projects", request.path["id"]
        )
        ids = assignment.targets_of(connection, found.id, AssignmentTarget.PROJECT)
        wanted = rendering.listing(request, project.COLUMNS, booleans=("enabled",))
        rows = projects.page(connection, wanted, ids=ids)
        shown = project.render(request, connection, rows)
    return Reply(200, rendering.page(request, "projects", shown, wanted))


def render(request: Request, row: User) -> dict[str, Any]:
    cloud, now = request.services.cloud, request.services.clock.now()
    shown: dict[str, Any] = {
        "id": row.id,
        "name": row.name,
        "domain_id": row.domain_id,
        "enabled": row.enabled and not password_rules.is_idle(cloud, row, now),
        "password_expires_at": rendering.moment(row.password_expires_at),
        "options": row.options or {},
        "links": rendering.link(request, "users", row.id),
    }
    for name in ("description", "email", "default_project_id"):
        if getattr(row, name) is not None:
            shown[name] = getattr(row, name)
    return open_body.shown(row.extra, shown)
