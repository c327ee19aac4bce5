"""The project of a drill: a user, a network, a small server on each host and a floating IP; and its end.

Everything is made by the public API. What a killed drill left is removed before the next one.
"""

from __future__ import annotations

import contextlib
import itertools
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keystoneauth1.exceptions import ClientException
from openstack.exceptions import SDKException

from kumoi.base.errors import Conflict, Permanent
from kumoi.drill.load import RETRIES
from kumoi.drill.pings import PingStream
from kumoi.drill.place import DrillHost
from kumoi.hosts.first_use.first_run import PUBLIC_NETWORK

if TYPE_CHECKING:
    from openstack.connection import Connection

NAME = "kumoi-drill"
DESCRIPTION = "Made by `kumoi drill`, which removes it."
CIDR = "192.168.231.0/24"
IMAGE, FLAVOR = "debian-12", "tiny"
MICROVERSION = "2.96"
BOOT_S, DELETED_S, ANSWERS_S = 90.0, 60.0, 60.0
POLL_S = 0.2


@dataclass(slots=True)
class DrillTenant:
    """`entry` is its own of clouds.yaml. `servers` are ids, by the hosts' names."""

    entry: dict[str, Any]
    project_id: str
    servers: dict[str, str] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    floating: dict[str, str] = field(default_factory=dict)

    def connect(self) -> Connection:
        """Another client, by the settings that openstacksdk documents."""
        return connect(self.entry)


def connect(entry: Mapping[str, Any]) -> Connection:
    import openstack  # noqa: PLC0415 - half a second, and not every command needs it

    return openstack.connection.Connection(
        **{name: dict(value) if name == "auth" else value for name, value in entry.items()},
        compute_default_microversion=MICROVERSION,
        app_name="kumoi-drill",
        **RETRIES,
    )


def others_servers(admin: Connection) -> int:
    """Servers of everybody, but for what an earlier drill left."""
    left = admin.identity.find_project(NAME)
    mine = left.id if left else ""
    found = admin.compute.servers(all_projects=True)
    return sum(each.project_id != mine for each in found)


@contextlib.contextmanager
def made(
    admin: Connection, entry: Mapping[str, Any], tell: Callable[[str], None]
) -> Iterator[DrillTenant]:
    """The project with its user. `entry` is somebody's of clouds.yaml. Raises Conflict when another
    project has the name.
    """
    _remove(admin, tell)
    password = secrets.token_urlsafe()
    project = admin.identity.create_project(name=NAME, description=DESCRIPTION)
    try:
        user = admin.identity.create_user(
            name=NAME, password=password, default_project_id=project.id, description=DESCRIPTION
        )
        admin.identity.assign_project_role_to_user(
            project, user, admin.identity.find_role("member")
        )
        words = {"username": NAME, "password": password, "project_name": NAME}
        yield DrillTenant({**entry, "auth": {**entry["auth"], **words}}, project.id)
    finally:
        _remove(admin, tell)


def furnish(
    tenant: DrillTenant, places: Collection[DrillHost], tell: Callable[[str], None]
) -> None:
    """A server on each host, with a floating IP for the last. Raises Permanent when a server does not
    start.
    """
    cloud = tenant.connect()
    network = cloud.network.create_network(name=NAME)
    subnet = cloud.network.create_subnet(network_id=network.id, cidr=CIDR, ip_version=4)
    outside = cloud.network.find_network(PUBLIC_NETWORK, ignore_missing=False)
    router = cloud.network.create_router(
        name=NAME, external_gateway_info={"network_id": outside.id}
    )
    cloud.network.add_interface_to_router(router, subnet=subnet.id)
    group = cloud.network.create_security_group(name=NAME)
    cloud.network.create_security_group_rule(
        security_group_id=group.id, direction="ingress", protocol="icmp"
    )
    apart = cloud.compute.create_server_group(name=NAME, policy="anti-affinity")
    begun = [
        cloud.compute.create_server(
            name=f"{NAME}-{number}",
            image_id=cloud.image.find_image(IMAGE, ignore_missing=False).id,
            flavor_id=cloud.compute.find_flavor(FLAVOR, ignore_missing=False).id,
            networks=[{"uuid": network.id}],
            security_groups=[{"name": NAME}],
            scheduler_hints={"group": apart.id},
        )
        for number in range(len(places))
    ]
    _wait_for_servers(tenant, cloud, [server.id for server in begun], places, tell)
    last = list(tenant.servers)[-1]
    port = next(iter(cloud.network.ports(device_id=tenant.servers[last])))
    address = cloud.network.create_ip(floating_network_id=outside.id, port_id=port.id)
    tenant.floating[last] = str(address.floating_ip_address)


def streams(tenant: DrillTenant, places: Collection[DrillHost]) -> list[PingStream]:
    """From each server to the one on the next host, and from the machine through the floating IP."""
    hosts = sorted(tenant.servers)
    networks = {place.host.name: _network_of(place, tenant.servers) for place in places}
    between = [
        PingStream(
            f"{one} to {other}",
            tenant.addresses[other],
            frozenset({one, other}),
            networks[one],
        )
        for one, other in itertools.pairwise(hosts)
    ]
    through = [
        PingStream(f"floating IP on {host}", address, frozenset({host}))
        for host, address in tenant.floating.items()
    ]
    return [*between, *through]


def _wait_for_servers(
    tenant: DrillTenant,
    cloud: Connection,
    ids: list[str],
    places: Collection[DrillHost],
    tell: Callable[[str], None],
) -> None:
    names = {place.host.name for place in places}
    ends_s = time.monotonic() + BOOT_S
    while True:
        found = [cloud.compute.get_server(server_id) for server_id in ids]
        states = sorted(server.status for server in found)
        if set(states) == {"ACTIVE"}:
            break
        if "ERROR" in states or time.monotonic() > ends_s:
            raise Permanent(f"the drill's servers are {', '.join(states)} after {BOOT_S:g} s")
        tell(", ".join(states))
        time.sleep(POLL_S)
    by_id = {server.id: server for server in found}
    for place in places:
        for server_id in _running_on(place) & by_id.keys():
            tenant.servers[place.host.name] = server_id
            port = next(iter(cloud.network.ports(device_id=server_id)))
            tenant.addresses[place.host.name] = str(port.fixed_ips[0]["ip_address"])
    if tenant.servers.keys() != names:
        raise Permanent(f"the drill's servers are on {', '.join(tenant.servers)} alone")


def _running_on(place: DrillHost) -> set[str]:
    return {server_id for driver in _drivers(place) for server_id in driver.list_running()}


def _network_of(place: DrillHost, servers: Mapping[str, str]) -> int:
    """A process in the network of the host's server: the first that its keeper started."""
    keepers = {
        server_id: pid
        for driver in _drivers(place)
        for server_id, pid in driver.list_running().items()
    }
    keeper = keepers[servers[place.host.name]]
    children = Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split()
    return int(children[0])


def _drivers(place: DrillHost) -> Collection[Any]:
    from kumoi.cloud.drivers.instance import registry  # noqa: PLC0415

    return registry.on_host(place.host.agent_dir, place.host.name).values()


def _remove(admin: Connection, tell: Callable[[str], None]) -> None:
    """What is left of the project, and the project."""
    project = admin.identity.find_project(NAME)
    if project is not None:
        if project.description != DESCRIPTION:
            raise Conflict(f"there is a project {NAME}, which no drill made: rename or delete it")
        tell(f"delete what is in the project {NAME}")
        _until_it_is_empty(admin, project.id)
        for group in admin.network.security_groups(project_id=project.id):
            admin.network.delete_security_group(group)
        admin.identity.delete_project(project)
    user = admin.identity.find_user(NAME)
    if user is not None and user.description == DESCRIPTION:
        admin.identity.delete_user(user)


def _until_it_is_empty(admin: Connection, project_id: str) -> None:
    """What a pipeline run was about to make comes while it is emptied."""
    ends_s = time.monotonic() + DELETED_S
    while True:
        try:
            _empty(admin, project_id)
        except (SDKException, ClientException):
            if time.monotonic() > ends_s:
                raise
            time.sleep(POLL_S)
        else:
            return


def _empty(admin: Connection, project_id: str) -> None:
    net, mine = admin.network, {"project_id": project_id}
    servers = [
        each for each in admin.compute.servers(all_projects=True) if each.project_id == project_id
    ]
    for server in servers:
        admin.compute.delete_server(server)
    for server in servers:
        admin.compute.wait_for_delete(server, interval=POLL_S, wait=DELETED_S)
    for group in admin.compute.server_groups(all_projects=True):
        if group.project_id == project_id:
            admin.compute.delete_server_group(group)
    for address in net.ips(**mine):
        net.delete_ip(address)
    for router in net.routers(**mine):
        for port in net.ports(device_id=router.id, device_owner="network:router_interface"):
            net.remove_interface_from_router(router, port=port.id)
        net.delete_router(router)
    for port in net.ports(**mine):
        net.delete_port(port)
    for network in net.networks(**mine):
        net.delete_network(network)
