"""The host API's application: the framework of the OpenStack services with hosts as callers.

A host is identified by its certificate (certificate.py), and the rows of its policies allow hosts
only. It sees and reports only its own things: every handler works for `host_of(request)`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request as HttpRequest
from starlette.types import ASGIApp, Receive, Scope, Send

from kumoi.base.errors import KumoiError
from kumoi.cloud.api.host.caller import HOST_KEY, HUB_KEY, INTAKE_KEY, KINDS_KEY, LEASES_KEY
from kumoi.cloud.api.host.certificate import ByCertificate
from kumoi.cloud.api.host.hub import Hub
from kumoi.cloud.api.host.intake import Intake
from kumoi.cloud.api.host.lease import LeaseDesk
from kumoi.cloud.api.host.routes import SERVICE
from kumoi.cloud.api.services import Services
from kumoi.cloud.domain.host import kinds as known
from kumoi.cloud.domain.host.thing import Kinds
from kumoi.cloud.hostapi.hello import PATH
from kumoi.cloud.hostapi.lease import LEASE_PATH
from kumoi.engine.http.app import App
from kumoi.engine.wake import Alarm

Identify = Callable[[HttpRequest], Awaitable[str]]
"""Gives the name of the calling host. Raises the error that the call is answered with."""


def host_app(
    services: Services,
    alarm: Alarm,
    *,
    identify: Identify | None = None,
    kinds: Kinds | None = None,
) -> ASGIApp:
    """The application for the hosts' own listener. Hosts are identified by their certificates, unless
    a test brings another `identify`, or other `kinds` of things. Whoever renews a lease is identified
    without the store, where `identify` can.
    """
    kinds_ = kinds or known.kinds(services.seal)
    cloud = services.cloud
    identify_ = identify or ByCertificate(services.database, services.clock, cloud_name=cloud.name)
    app = App(
        services,
        (SERVICE,),
        root=cloud.host_api_url,
        requests_max=cloud.requests_per_client,
    )
    hub = Hub(services.database, alarm)
    intake = Intake(services.database, services.clock, kinds_)
    desk = LeaseDesk(services.leases)
    at_once = identify_.at_once if isinstance(identify_, ByCertificate) else identify_
    lease_path = f"{PATH}{LEASE_PATH}"

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope[HUB_KEY] = hub
            scope[INTAKE_KEY] = intake
            scope[KINDS_KEY] = kinds_
            scope[LEASES_KEY] = desk
            who = at_once if scope["path"] == lease_path else identify_
            try:
                scope[HOST_KEY] = await who(HttpRequest(scope))
            except KumoiError as error:  # Raised by caller.identify, for the service's envelope.
                scope[HOST_KEY] = error
        await app(scope, receive, send)

    return call
