"""What clients look for and this cloud does not offer yet: there is none, and none can be made."""

from __future__ import annotations

from kumoi.base.errors import Unsupported
from kumoi.cloud.api.load_balancer import body
from kumoi.cloud.api.request import Request
from kumoi.engine.http.request import Reply


def l7_policies(_request: Request) -> Reply:
    return Reply(200, {"l7policies": []})


def create_l7_policy(request: Request) -> Reply:
    body.require(request, "l7policy")
    raise Unsupported("L7 policies are not offered: no listener of this cloud looks into HTTP")
