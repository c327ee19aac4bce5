"""The host API's application: the framework of the OpenStack services, other callers.

A host is who its certificate says (certificate.py). It sees and reports only its own things, so there is no policy
beyond that: every handler works for `host_of(request)` and nobody else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request as HttpRequest
from starlette.types import ASGIApp, Receive, Scope, Send

from kumoi.base.errors import UserError
from kumoi.cloud.api.host.caller import HOST_KEY, HUB_KEY, INTAKE_KEY, KINDS_KEY
from kumoi.cloud.api.host.certificate import ByCertificate
from kumoi.cloud.api.host.hub import Hub
from kumoi.cloud.api.host.intake import Intake
from kumoi.cloud.api.host.routes import SERVICE
from kumoi.cloud.api.services import Services
from kumoi.cloud.domain.host.kinds import KINDS
from kumoi.cloud.domain.host.thing import Kinds
from kumoi.engine.http.app import App
from kumoi.engine.wake import Alarm

Identify = Callable[[HttpRequest], Awaitable[str]]
"""The name of the host that calls. Raises what the call is then answered with."""


def host_app(
    services: Services,
    alarm: Alarm,
    *,
    identify: Identify | None = None,
    kinds: Kinds = KINDS,
) -> ASGIApp:
    """To be served on the hosts' own listener. Hosts are known by their certificates, unless a test
    knows them otherwise.
    """
    cloud = services.cloud
    identify_ = identify or ByCertificate(services.database, services.clock, cloud_name=cloud.name)
    app = App(services, (SERVICE,), root=cloud.host_api_url, body_max_bytes=cloud.body_max_bytes)
    hub = Hub(services.database, alarm)
    intake = Intake(services.database, services.clock, kinds)

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope[HUB_KEY] = hub
            scope[INTAKE_KEY] = intake
            scope[KINDS_KEY] = kinds
            scope[HOST_KEY] = await _who(identify_, HttpRequest(scope))
        await app(scope, receive, send)

    return call


async def _who(identify: Identify, http: HttpRequest) -> str | UserError:
    try:
        return await identify(http)
    except UserError as error:
        return error
