"""What an environment is made of: the file and what was looked up in, the wanted objects out. Pure.

Called by build.py. The name of every object begins with `prefix(environment_id)`; each says by `inputs`
what makes it what it is, which plan.py compares with what is there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from kumoi.pipeline.cloud import (
    Allowed,
    CloudKey,
    FloatingIpWanted,
    KeypairWanted,
    ListenerWanted,
    LoadBalancerWanted,
    NetworkWanted,
    Noun,
    PortWanted,
    RouterWanted,
    SecurityGroupWanted,
    ServerWanted,
    Spec,
    WantedResource,
)
from kumoi.pipeline.environment import EnvironmentFile, ListenerSection, LoadBalancerSection

SUBNET_CIDR = "10.0.0.0/24"  # Each environment has a router of its own, so all may be alike.
ANYWHERE = "0.0.0.0/0"
RUNNER = "runner"
REBUILT = {"ha:policy": "rebuild"}
"""Of a server that is its image and its user data, and nothing that was done to it since: should its host be
lost, it is made again from them.
"""
DIGEST = 16


@dataclass(frozen=True, slots=True)
class PlannedServer:
    """A server that the environment is to have. `name` is its short name, such as web-1."""

    name: str
    group: str
    image: str
    flavor: str
    networks: tuple[str, ...]
    user_data: str = ""

    def key_of(self, key: str) -> str:
        """Where the file says so, for messages."""
        return f"runner.{key}" if self.group == RUNNER else f"servers.{self.group}.{key}"


class CloudIds(msgspec.Struct, frozen=True):
    """The ids that the file's names stand for in the cloud, by name."""

    images: dict[str, str] = {}
    flavors: dict[str, str] = {}
    external_id: str = ""
    vcpus: dict[str, int] = {}  # By flavor, as `ram_mib`.
    ram_mib: dict[str, int] = {}
    disk_gib: dict[str, int] = {}


@dataclass(frozen=True, slots=True)
class RunnerInputs:
    """The runner's user data, and a word for what it is made of: it differs in each run by a secret
    that makes it no other runner.
    """

    user_data: str
    script: str
    public_key: str


def prefix(environment_id: str) -> str:
    """The beginning of the name of everything that belongs to this environment."""
    return f"env-{environment_id}"


def members(wanted: EnvironmentFile) -> list[PlannedServer]:
    """All servers of an environment, the runner last."""
    first = networks(wanted)[0]
    found = [
        PlannedServer(
            f"{name}-{number}",
            name,
            group.image,
            group.flavor,
            group.networks or (first,),
            group.user_data,
        )
        for name, group in sorted(wanted.servers.items())
        for number in range(1, group.count + 1)
    ]
    runner = wanted.runner
    found.append(PlannedServer(RUNNER, RUNNER, runner.image, runner.flavor, (first,)))
    return found


def port_name(server: str, network: str) -> str:
    """The network's name is behind a dot, which no server has in its name."""
    return f"{server}.{network}" if network else server


def networks(wanted: EnvironmentFile) -> list[str]:
    """Their short names, the first first. One that the file does not name has none."""
    return list(wanted.networks) or [""]


def resources(
    environment_id: str,
    wanted: EnvironmentFile,
    place: CloudIds,
    runner: RunnerInputs,
    tags: Mapping[str, str],
) -> list[WantedResource]:
    """Every object, sorted."""
    make = _ResourceMaker(prefix(environment_id), wanted, place, runner, tags)
    return sorted(make.all(), key=lambda each: each.key)


@dataclass(frozen=True, slots=True)
class _ResourceMaker:
    name: str
    wanted: EnvironmentFile
    place: CloudIds
    runner: RunnerInputs
    tags: Mapping[str, str]

    def all(self) -> Iterator[WantedResource]:
        yield from self._wires()
        yield self._make(Noun.KEYPAIR, "", KeypairWanted(self.runner.public_key), {})
        for member in members(self.wanted):
            yield from self._server(member)
        for name, group in self.wanted.servers.items():
            if group.is_reached:
                port = self._port_name(f"{name}-1", self._first_network(name))
                yield self._floating_ip(name, CloudKey(Noun.PORT, port))
        for name, balancer in self.wanted.load_balancers.items():
            yield self._balancer(name, balancer)
            if balancer.floating_ip:
                yield self._floating_ip(name, CloudKey(Noun.LOAD_BALANCER, self._named(name)))

    def _port_name(self, server: str, network: str) -> str:
        return self._named(port_name(server, network))

    def _first_network(self, group: str) -> str:
        return (*self.wanted.servers[group].networks, *networks(self.wanted))[0]

    def _wires(self) -> Iterator[WantedResource]:
        names = [self._named(network) for network in networks(self.wanted)]
        cidrs = [section.cidr for section in self.wanted.networks.values()] or [SUBNET_CIDR]
        for network, cidr in zip(networks(self.wanted), cidrs, strict=True):
            yield self._make(Noun.NETWORK, network, NetworkWanted(cidr), {"cidr": cidr}, about=cidr)
        needs = tuple(CloudKey(Noun.NETWORK, name) for name in names)
        inputs = {"networks": " ".join(sorted(names))}
        router = RouterWanted(self.place.external_id, tuple(names))
        yield self._make(Noun.ROUTER, "", router, inputs, needs=needs)
        inside = [Allowed(protocol, 0, cidr) for cidr in cidrs for protocol in ("tcp", "icmp")]
        yield self._security_group("", inside)
        for group in self.wanted.servers:
            opened = [Allowed("tcp", port, ANYWHERE) for port in self._open_ports(group)]
            if opened:
                yield self._security_group(group, opened)

    def _security_group(self, group: str, allowed: list[Allowed]) -> WantedResource:
        rules = tuple(sorted(allowed))
        inputs = {"rules": " ".join(sorted(map(str, rules)))}
        return self._make(
            Noun.SECURITY_GROUP, group, SecurityGroupWanted(rules), inputs, about=inputs["rules"]
        )

    def _open_ports(self, group: str) -> list[int]:
        """Of its own, and those to which a balancer passes connections on as they come."""
        opened = set(self.wanted.servers[group].ports)
        for balancer in self.wanted.load_balancers.values():
            for listener in balancer.listeners:
                if listener.on == group and listener.protocol == "TCP":
                    opened.add(listener.member_port or listener.port)
        return sorted(opened)

    def _server(self, member: PlannedServer) -> Iterator[WantedResource]:
        groups = [self.name]
        if member.group != RUNNER and self._open_ports(member.group):
            groups.append(self._named(member.group))
        ports: list[str] = []
        for network in member.networks:
            port = PortWanted(self._named(network), tuple(groups))
            needs = [CloudKey(Noun.NETWORK, port.network)]
            needs += [CloudKey(Noun.SECURITY_GROUP, group) for group in groups]
            name = self._port_name(member.name, network)
            inputs = {"groups": " ".join(sorted(groups))}
            yield WantedResource(Noun.PORT, name, port, tuple(needs), inputs, self.tags)
            ports.append(name)
        is_runner = member.group == RUNNER
        user_data = self.runner.user_data if is_runner else member.user_data
        spec = ServerWanted(
            self.place.images[member.image],
            self.place.flavors[member.flavor],
            tuple(ports),
            self.name,
            user_data,
        )
        inputs = {
            "image": spec.image_id,
            "flavor": spec.flavor_id,
            "networks": " ".join(member.networks),
            "user_data": self.runner.script[:DIGEST] if is_runner else _digest(user_data),
        }
        needs = [CloudKey(Noun.PORT, name) for name in ports]
        # Of the servers' metadata.
        tags = {**self.tags, "kumoi_group": member.group}
        if not (is_runner or self.wanted.configure):
            tags |= REBUILT
        yield WantedResource(
            Noun.SERVER,
            self._named(member.name),
            spec,
            (*needs, CloudKey(Noun.KEYPAIR, self.name)),
            inputs,
            tags,
            f"{member.image}, {member.flavor}",
        )

    def _balancer(self, name: str, balancer: LoadBalancerSection) -> WantedResource:
        network = self._named(balancer.network or networks(self.wanted)[0])
        listeners = tuple(self._listener(each) for each in balancer.listeners)
        behind = sorted({member for each in listeners for member in each.members})
        needs = [CloudKey(Noun.NETWORK, network)] + [CloudKey(Noun.PORT, port) for port in behind]
        shape = msgspec.json.encode(
            [network, *(_shape(each) for each in listeners)], order="sorted"
        )
        inputs = {"listeners": _digest(shape.decode()), "members": _member_words(listeners)}
        about = ", ".join(f"{each.protocol} {each.port}" for each in balancer.listeners)
        spec = LoadBalancerWanted(network, listeners)
        return self._make(Noun.LOAD_BALANCER, name, spec, inputs, needs=tuple(needs), about=about)

    def _listener(self, listener: ListenerSection) -> ListenerWanted:
        network = self._first_network(listener.on)
        count = self.wanted.servers[listener.on].count
        monitor = listener.health_monitor
        return ListenerWanted(
            listener.protocol,
            listener.port,
            tuple(
                self._port_name(f"{listener.on}-{number}", network)
                for number in range(1, count + 1)
            ),
            listener.member_port or listener.port,
            listener.algorithm,
            listener.sticky,
            None if monitor is None else msgspec.to_builtins(monitor),
        )

    def _floating_ip(self, name: str, on: CloudKey) -> WantedResource:
        spec = FloatingIpWanted(self.place.external_id, on, self.name)
        needs = (on, CloudKey(Noun.ROUTER, self.name))
        return self._make(Noun.FLOATING_IP, name, spec, {"on": on.name}, needs=needs)

    def _make(
        self,
        noun: Noun,
        name: str,
        spec: Spec,
        inputs: Mapping[str, str],
        *,
        needs: tuple[CloudKey, ...] = (),
        about: str = "",
    ) -> WantedResource:
        return WantedResource(noun, self._named(name), spec, needs, inputs, self.tags, about)

    def _named(self, name: str) -> str:
        return f"{self.name}-{name}" if name else self.name


def _shape(listener: ListenerWanted) -> dict[str, object]:
    """What a listener is, but for its members."""
    return {
        "protocol": listener.protocol,
        "port": listener.port,
        "member_port": listener.member_port,
        "algorithm": listener.algorithm,
        "sticky": listener.sticky,
        "monitor": listener.monitor,
    }


def _member_words(listeners: tuple[ListenerWanted, ...]) -> str:
    """Which ports are behind which listener."""
    return " ".join(
        sorted(f"{each.port}:{member}" for each in listeners for member in each.members)
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST] if text else ""
