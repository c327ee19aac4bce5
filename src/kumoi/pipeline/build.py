"""Stage build: an environment's network and servers, made in parallel where the order is free.

Called by the steps of run.py. Each function may be repeated: it finds what it made by its name.
Nothing here deletes; teardown.py does. `members`, `servers` and `url` are pure.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from kumoi.base.errors import Permanent
from kumoi.pipeline.cloud import Allowed, Cloud, CloudPort, CloudServerNew, ServerState
from kumoi.pipeline.environment import EnvironmentFile

SUBNET_CIDR = "10.0.0.0/24"  # Each environment has a router of its own, so all may be alike.
ANYWHERE = "0.0.0.0/0"
RUNNER = "runner"
PARALLEL_MAX = 8

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class PlannedServer:
    """A server that the environment is to have. `name` is its short name, such as web-1."""

    name: str
    group: str
    image: str
    flavor: str
    image_key: str  # The key in kumoi.yaml, for messages.
    flavor_key: str


class Preparation(msgspec.Struct):
    """The ids that servers need: images, flavors, networks, security groups. Part of the flow's
    state; `look_up` and `ensure_network` fill it in.
    """

    images: dict[str, str] = {}
    flavors: dict[str, str] = {}
    external_id: str = ""
    network_id: str = ""
    groups: dict[str, str] = {}  # Security groups: one per group of servers, and "" for all.


class Built(msgspec.Struct):
    """The addresses of the servers. Part of the flow's state."""

    addresses: dict[str, str] = {}  # By server, inside the network.
    floating: dict[str, str] = {}  # By group that has ports.


def prefix(environment_id: str) -> str:
    """The beginning of the name of everything that belongs to this environment."""
    return f"env-{environment_id}"


def members(wanted: EnvironmentFile) -> list[PlannedServer]:
    """All servers of an environment, the runner last."""
    found = [
        PlannedServer(f"{name}-{number}", name, group.image, group.flavor, f"servers.{name}.image",
               f"servers.{name}.flavor")
        for name, group in sorted(wanted.servers.items())
        for number in range(1, group.count + 1)
    ]  # fmt: skip
    runner = wanted.runner
    found.append(
        PlannedServer(RUNNER, RUNNER, runner.image, runner.flavor, "runner.image", "runner.flavor")
    )
    return found


def look_up(cloud: Cloud, wanted: EnvironmentFile) -> Preparation:
    """The ids of the images, flavors and network that the file names. Raises Permanent with the
    name and its key in the file when the cloud does not have one.
    """
    all_members = members(wanted)
    images = sorted({member.image for member in all_members})
    flavors = sorted({member.flavor for member in all_members})
    image_ids = dict(zip(images, in_parallel(cloud.find_image, images), strict=True))
    flavor_ids = dict(zip(flavors, in_parallel(cloud.find_flavor, flavors), strict=True))
    external_id = cloud.find_external_network()
    for member in all_members:
        if image_ids[member.image] is None:
            raise Permanent(f"there is no image {member.image!r} ({member.image_key})")
        if flavor_ids[member.flavor] is None:
            raise Permanent(f"there is no flavor {member.flavor!r} ({member.flavor_key})")
    if external_id is None:
        raise Permanent("the cloud has no external network to reach the environment through")
    return Preparation(
        images={name: id for name, id in image_ids.items() if id},  # noqa: A001 - a pair's half
        flavors={name: id for name, id in flavor_ids.items() if id},  # noqa: A001
        external_id=external_id,
    )


def ensure_network(
    cloud: Cloud,
    environment_id: str,
    wanted: EnvironmentFile,
    preparation: Preparation,
    public_key: str,
) -> None:
    """Network with router, security groups and keypair. Fills in `preparation`."""
    name = prefix(environment_id)

    def network_with_router() -> str:
        network = cloud.ensure_network(name, SUBNET_CIDR)
        cloud.ensure_router(name, preparation.external_id, network.subnet_id)
        return network.id

    def keypair() -> str:
        cloud.ensure_keypair(name, public_key)
        return name

    def inner_group() -> str:
        inside = [Allowed("tcp", 0, SUBNET_CIDR), Allowed("icmp", 0, SUBNET_CIDR)]
        return cloud.ensure_security_group(name, inside)

    def outer_group(group: str) -> str:
        allowed = [Allowed("tcp", port, ANYWHERE) for port in wanted.servers[group].ports]
        return cloud.ensure_security_group(f"{name}-{group}", allowed)

    with_ports = [group for group, servers in wanted.servers.items() if servers.ports]
    calls = [network_with_router, keypair, inner_group]
    calls += [functools.partial(outer_group, group) for group in with_ports]
    ids = in_parallel(lambda call: call(), calls)
    preparation.network_id = ids[0]
    preparation.groups = {"": ids[2], **dict(zip(with_ports, ids[3:], strict=True))}


def ensure_servers(
    cloud: Cloud,
    environment_id: str,
    wanted: EnvironmentFile,
    preparation: Preparation,
    *,
    user_data: str,
    tags: dict[str, str],
) -> Built:
    """Ports, servers and floating IPs. `user_data` is the runner's."""
    name = prefix(environment_id)

    def server(member: PlannedServer) -> CloudPort:
        known = preparation.groups
        groups = [known[key] for key in ("", member.group) if key in known]
        port = cloud.ensure_port(f"{name}-{member.name}", preparation.network_id, groups)
        cloud.ensure_server(
            CloudServerNew(
                name=f"{name}-{member.name}",
                image_id=preparation.images[member.image],
                flavor_id=preparation.flavors[member.flavor],
                port_id=port.id,
                keypair=name,
                user_data=user_data if member.group == RUNNER else "",
                metadata={**tags, "kumoi_group": member.group},
            )
        )
        return port

    runner_first = members(wanted)[::-1]  # The runner needs the longest time until it can work.
    ports = in_parallel(server, runner_first)
    by_name = {member.name: port for member, port in zip(runner_first, ports, strict=True)}

    def floating_ip(group: str) -> str:
        port_id = by_name[f"{group}-1"].id
        return cloud.ensure_floating_ip(f"{name}-{group}", port_id, preparation.external_id)

    with_ports = [group for group, servers in sorted(wanted.servers.items()) if servers.ports]
    addresses = in_parallel(floating_ip, with_ports)
    return Built(
        addresses={member: port.address for member, port in by_name.items()},
        floating=dict(zip(with_ports, addresses, strict=True)),
    )


def not_active(found: Sequence[ServerState], environment_id: str, wanted: EnvironmentFile) -> str:
    """Names the servers that are not ACTIVE yet; empty when all are. Raises Permanent when one
    cannot be built, or has gone.
    """
    name = prefix(environment_id)
    states = {server.name: server for server in found}
    missing: list[str] = []
    for member in members(wanted):
        state = states.get(f"{name}-{member.name}")
        if state is None:
            raise Permanent(f"server {member.name} has disappeared")
        if state.status == "ERROR":
            fault = state.fault or "the cloud does not say why"
            raise Permanent(f"server {member.name} could not be built: {fault}")
        if state.status != "ACTIVE":
            missing.append(member.name)
    return f"server {', '.join(sorted(missing))}" if missing else ""


def url(wanted: EnvironmentFile, built: Built) -> str:
    """The environment's own URL: that of the first group with ports; empty when none has any."""
    for group, address in sorted(built.floating.items()):
        ports = wanted.servers[group].ports
        scheme, default = ("https", 443) if 443 in ports and 80 not in ports else ("http", 80)  # noqa: PLR2004
        port = default if default in ports else ports[0]
        return f"{scheme}://{address}" + ("" if port == default else f":{port}") + "/"
    return ""


def servers(wanted: EnvironmentFile, built: Built) -> list[dict[str, str]]:
    """The servers that the runner works on, as its job lists them."""
    return [
        {"name": member.name, "group": member.group, "address": built.addresses[member.name]}
        for member in members(wanted)
        if member.group != RUNNER
    ]


def in_parallel(call: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """The results in the items' order; PARALLEL_MAX calls run at a time. Raises the first error by
    order, after all calls have ended.
    """
    if not items:
        return []
    with ThreadPoolExecutor(PARALLEL_MAX, "build") as pool:
        futures = [pool.submit(call, item) for item in items]
    return [future.result() for future in futures]
