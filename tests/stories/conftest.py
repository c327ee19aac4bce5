"""The stories together go every route. Looked at when all were run, by one process or by several."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
from openstack.connection import Connection

from kumoi.base.ids import new_hex_id
from kumoi.cloud.api.host.routes import SERVICE as HOST
from kumoi.cloud.api.serve import SERVICES
from kumoi.components import PIPELINE, Api, with_needs
from tests.route_coverage import COVERED, route_name

HERE = Path(__file__).parent
COLLECTED = pytest.StashKey[set[Path]]()


def pytest_collection_finish(session: pytest.Session) -> None:
    session.config.stash[COLLECTED] = {item.path for item in session.items}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """One of several test processes has ended, and hands over the routes that it covered."""
    output = getattr(node, "workeroutput", {})
    COVERED.update(output.get("covered", ()))
    collected = {Path(name) for name in output.get("collected", ())}
    node.config.stash[COLLECTED] = node.config.stash.get(COLLECTED, set()) | collected


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    collected = session.config.stash.get(COLLECTED, set())
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output |= {"covered": sorted(COVERED), "collected": sorted(map(str, collected))}
    elif _all_passed(session, exitstatus) and collected.issuperset(HERE.rglob("test_*.py")):
        uncovered = [f"FAILED {route} has no story" for route in sorted(_routes() - COVERED)]
        if uncovered:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            session.config.get_terminal_writer().line("\n".join(["", *uncovered]))


def _all_passed(session: pytest.Session, exitstatus: int) -> bool:
    return exitstatus == pytest.ExitCode.OK and not session.config.option.collectonly


def _routes() -> set[str]:
    return {
        route_name(service, route.method, route.path)
        for service in (*SERVICES, HOST)
        for route in service.routes
    }


@pytest.fixture(scope="module")
def apis(request: pytest.FixtureRequest) -> Collection[str]:
    """A directory's stories are told in a cloud that has its own API, and what that needs. So whatever a
    cloud is without, the stories of what is left hold. A file that is about others too is marked.
    """
    name = request.path.parent.name.replace("_", "-")
    if name not in {*Api, PIPELINE}:
        return tuple(Api)
    mark = request.node.get_closest_marker("apis")
    return with_needs(Api.IDENTITY, name, *(mark.args if mark is not None else ()))


@pytest.fixture(scope="module")
def public(admin: Connection) -> Iterator[Any]:
    """An external network with room for 13 addresses."""
    network = admin.network.create_network(
        name=f"public-{new_hex_id()[:8]}",
        is_router_external=True,
        provider_network_type="flat",
        provider_physical_network="physnet1",
    )
    admin.network.create_subnet(
        network_id=network.id,
        ip_version=4,
        cidr="10.201.0.0/28",
        gateway_ip="10.201.0.1",
        enable_dhcp=False,
    )
    yield network
    for floating in admin.network.ips(floating_network_id=network.id):
        admin.network.delete_ip(floating)
    for port in admin.network.ports(network_id=network.id, device_owner="network:router_gateway"):
        admin.network.update_router(port.device_id, external_gateway_info={})
    admin.network.delete_network(network)
