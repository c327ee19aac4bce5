"""Stage build: an environment's network and servers, everything at once that may be.

Called by the steps of run.py. Each function may be repeated: it finds what it made by its name.
Nothing here deletes; teardown.py does. `members` and `job` are pure.
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
TOGETHER_MAX = 8

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class PlannedServer:
    """One server to be: `name` is its short name, such as web-1."""

    name: str
    group: str
    image: str
    flavor: str
    image_key: str  # Where kumoi.yaml says so, for messages.
    flavor_key: str


class Preparation(msgspec.Struct):
    """What the first half of the build found out; kept in the flow's state."""

    images: dict[str, str] = {}
    flavors: dict[str, str] = {}
    external_id: str = ""
    network_id: str = ""
    groups: dict[str, str] = {}  # Security groups: of each group of servers, and "" of all.


class Built(msgspec.Struct):
    """What the second half found out."""

    addresses: dict[str, str] = {}  # Of each server, inside the network.
    floating: dict[str, str] = {}  # Of each group with ports.


def prefix(environment_id: str) -> str:
    """What the name of everything in this environment begins with."""
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
    """Every name the file uses, found in the cloud. Raises Permanent naming one that is not."""
    all_members = members(wanted)
    images = sorted({member.image for member in all_members})
    flavors = sorted({member.flavor for member in all_members})
    image_ids = dict(zip(images, each(cloud.find_image, images), strict=True))
    flavor_ids = dict(zip(flavors, each(cloud.find_flavor, flavors), strict=True))
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
    cloud: Cloud, environment_id: str, wanted: EnvironmentFile, place: Preparation, public_key: str
) -> None:
    """Network with router, security groups and keypair. Fills in `place`."""
    name = prefix(environment_id)

    def network_with_router() -> str:
        network = cloud.ensure_network(name, SUBNET_CIDR)
        cloud.ensure_router(name, place.external_id, network.subnet_id)
        return network.id

    inside = [Allowed("tcp", 0, SUBNET_CIDR), Allowed("icmp", 0, SUBNET_CIDR)]
    opened = {group: servers.ports for group, servers in wanted.servers.items() if servers.ports}

    def security_group(group: str) -> str:
        allowed = [Allowed("tcp", port, ANYWHERE) for port in opened[group]]
        return cloud.ensure_security_group(f"{name}-{group}", allowed)

    def keypair() -> str:
        cloud.ensure_keypair(name, public_key)
        return name

    def inner_group() -> str:
        return cloud.ensure_security_group(name, inside)

    calls = [network_with_router, keypair, inner_group]
    calls += [functools.partial(security_group, group) for group in opened]
    made = each(lambda call: call(), calls)
    place.network_id = made[0]
    place.groups = {"": made[2], **dict(zip(opened, made[3:], strict=True))}


def ensure_servers(
    cloud: Cloud,
    environment_id: str,
    wanted: EnvironmentFile,
    place: Preparation,
    *,
    user_data: str,
    tags: dict[str, str],
) -> Built:
    """Ports, servers and floating IPs. `user_data` is the runner's."""
    name = prefix(environment_id)

    def server(member: PlannedServer) -> CloudPort:
        groups = [place.groups[key] for key in ("", member.group) if key in place.groups]
        port = cloud.ensure_port(f"{name}-{member.name}", place.network_id, groups)
        cloud.ensure_server(
            CloudServerNew(
                name=f"{name}-{member.name}",
                image_id=place.images[member.image],
                flavor_id=place.flavors[member.flavor],
                port_id=port.id,
                keypair=name,
                user_data=user_data if member.group == RUNNER else "",
                metadata={**tags, "kumoi_group": member.group},
            )
        )
        return port

    runner_first = members(wanted)[::-1]  # It takes longest until it is of use.
    ports = each(server, runner_first)
    by_name = {member.name: port for member, port in zip(runner_first, ports, strict=True)}

    def floating_ip(group: str) -> str:
        port_id = by_name[f"{group}-1"].id
        return cloud.ensure_floating_ip(f"{name}-{group}", port_id, place.external_id)

    fronts = [group for group, servers in sorted(wanted.servers.items()) if servers.ports]
    addresses = each(floating_ip, fronts)
    return Built(
        addresses={member: port.address for member, port in by_name.items()},
        floating=dict(zip(fronts, addresses, strict=True)),
    )


def waiting_for(found: Sequence[ServerState], environment_id: str, wanted: EnvironmentFile) -> str:
    """Which servers are not there yet, in words; empty when all are. Raises Permanent when one
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
    """Where the environment answers: the first group that has ports; empty when none has."""
    for group, address in sorted(built.floating.items()):
        ports = wanted.servers[group].ports
        scheme, plain = ("https", 443) if 443 in ports and 80 not in ports else ("http", 80)  # noqa: PLR2004
        port = plain if plain in ports else ports[0]
        return f"{scheme}://{address}" + ("" if port == plain else f":{port}") + "/"
    return ""


def servers(wanted: EnvironmentFile, built: Built) -> list[dict[str, str]]:
    """What the runner is told of the servers it works on."""
    return [
        {"name": member.name, "group": member.group, "address": built.addresses[member.name]}
        for member in members(wanted)
        if member.group != RUNNER
    ]


def each(call: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """The call of every item at once, TOGETHER_MAX at a time, answers in the items' order; the
    first error by order, after all have ended.
    """
    if not items:
        return []
    with ThreadPoolExecutor(TOGETHER_MAX, "build") as pool:
        futures = [pool.submit(call, item) for item in items]
    return [future.result() for future in futures]
