"""What the pipeline asks of a cloud: the nouns that an environment is made of, and the calls.

`Cloud` is the interface that stages use; `openstack_cloud.py` implements it for any OpenStack, and
tests have a fake that holds state. The name of every object begins with its environment's, so that a
repeated step finds what it made and a deletion finds all there is.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

BALANCING = "load-balancer"  # The service's type in a cloud's catalogue.
SERVICES = ("compute", "network", "image")  # Likewise: without these there is no environment.


class Noun(enum.StrEnum):
    """The kinds of object in an environment, in the order in which they are deleted."""

    LOAD_BALANCER = "load balancer"
    SERVER = "server"
    FLOATING_IP = "floating IP"
    KEYPAIR = "keypair"
    ROUTER = "router"
    PORT = "port"
    NETWORK = "network"
    SECURITY_GROUP = "security group"


@dataclass(frozen=True, slots=True, order=True)
class CloudKey:
    """What an object is known by. `name` begins with its environment's."""

    noun: Noun
    name: str


@dataclass(frozen=True, slots=True, order=True)
class CloudResource:
    """An object that exists in the cloud. `inputs` is what it was made from, as the cloud tells it: a
    value is compared with what is wanted, ids in it have become names (`named` in plan.py). `status`
    is the API's word, such as ACTIVE, BUILD or ERROR; `parent_id` is the subnet of a network and the
    virtual port of a balancer.
    """

    noun: Noun
    name: str
    id: str
    status: str = field(default="", compare=False)
    fault: str = field(default="", compare=False)
    address: str = field(default="", compare=False)
    parent_id: str = field(default="", compare=False)
    inputs: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def key(self) -> CloudKey:
        return CloudKey(self.noun, self.name)


@dataclass(frozen=True, slots=True, order=True)
class Allowed:
    """Incoming traffic that a security group lets in; `port` 0 is all of the protocol."""

    protocol: str
    port: int
    cidr: str

    def __str__(self) -> str:
        return f"{self.protocol}:{self.port or '*'}:{self.cidr}"


@dataclass(frozen=True, slots=True)
class NetworkWanted:
    cidr: str


@dataclass(frozen=True, slots=True)
class RouterWanted:
    """Between its networks and the outside."""

    external_id: str
    networks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SecurityGroupWanted:
    allowed: tuple[Allowed, ...]


@dataclass(frozen=True, slots=True)
class KeypairWanted:
    public_key: str


@dataclass(frozen=True, slots=True)
class PortWanted:
    network: str
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ServerWanted:
    image_id: str
    flavor_id: str
    ports: tuple[str, ...]
    keypair: str
    user_data: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class ListenerWanted:
    """A listener with its one pool. `members` are the names of servers' ports."""

    protocol: str
    port: int
    members: tuple[str, ...]
    member_port: int
    algorithm: str
    sticky: bool = False
    monitor: Mapping[str, str | int] | None = None


@dataclass(frozen=True, slots=True)
class LoadBalancerWanted:
    network: str
    listeners: tuple[ListenerWanted, ...]


@dataclass(frozen=True, slots=True)
class FloatingIpWanted:
    """`on` is a port or a balancer."""

    external_id: str
    on: CloudKey
    router: str


Spec = (
    NetworkWanted
    | RouterWanted
    | SecurityGroupWanted
    | KeypairWanted
    | PortWanted
    | ServerWanted
    | LoadBalancerWanted
    | FloatingIpWanted
)


@dataclass(frozen=True, slots=True)
class WantedResource:
    """An object that an environment is to have. `inputs` is what makes it what it is, in short texts:
    where they differ from those of the object that is there, it is changed or replaced (plan.py).
    `about` is what it is for, for people; `tags` are kept with it.
    """

    noun: Noun
    name: str
    spec: Spec
    needs: tuple[CloudKey, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    about: str = ""

    @property
    def key(self) -> CloudKey:
        return CloudKey(self.noun, self.name)


Made = Mapping[CloudKey, CloudResource]


@dataclass(frozen=True, slots=True)
class CloudFlavor:
    id: str
    vcpus: int
    ram_mib: int
    disk_gib: int = 0


@dataclass(frozen=True, slots=True)
class Room:
    """How much more the project may have, by what is counted. What the cloud does not tell is not
    here.
    """

    left: Mapping[str, int] = field(default_factory=dict)


class Cloud(Protocol):
    """Raises `Permanent` when the cloud refuses, `Transient` when it cannot just now."""

    def offers(self, service: str) -> bool:
        """Whether the cloud's catalogue has a service of that type."""
        ...

    def find_image(self, name: str) -> str | None: ...
    def find_flavor(self, name: str) -> CloudFlavor | None: ...
    def find_external_network(self) -> str | None: ...
    def room(self) -> Room: ...
    def list_resources(self, noun: Noun, prefix: str) -> list[CloudResource]: ...
    def create(self, wanted: WantedResource, made: Made) -> CloudResource:
        """`made` has everything that it needs."""
        ...

    def change(self, wanted: WantedResource, found: CloudResource, made: Made) -> CloudResource:
        """Make what is there what is wanted, where that is possible without replacing it."""
        ...

    def delete_resource(self, resource: CloudResource) -> None:
        """Raises Transient while it is still in use; one that has gone is no error."""
        ...
