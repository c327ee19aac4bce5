"""The few calls that the pipeline makes of a cloud, through openstacksdk and nothing else.

`Cloud` is the interface that stages use; `OpenStack` implements it for any OpenStack, and tests
have a fake that holds state. The name of every object begins with its environment's, so that a
repeated step finds what it made and a deletion finds all there is. Library exceptions end here:
`Permanent` when the cloud refuses, `Transient` when it cannot just now.
"""

from __future__ import annotations

import base64
import contextlib
import enum
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from kumoi.base.errors import Permanent, Transient

if TYPE_CHECKING:
    from openstack.connection import Connection

UNAUTHORIZED = 401
CONFLICT = 409
SERVER_ERROR = 500


class Noun(enum.StrEnum):
    """The kinds of object in an environment, in the order in which they are deleted."""

    SERVER = "server"
    FLOATING_IP = "floating IP"
    KEYPAIR = "keypair"
    ROUTER = "router"
    PORT = "port"
    NETWORK = "network"
    SECURITY_GROUP = "security group"


@dataclass(frozen=True, slots=True, order=True)
class CloudResource:
    """An object that exists in the cloud. `name` begins with its environment's."""

    noun: Noun
    name: str
    id: str


@dataclass(frozen=True, slots=True)
class CloudNetwork:
    id: str
    subnet_id: str


@dataclass(frozen=True, slots=True)
class CloudPort:
    id: str
    address: str


@dataclass(frozen=True, slots=True)
class Allowed:
    """Incoming traffic that a security group lets in; `port` 0 is all of the protocol."""

    protocol: str
    port: int
    cidr: str


@dataclass(frozen=True, slots=True)
class CloudServerNew:
    name: str
    image_id: str
    flavor_id: str
    port_id: str
    keypair: str
    user_data: str = ""
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServerState:
    """`status` is the compute API's word, such as ACTIVE, BUILD or ERROR."""

    name: str
    status: str
    fault: str


class Cloud(Protocol):
    """Every `ensure_` looks for an object of that name before it makes one."""

    def find_image(self, name: str) -> str | None: ...
    def find_flavor(self, name: str) -> str | None: ...
    def find_external_network(self) -> str | None: ...
    def ensure_network(self, name: str, cidr: str) -> CloudNetwork: ...
    def ensure_router(self, name: str, external_id: str, subnet_id: str) -> None: ...
    def ensure_security_group(self, name: str, allowed: Sequence[Allowed]) -> str: ...
    def ensure_keypair(self, name: str, public_key: str) -> None: ...
    def ensure_port(self, name: str, network_id: str, groups: Sequence[str]) -> CloudPort: ...
    def ensure_server(self, wanted: CloudServerNew) -> None: ...
    def ensure_floating_ip(self, name: str, port_id: str, external_id: str) -> str: ...
    def list_servers(self, prefix: str) -> list[ServerState]: ...
    def list_resources(self, noun: Noun, prefix: str) -> list[CloudResource]: ...
    def delete_resource(self, resource: CloudResource) -> None: ...


class OpenStack:
    """Any OpenStack, as one project of it."""

    def __init__(self, connection: Connection) -> None:
        self._network = connection.network
        self._compute = connection.compute
        self._image = connection.image

    def find_image(self, name: str) -> str | None:
        with cloud_errors("look for an image"):
            return _first_id(self._image.images(name=name), name)

    def find_flavor(self, name: str) -> str | None:
        with cloud_errors("look for a flavor"):
            return _first_id(self._compute.flavors(), name)

    def find_external_network(self) -> str | None:
        """The first by name, where there are several."""
        with cloud_errors("look for an external network"):
            found = self._network.networks(**{"router:external": True})
            first = min(found, key=lambda network: network.name or "", default=None)
            return None if first is None else str(first.id)

    def ensure_network(self, name: str, cidr: str) -> CloudNetwork:
        with cloud_errors("make a network"):
            network = self._ensure(
                self._network.networks, name, lambda: self._network.create_network(name=name)
            )
            subnet = self._ensure(
                self._network.subnets,
                name,
                lambda: self._network.create_subnet(
                    name=name, network_id=network.id, ip_version=4, cidr=cidr
                ),
            )
            return CloudNetwork(network.id, subnet.id)

    def ensure_router(self, name: str, external_id: str, subnet_id: str) -> None:
        with cloud_errors("make a router"):
            gateway = {"network_id": external_id}
            router = self._ensure(
                self._network.routers,
                name,
                lambda: self._network.create_router(name=name, external_gateway_info=gateway),
            )
            if subnet_id not in self._router_subnets(router.id):
                self._network.add_interface_to_router(router.id, subnet=subnet_id)

    def ensure_security_group(self, name: str, allowed: Sequence[Allowed]) -> str:
        with cloud_errors("make a security group"):
            group = self._ensure(
                self._network.security_groups,
                name,
                lambda: self._network.create_security_group(name=name),
            )
            existing = {
                (rule.protocol, rule.port_range_min or 0, rule.remote_ip_prefix)
                for rule in self._network.security_group_rules(security_group_id=group.id)
                if rule.direction == "ingress"
            }
            for rule in allowed:
                if (rule.protocol, rule.port, rule.cidr) not in existing:
                    self._network.create_security_group_rule(
                        security_group_id=group.id,
                        direction="ingress",
                        ether_type="IPv4",
                        protocol=rule.protocol,
                        remote_ip_prefix=rule.cidr,
                        port_range_min=rule.port or None,
                        port_range_max=rule.port or None,
                    )
            return str(group.id)

    def ensure_keypair(self, name: str, public_key: str) -> None:
        with cloud_errors("make a keypair"):
            if name not in {keypair.name for keypair in self._compute.keypairs()}:
                self._compute.create_keypair(name=name, public_key=public_key)

    def ensure_port(self, name: str, network_id: str, groups: Sequence[str]) -> CloudPort:
        with cloud_errors("make a port"):
            port = self._ensure(
                self._network.ports,
                name,
                lambda: self._network.create_port(
                    name=name, network_id=network_id, security_groups=list(groups)
                ),
            )
            return CloudPort(port.id, port.fixed_ips[0]["ip_address"])

    def ensure_server(self, wanted: CloudServerNew) -> None:
        with cloud_errors("make a server"):
            if any(server.name == wanted.name for server in self.list_servers(wanted.name)):
                return
            extra: dict[str, Any] = {}
            if wanted.user_data:
                extra["user_data"] = base64.b64encode(wanted.user_data.encode()).decode()
            self._compute.create_server(
                name=wanted.name,
                image_id=wanted.image_id,
                flavor_id=wanted.flavor_id,
                networks=[{"port": wanted.port_id}],
                key_name=wanted.keypair,
                metadata=wanted.metadata,
                **extra,
            )

    def ensure_floating_ip(self, name: str, port_id: str, external_id: str) -> str:
        """A floating IP has no name of its own: its description is the name."""
        with cloud_errors("make a floating IP"):
            for found in self._network.ips(port_id=port_id):
                return str(found.floating_ip_address)
            made = self._network.create_ip(
                floating_network_id=external_id, port_id=port_id, description=name
            )
            return str(made.floating_ip_address)

    def list_servers(self, prefix: str) -> list[ServerState]:
        with cloud_errors("list servers"):
            return [
                ServerState(server.name, server.status, (server.fault or {}).get("message", ""))
                for server in self._compute.servers(details=True)
                if server.name.startswith(prefix)
            ]

    def list_resources(self, noun: Noun, prefix: str) -> list[CloudResource]:
        listings: dict[Noun, Callable[[], Iterator[Any]]] = {
            Noun.SERVER: lambda: self._compute.servers(details=False),
            Noun.FLOATING_IP: self._network.ips,
            Noun.KEYPAIR: self._compute.keypairs,
            Noun.ROUTER: self._network.routers,
            Noun.PORT: self._network.ports,
            Noun.NETWORK: self._network.networks,
            Noun.SECURITY_GROUP: self._network.security_groups,
        }
        name_field = "description" if noun == Noun.FLOATING_IP else "name"
        with cloud_errors(f"list each {noun}"):
            named = [(getattr(found, name_field) or "", found.id) for found in listings[noun]()]
        return [CloudResource(noun, name, id) for name, id in named if name.startswith(prefix)]  # noqa: A001

    def delete_resource(self, resource: CloudResource) -> None:
        """Raises Transient while it is still in use; one that has gone is no error."""
        deletions: dict[Noun, Callable[[str], Any]] = {
            Noun.SERVER: self._compute.delete_server,
            Noun.FLOATING_IP: self._network.delete_ip,
            Noun.KEYPAIR: self._compute.delete_keypair,
            Noun.ROUTER: self._delete_router,
            Noun.PORT: self._network.delete_port,
            Noun.NETWORK: self._network.delete_network,
            Noun.SECURITY_GROUP: self._network.delete_security_group,
        }
        key = resource.name if resource.noun == Noun.KEYPAIR else resource.id
        with cloud_errors(f"delete {resource.noun} {resource.name}", deleting=True):
            deletions[resource.noun](key)

    def _delete_router(self, router_id: str) -> None:
        for subnet_id in sorted(self._router_subnets(router_id)):
            self._network.remove_interface_from_router(router_id, subnet=subnet_id)
        self._network.delete_router(router_id)

    def _router_subnets(self, router_id: str) -> set[str]:
        """The subnets on the router's inside."""
        return {
            fixed["subnet_id"]
            for port in self._network.ports(device_id=router_id)
            if port.device_owner != "network:router_gateway"
            for fixed in port.fixed_ips
        }

    @staticmethod
    def _ensure(listing: Callable[..., Any], name: str, make: Callable[[], Any]) -> Any:
        """The object of that name, made when there is none."""
        return next((found for found in listing(name=name) if found.name == name), None) or make()


@contextlib.contextmanager
def cloud_errors(what: str, *, deleting: bool = False) -> Iterator[None]:
    """Turns the library's exceptions into ours; no other place does. `what` completes "the cloud
    could not ...". When `deleting`, an object that is not found counts as deleted, and a 409 means
    that it is still in use; otherwise a 409 is a refusal, such as a quota.
    """
    import openstack.exceptions as sdk  # noqa: PLC0415 - 20 MB, which an idle pipeline is spared
    from keystoneauth1 import exceptions as keystone  # noqa: PLC0415

    try:
        yield
    except sdk.NotFoundException as cause:
        if deleting:
            return
        raise Permanent(f"the cloud could not {what}: not found") from cause
    except (sdk.HttpException, keystone.HttpError) as cause:
        raise _http_error(cause, what, deleting=deleting) from cause
    except (sdk.SDKException, keystone.ClientException) as cause:
        raise Transient(f"the cloud did not answer when asked to {what}") from cause


def _http_error(cause: Any, what: str, *, deleting: bool) -> Permanent | Transient:
    status = getattr(cause, "status_code", None) or getattr(cause, "http_status", None) or 0
    if status == UNAUTHORIZED:
        return Permanent(
            "the cloud no longer takes the credential that the pusher gave the pipeline; "
            "push again to renew it"
        )
    if not status or status >= SERVER_ERROR or (deleting and status == CONFLICT):
        return Transient(f"the cloud could not {what} just now")
    reason = getattr(cause, "details", None) or getattr(cause, "message", "") or f"status {status}"
    return Permanent(f"the cloud refused to {what}: {reason}")


def _first_id(found: Iterator[Any], name: str) -> str | None:
    return next((str(item.id) for item in found if item.name == name), None)
