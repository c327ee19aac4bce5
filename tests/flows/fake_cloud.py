"""A cloud that behaves: it holds what was made, refuses what a real one refuses, takes a while to
build a server, and can be told to fail, or to be the moment of a kill.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kumoi.base.errors import Permanent, Transient
from kumoi.pipeline.cloud import (
    Allowed,
    CloudNetwork,
    CloudPort,
    CloudResource,
    CloudServerNew,
    Noun,
    ServerState,
)

BUILD_LOOKS = 2  # A server is ACTIVE when it has been looked at so often.


@dataclass
class Made:
    """One object. `on` are the ids of what it needs."""

    resource: CloudResource
    on: set[str] = field(default_factory=set)
    looks: int = 0
    address: str = ""
    user_data: str = ""
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass
class FakeCloud:
    """`before` and `after` are called around every call with its name; either may raise."""

    images: set[str] = field(default_factory=lambda: {"debian-12", "debian-12-runner"})
    flavors: set[str] = field(default_factory=lambda: {"small"})
    before: Callable[[str], None] = lambda _call: None
    after: Callable[[str], None] = lambda _call: None
    broken_server: str = ""  # A short name whose build ends in ERROR.
    made: dict[str, Made] = field(default_factory=dict)
    created: int = 0
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def find_image(self, name: str) -> str | None:
        self._call("find_image")
        return f"image-{name}" if name in self.images else None

    def find_flavor(self, name: str) -> str | None:
        self._call("find_flavor")
        return f"flavor-{name}" if name in self.flavors else None

    def find_external_network(self) -> str | None:
        self._call("find_external_network")
        return "public"

    def ensure_network(self, name: str, cidr: str) -> CloudNetwork:  # noqa: ARG002 - as the real one
        made = self._ensure("ensure_network", Noun.NETWORK, name, set())
        return CloudNetwork(made.resource.id, f"subnet-of-{made.resource.id}")

    def ensure_router(self, name: str, external_id: str, subnet_id: str) -> None:  # noqa: ARG002
        network_id = subnet_id.removeprefix("subnet-of-")
        self._ensure("ensure_router", Noun.ROUTER, name, {network_id})

    def ensure_security_group(self, name: str, allowed: Sequence[Allowed]) -> str:  # noqa: ARG002
        return self._ensure("ensure_security_group", Noun.SECURITY_GROUP, name, set()).resource.id

    def ensure_keypair(self, name: str, public_key: str) -> None:
        if not public_key.startswith("ssh-ed25519 "):
            raise Permanent("not a key")
        self._ensure("ensure_keypair", Noun.KEYPAIR, name, set())

    def ensure_port(self, name: str, network_id: str, groups: Sequence[str]) -> CloudPort:
        made = self._ensure("ensure_port", Noun.PORT, name, {network_id, *groups})
        return CloudPort(made.resource.id, made.address)

    def ensure_server(self, wanted: CloudServerNew) -> None:
        made = self._ensure("ensure_server", Noun.SERVER, wanted.name, {wanted.port_id})
        made.user_data, made.metadata = wanted.user_data, wanted.metadata

    def ensure_floating_ip(self, name: str, port_id: str, external_id: str) -> str:  # noqa: ARG002
        return self._ensure("ensure_floating_ip", Noun.FLOATING_IP, name, {port_id}).address

    def list_servers(self, prefix: str) -> list[ServerState]:
        with self._lock:
            self._call("list_servers")
            found = [
                self._state(made)
                for made in self.made.values()
                if made.resource.noun == Noun.SERVER and made.resource.name.startswith(prefix)
            ]
            self.after("list_servers")
            return found

    def list_resources(self, noun: Noun, prefix: str) -> list[CloudResource]:
        with self._lock:
            self._call("list_resources")
            return [
                made.resource
                for made in self.made.values()
                if made.resource.noun == noun and made.resource.name.startswith(prefix)
            ]

    def delete_resource(self, resource: CloudResource) -> None:
        with self._lock:
            self._call("delete_resource")
            users = [made for made in self.made.values() if resource.id in made.on]
            if resource.noun == Noun.PORT:  # As in Nova and Neutron: a floating IP goes loose.
                users = [made for made in users if made.resource.noun == Noun.SERVER]
            if users:
                raise Transient(f"{resource.noun} is in use by {users[0].resource.name}")
            self.made.pop(resource.id, None)
            self.after("delete_resource")

    def _ensure(self, call: str, noun: Noun, name: str, on: set[str]) -> Made:
        with self._lock:
            self._call(call)
            gone = {each for each in on if each not in self.made}
            if gone:
                raise Permanent(f"{name} needs what is not there: {gone}")
            for made in self.made.values():
                if made.resource.noun == noun and made.resource.name == name:
                    return made
            number = next(self._numbers)
            new = Made(
                CloudResource(noun, name, f"{noun}-{number}"), on, address=f"10.0.0.{number}"
            )
            self.made[new.resource.id] = new
            self.created += 1
            self.after(call)
            return new

    def _state(self, made: Made) -> ServerState:
        made.looks += 1
        if self.broken_server and made.resource.name.endswith(self.broken_server):
            return ServerState(made.resource.name, "ERROR", "no valid host was found")
        status = "ACTIVE" if made.looks >= BUILD_LOOKS else "BUILD"
        return ServerState(made.resource.name, status, "")

    def _call(self, name: str) -> None:
        self.before(name)
