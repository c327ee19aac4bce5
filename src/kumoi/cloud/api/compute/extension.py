"""Extensions of the compute API, under the names they had before microversions."""

from __future__ import annotations

from typing import Any

from kumoi.base.errors import NotFound
from kumoi.cloud.api.request import Request
from kumoi.engine.http.request import Reply

NAMES = {
    "os-availability-zone": "AvailabilityZone",
    "os-console-output": "ConsoleOutput",
    "os-create-server-ext": "CreateServerExt",
    "os-extended-status": "ExtendedStatus",
    "os-flavor-access": "FlavorAccess",
    "os-flavor-extra-specs": "FlavorExtraSpecs",
    "os-flavor-manage": "FlavorManage",
    "os-hypervisors": "Hypervisors",
    "os-instance-actions": "InstanceActions",
    "os-keypairs": "Keypairs",
    "os-multiple-create": "MultipleCreate",
    "os-quota-sets": "Quotas",
    "os-security-groups": "SecurityGroups",
    "os-server-groups": "ServerGroups",
    "os-services": "Services",
    "os-simple-tenant-usage": "SimpleTenantUsage",
    "os-user-data": "UserData",
}


def index(_request: Request) -> Reply:
    return Reply(200, {"extensions": [_render(alias) for alias in NAMES]})


def show(request: Request) -> Reply:
    alias = request.path["id"]
    if alias not in NAMES:
        raise NotFound("extension", alias)
    return Reply(200, {"extension": _render(alias)})


def _render(alias: str) -> dict[str, Any]:
    return {
        "alias": alias,
        "name": NAMES[alias],
        "description": "",
        "links": [],
        "namespace": "http://docs.openstack.org/compute/ext/fake_xml",
        "updated": "2014-12-03T00:00:00Z",
    }
