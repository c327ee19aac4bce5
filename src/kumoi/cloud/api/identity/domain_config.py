"""Configuration of domains: the whole, a group of options, or one option."""

from __future__ import annotations

from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.identity import domain_config as domain
from kumoi.engine.http.bounds import AnyObject, Object
from kumoi.engine.http.request import Body, Reply


class DomainConfig(Body):
    config: Object[AnyObject]


class DomainConfigPart(Body):
    """A group comes with its name, an option under its own."""

    config: AnyObject


def create(request: Request) -> Reply:
    given = request.parse(DomainConfig).config
    with request.write() as connection:
        is_new, shown = domain.put(connection, request.path["id"], given)
    return Reply(201 if is_new else 200, {"config": shown})


def show(request: Request) -> Reply:
    with request.read() as connection:
        shown = domain.get(connection, request.path["id"], *_part(request))
    return Reply(200, {"config": shown})


def update(request: Request) -> Reply:
    given = request.parse(DomainConfigPart).config
    with request.write() as connection:
        shown = domain.update(connection, request.path["id"], given, *_part(request))
    return Reply(200, {"config": shown})


def delete(request: Request) -> Reply:
    with request.write() as connection:
        domain.delete(connection, request.path["id"], *_part(request))
    return Reply(204)


def defaults(request: Request) -> Reply:
    return Reply(200, {"config": domain.defaults(*_part(request))})


def show_compliance(request: Request) -> Reply:
    """What a password must be like, for whoever is to choose one."""
    cloud = request.services.cloud
    told = {
        "password_regex": cloud.password_regex or None,
        "password_regex_description": cloud.password_regex_description or None,
    }
    with request.read() as connection:
        domain.require_compliance(connection, request.path["id"], request.path.get("option"), told)
    option = request.path.get("option")
    shown: object = {"security_compliance": told} if option is None else {option: told[option]}
    return Reply(200, {"config": shown})


def _part(request: Request) -> tuple[str | None, str | None]:
    return request.path.get("group"), request.path.get("option")
