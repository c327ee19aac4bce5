"""Secrets of a repository, for its steps. A value is given and never shown: what reads it is the runner."""

from __future__ import annotations

from typing import Annotated

import msgspec
from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Invalid, NotFound
from kumoi.base.ids import new_id
from kumoi.base.secret import Secret
from kumoi.engine import audit
from kumoi.engine.http.request import Body, Reply
from kumoi.pipeline import limits
from kumoi.pipeline.api.request import Request
from kumoi.pipeline.environment import SECRETS_MAX, VARIABLE_RULE, SecretName
from kumoi.pipeline.repositories import check_name
from kumoi.pipeline.store import repository, repository_secret
from kumoi.pipeline.store.repository import Repository
from kumoi.pipeline.store.repository_secret import RepositorySecret

VALUE_MIN = 8  # What is shorter could not be masked in all its forms (runner/mask.py).
VALUE_MAX = 8_192


class SecretValue(Body):
    value: Annotated[str, msgspec.Meta(min_length=VALUE_MIN, max_length=VALUE_MAX)]


def list_(request: Request) -> Reply:
    """By name, without the values."""
    with request.read() as connection:
        found = _owner(connection, request)
        secrets = repository_secret.list_of_repository(connection, found.id)
    return Reply(200, {"secrets": [_render(each) for each in secrets]})


def set_(request: Request) -> Reply:
    """Make one, or give it another value. The repository need not have been pushed to yet."""
    given, caller = Secret(request.parse(SecretValue).value), request.caller
    name, key = request.path["name"], _key(request)
    caller.check("kumoi:secret:set", caller.project_id)
    check_name(name)
    if "\0" in given.reveal():
        raise Invalid("a secret has no NUL: it becomes an environment variable", field="value")
    now = request.services.clock.now()
    new = Repository(new_id(), caller.project_id, caller.project_name, name, now)
    with request.write() as connection:
        if repository.find(connection, caller.project_id, name) is None:
            limits.require_repository(connection, request.services.cloud, caller.project_id)
        owner = repository.ensure(connection, new)
        there = repository_secret.list_of_repository(connection, owner.id)
        if len(there) >= SECRETS_MAX and key not in {each.name for each in there}:
            raise Conflict(f"a repository has {SECRETS_MAX} secrets at most")
        made = RepositorySecret(owner.id, key, given, now, caller.user_id)
        repository_secret.put(connection, made)
        audit.about(owner.id)
    return Reply(200, {"secret": _render(made)})


def delete(request: Request) -> Reply:
    """What was built with it stays as it is."""
    key = _key(request)
    request.caller.check("kumoi:secret:delete", request.caller.project_id)
    with request.write() as connection:
        found = _owner(connection, request)
        if not repository_secret.delete(connection, found.id, key):
            raise NotFound("secret", key)
        audit.about(found.id)
    return Reply(204)


def _owner(connection: Connection, request: Request) -> Repository:
    name = request.path["name"]
    found = repository.find(connection, request.caller.project_id, name)
    if found is None:
        raise NotFound("repository", name)
    return found


def _key(request: Request) -> str:
    try:
        return msgspec.convert(request.path["key"], SecretName)
    except msgspec.ValidationError as cause:
        raise Invalid(f"expected {VARIABLE_RULE}", field="key") from cause


def _render(found: RepositorySecret) -> dict[str, object]:
    return {"name": found.name, "set_at": found.set_at, "user_id": found.user_name}
