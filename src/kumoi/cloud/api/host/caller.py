"""Which host calls, and the objects that its handlers share; app.py puts them into the scope."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kumoi.base.errors import Bug, KumoiError
from kumoi.cloud.api.host.hub import Hub
from kumoi.cloud.api.host.intake import Intake
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.host.thing import Kinds

if TYPE_CHECKING:
    from kumoi.cloud.api.host.lease import LeaseDesk

HOST_KEY = "kumoi.host"
HUB_KEY = "kumoi.hub"
INTAKE_KEY = "kumoi.intake"
KINDS_KEY = "kumoi.kinds"
LEASES_KEY = "kumoi.leases"


def identify(request: Request) -> Caller:
    """The host that the connection's certificate proves. Raises Unauthenticated or Forbidden for any
    other caller, and Transient where that cannot be known now.
    """
    who = request.http.scope[HOST_KEY]
    if isinstance(who, KumoiError):
        raise who
    return Caller(
        user_id=str(who),
        project_id=None,
        roles=frozenset(),
        request_id=request.request_id,
        is_host=True,
    )


def host_of(request: Request) -> str:
    """The calling host's name."""
    if not request.caller.is_host:
        raise Bug("a route of the host API has a policy that allows callers that are no hosts")
    return request.caller.user_id


def hub_of(request: Request) -> Hub:
    hub = request.http.scope.get(HUB_KEY)
    if not isinstance(hub, Hub):
        raise Bug("the host API was not built by host_app")
    return hub


def intake_of(request: Request) -> Intake:
    intake = request.http.scope.get(INTAKE_KEY)
    if not isinstance(intake, Intake):
        raise Bug("the host API was not built by host_app")
    return intake


def kinds_of(request: Request) -> Kinds:
    kinds: Kinds = request.http.scope[KINDS_KEY]
    return kinds


def leases_of(request: Request) -> LeaseDesk:
    desk: LeaseDesk = request.http.scope[LEASES_KEY]
    return desk
