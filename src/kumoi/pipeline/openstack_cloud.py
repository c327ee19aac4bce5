"""Any OpenStack, as one project of it, through openstacksdk and nothing else: `OpenStack` is a `Cloud`.

Library exceptions end here: `Permanent` when the cloud refuses, `Transient` when it cannot just now.
What the plan compares is kept where every OpenStack keeps it: in the metadata of servers, and in
descriptions.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from kumoi.base.errors import Permanent
from kumoi.pipeline.cloud import (
    BALANCING,
    SERVICES,
    CloudFlavor,
    CloudKey,
    CloudResource,
    FloatingIpWanted,
    KeypairWanted,
    ListenerWanted,
    LoadBalancerWanted,
    Made,
    NetworkWanted,
    Noun,
    PortWanted,
    Room,
    RouterWanted,
    SecurityGroupWanted,
    ServerWanted,
    WantedResource,
)
from kumoi.pipeline.cloud_errors import cloud_errors, require_done

if TYPE_CHECKING:
    from openstack.connection import Connection

METADATA = "kumoi_"
MONITOR_TIMEOUT_S = 1
COUNTED = {
    "network": "networks",
    "port": "ports",
    "router": "routers",
    "floatingip": "floating IPs",
    "security_group": "security groups",
}
"""What Neutron's quotas count, in our words."""

Object = Any  # Of openstacksdk: its classes come with a library that is imported late.


class OpenStack:
    def __init__(self, connection: Connection, region: str) -> None:
        self._session = connection.session
        self._network = connection.network
        self._compute = connection.compute
        self._image = connection.image
        self._connection = connection
        self._region = region

    def user_id(self) -> str:
        """Of whoever acts here."""
        with cloud_errors("say who this is"):
            return str(self._session.get_user_id())

    def offers(self, service: str) -> bool:
        with cloud_errors("show its catalogue"):
            access = self._session.auth.get_access(self._session)
            urls = access.service_catalog.get_urls(
                service_type=service, interface="public", region_name=self._region
            )
            return bool(urls)

    def find_image(self, name: str) -> str | None:
        """One that servers can be made of."""
        with cloud_errors("look for an image"):
            return _first_id(self._image.images(name=name, status="active"), name) or _first_id(
                self._image.images(name=name, status="active", is_hidden=True), name
            )

    def upload_image(self, name: str, file: Path, disk_format: str) -> None:
        """For the own project. One that was cut off is taken away, also one of an earlier call."""
        with cloud_errors(f"take the image {name}"):
            own = self._session.get_project_id()
            for left in list(self._image.images(name=name, status="queued", owner=own)):
                self._image.delete_image(left)
            said = {"name": name, "disk_format": disk_format, "container_format": "bare"}
            new = self._image.post("/images", json=said)
            require_done(new)
            image_id = new.json()["id"]
            try:
                with file.open("rb") as content:
                    headers = {"Content-Type": "application/octet-stream", "Accept": ""}
                    where = f"/images/{image_id}/file"
                    require_done(self._image.put(where, data=content, headers=headers))
            except BaseException:
                self._image.delete_image(image_id)
                raise

    def find_flavor(self, name: str) -> CloudFlavor | None:
        with cloud_errors("look for a flavor"):
            named = (each for each in self._compute.flavors() if each.name == name)
            made = (CloudFlavor(each.id, each.vcpus, each.ram, each.disk or 0) for each in named)
            return next(made, None)

    def find_external_network(self) -> str | None:
        """The first by name, where there are several."""
        with cloud_errors("look for an external network"):
            found = self._network.networks(**{"router:external": True})
            first = min(found, key=lambda network: network.name or "", default=None)
            return None if first is None else str(first.id)

    def room(self) -> Room:
        """A cloud that does not let its users see their quotas says nothing here: it refuses later."""
        left: dict[str, int] = {}
        if not all(map(self.offers, SERVICES)):
            return Room(left)
        with contextlib.suppress(Permanent), cloud_errors("show its limits"):
            told = self._compute.get_limits().absolute
            for name, most, used in (
                ("servers", told.instances, told.instances_used),
                ("vcpus", told.total_cores, told.total_cores_used),
                ("MiB of memory", told.total_ram, told.total_ram_used),
            ):
                if most is not None and most >= 0:
                    left[name] = most - (used or 0)
        with contextlib.suppress(Permanent), cloud_errors("show the network's quota"):
            project = self._session.get_project_id()
            details = self._network.get(f"/quotas/{project}/details").json().get("quota", {})
            for name, words in COUNTED.items():
                told = details.get(name, {})
                if isinstance(told, dict) and told.get("limit", -1) >= 0:
                    left[words] = told["limit"] - told["used"]
        return Room(left)

    def list_resources(self, noun: Noun, prefix: str) -> list[CloudResource]:
        if noun == Noun.LOAD_BALANCER and not self.offers(BALANCING):
            return []
        listings: dict[Noun, Callable[[], Iterator[Object]]] = {
            Noun.LOAD_BALANCER: lambda: self._balancing.load_balancers(),  # noqa: PLW0108 - not every cloud has it
            Noun.SERVER: lambda: self._compute.servers(details=True),
            Noun.FLOATING_IP: self._network.ips,
            Noun.KEYPAIR: self._compute.keypairs,
            Noun.ROUTER: self._network.routers,
            Noun.PORT: self._network.ports,
            Noun.NETWORK: self._network.networks,
            Noun.SECURITY_GROUP: self._network.security_groups,
        }
        with cloud_errors(f"list each {noun}"):
            mine = [each for each in listings[noun]() if _name(noun, each).startswith(prefix)]
            return [self._resource(noun, each) for each in mine]

    def create(self, wanted: WantedResource, made: Made) -> CloudResource:
        makers: dict[Noun, Callable[[WantedResource, Made], Object]] = {
            Noun.LOAD_BALANCER: self._create_balancer,
            Noun.SERVER: self._create_server,
            Noun.FLOATING_IP: self._create_floating_ip,
            Noun.KEYPAIR: self._create_keypair,
            Noun.ROUTER: self._create_router,
            Noun.PORT: self._create_port,
            Noun.NETWORK: self._create_network,
            Noun.SECURITY_GROUP: self._create_security_group,
        }
        with cloud_errors(f"make a {wanted.noun}"):
            new = makers[wanted.noun](wanted, made)
            if isinstance(new, CloudResource):
                return new
            return self._resource(wanted.noun, new, is_new=True)

    def change(self, wanted: WantedResource, found: CloudResource, made: Made) -> CloudResource:
        changers: dict[Noun, Callable[[WantedResource, CloudResource, Made], CloudResource]] = {
            Noun.LOAD_BALANCER: self._change_members,
            Noun.FLOATING_IP: self._change_floating_ip,
            Noun.ROUTER: self._change_router,
            Noun.PORT: self._change_port,
            Noun.NETWORK: self._change_network,
            Noun.SECURITY_GROUP: self._change_security_group,
        }
        with cloud_errors(f"change a {wanted.noun}"):
            return changers[wanted.noun](wanted, found, made)

    def delete_resource(self, resource: CloudResource) -> None:
        """Raises Transient while it is still in use; one that has gone is no error."""
        deletions: dict[Noun, Callable[[str], Any]] = {
            Noun.LOAD_BALANCER: lambda key: self._balancing.delete_load_balancer(key, cascade=True),
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

    @property
    def _balancing(self) -> Object:
        return self._connection.load_balancer

    # What is there.

    def _resource(self, noun: Noun, found: Object, *, is_new: bool = False) -> CloudResource:
        """With what else must be asked for to know its inputs, unless it has just been made."""
        status, fault, address, parent, inputs = "", "", "", "", dict[str, str]()
        if noun == Noun.SERVER:
            status = found.status or ""
            fault = (found.fault or {}).get("message", "")
            inputs = {
                key.removeprefix(METADATA): value for key, value in (found.metadata or {}).items()
            }
        elif noun == Noun.LOAD_BALANCER:
            status, parent = found.provisioning_status or "", found.vip_port_id or ""
            address = found.vip_address or ""
            inputs = {"listeners": (found.description or "").partition(" ")[0]}
            if not is_new:
                inputs["members"] = self._members(found.id)
        elif noun == Noun.FLOATING_IP:
            address, inputs = found.floating_ip_address, {"on": found.port_id or ""}
        elif noun == Noun.PORT:
            address = found.fixed_ips[0]["ip_address"] if found.fixed_ips else ""
            inputs = {"groups": " ".join(found.security_group_ids or ())}
        elif noun == Noun.ROUTER and not is_new:
            inputs = {"networks": " ".join(sorted(self._router_subnets(found.id)))}
        elif noun == Noun.NETWORK and not is_new:
            subnet = next(iter(self._network.subnets(network_id=found.id)), None)
            parent, inputs = (subnet.id, {"cidr": subnet.cidr}) if subnet else ("", {"cidr": ""})
        elif noun == Noun.SECURITY_GROUP:
            inputs = {"rules": " ".join(sorted(_rules(found)))}
        return CloudResource(
            noun, _name(noun, found), str(found.id), status, fault, address, parent, inputs
        )

    def _members(self, balancer_id: str) -> str:
        return " ".join(
            sorted(
                f"{pool.name.rpartition('-')[2]}:{member.name}"
                for pool in self._balancing.pools(loadbalancer_id=balancer_id)
                for member in self._balancing.members(pool.id)
            )
        )

    def _router_subnets(self, router_id: str) -> set[str]:
        """The subnets on the router's inside."""
        return {
            fixed["subnet_id"]
            for port in self._network.ports(device_id=router_id)
            if port.device_owner != "network:router_gateway"
            for fixed in port.fixed_ips
        }

    # What is made.

    def _create_network(self, wanted: WantedResource, made: Made) -> CloudResource:
        new = self._network.create_network(name=wanted.name, description=_words(wanted.tags))
        return self._change_network(wanted, self._resource(Noun.NETWORK, new, is_new=True), made)

    def _change_network(
        self, wanted: WantedResource, found: CloudResource, _made: Made
    ) -> CloudResource:
        """Give it its subnet."""
        spec = cast("NetworkWanted", wanted.spec)
        subnet = self._network.create_subnet(
            name=wanted.name, network_id=found.id, ip_version=4, cidr=spec.cidr
        )
        return CloudResource(Noun.NETWORK, wanted.name, found.id, parent_id=subnet.id)

    def _create_router(self, wanted: WantedResource, made: Made) -> CloudResource:
        spec = cast("RouterWanted", wanted.spec)
        new = self._network.create_router(
            name=wanted.name,
            description=_words(wanted.tags),
            external_gateway_info={"network_id": spec.external_id},
        )
        return self._change_router(wanted, self._resource(Noun.ROUTER, new, is_new=True), made)

    def _change_router(
        self, wanted: WantedResource, found: CloudResource, made: Made
    ) -> CloudResource:
        """Give it its interfaces, and take those away that it has no more."""
        spec = cast("RouterWanted", wanted.spec)
        subnets = {made[CloudKey(Noun.NETWORK, name)].parent_id for name in spec.networks}
        there = self._router_subnets(found.id) if found.inputs else set()
        for subnet_id in sorted(subnets - there):
            self._network.add_interface_to_router(found.id, subnet=subnet_id)
        for subnet_id in sorted(there - subnets):
            self._network.remove_interface_from_router(found.id, subnet=subnet_id)
        return found

    def _create_security_group(self, wanted: WantedResource, made: Made) -> CloudResource:
        new = self._network.create_security_group(name=wanted.name, description=_words(wanted.tags))
        found = self._resource(Noun.SECURITY_GROUP, new, is_new=True)
        return self._change_security_group(wanted, found, made)

    def _change_security_group(
        self, wanted: WantedResource, found: CloudResource, _made: Made
    ) -> CloudResource:
        """Give it its rules, and take those away that it has no more."""
        spec = cast("SecurityGroupWanted", wanted.spec)
        there = found.inputs["rules"].split()
        missing = [rule for rule in spec.allowed if str(rule) not in there]
        if set(there) - {str(rule) for rule in spec.allowed}:
            for rule in self._network.security_group_rules(security_group_id=found.id):
                if rule.direction == "ingress" and _rule(rule) not in map(str, spec.allowed):
                    self._network.delete_security_group_rule(rule)
        for allowed in missing:
            self._network.create_security_group_rule(
                security_group_id=found.id,
                direction="ingress",
                ether_type="IPv4",
                protocol=allowed.protocol,
                remote_ip_prefix=allowed.cidr,
                port_range_min=allowed.port or None,
                port_range_max=allowed.port or None,
            )
        return found

    def _create_keypair(self, wanted: WantedResource, _made: Made) -> Object:
        spec = cast("KeypairWanted", wanted.spec)
        return self._compute.create_keypair(name=wanted.name, public_key=spec.public_key)

    def _create_port(self, wanted: WantedResource, made: Made) -> Object:
        spec = cast("PortWanted", wanted.spec)
        return self._network.create_port(
            name=wanted.name,
            description=_words(wanted.tags),
            network_id=made[CloudKey(Noun.NETWORK, spec.network)].id,
            security_groups=_group_ids(spec, made),
        )

    def _change_port(
        self, wanted: WantedResource, found: CloudResource, made: Made
    ) -> CloudResource:
        groups = _group_ids(cast("PortWanted", wanted.spec), made)
        self._network.update_port(found.id, security_groups=groups)
        return found

    def _create_server(self, wanted: WantedResource, made: Made) -> Object:
        spec = cast("ServerWanted", wanted.spec)
        extra: dict[str, Any] = {}
        if spec.user_data:
            extra["user_data"] = base64.b64encode(spec.user_data.encode()).decode()
        inputs = {f"{METADATA}{name}": value for name, value in wanted.inputs.items()}
        return self._compute.create_server(
            name=wanted.name,
            image_id=spec.image_id,
            flavor_id=spec.flavor_id,
            networks=[{"port": made[CloudKey(Noun.PORT, name)].id} for name in spec.ports],
            key_name=spec.keypair,
            metadata={**inputs, **wanted.tags},
            **extra,
        )

    def _create_floating_ip(self, wanted: WantedResource, made: Made) -> Object:
        """It has no name of its own: its description begins with it."""
        spec = cast("FloatingIpWanted", wanted.spec)
        return self._network.create_ip(
            floating_network_id=spec.external_id,
            port_id=_port_id(spec, made),
            description=f"{wanted.name} {_words(wanted.tags)}",
        )

    def _change_floating_ip(
        self, wanted: WantedResource, found: CloudResource, made: Made
    ) -> CloudResource:
        self._network.update_ip(
            found.id, port_id=_port_id(cast("FloatingIpWanted", wanted.spec), made)
        )
        return found

    def _create_balancer(self, wanted: WantedResource, made: Made) -> Object:
        """With all its parts in one call. Its description begins with what its listeners are."""
        spec = cast("LoadBalancerWanted", wanted.spec)
        return self._balancing.create_load_balancer(
            name=wanted.name,
            description=f"{wanted.inputs['listeners']} {_words(wanted.tags)}",
            vip_subnet_id=made[CloudKey(Noun.NETWORK, spec.network)].parent_id,
            listeners=[_listener(wanted.name, each, made) for each in spec.listeners],
        )

    def _change_members(
        self, wanted: WantedResource, found: CloudResource, made: Made
    ) -> CloudResource:
        spec = cast("LoadBalancerWanted", wanted.spec)
        pools = {pool.name: pool for pool in self._balancing.pools(loadbalancer_id=found.id)}
        for listener in spec.listeners:
            pool = pools[_pool_name(wanted.name, listener)]
            answer = self._balancing.put(
                f"/lbaas/pools/{pool.id}/members", json={"members": _ends(listener, made)}
            )
            require_done(answer)
        return found

    def _delete_router(self, router_id: str) -> None:
        for subnet_id in sorted(self._router_subnets(router_id)):
            self._network.remove_interface_from_router(router_id, subnet=subnet_id)
        self._network.delete_router(router_id)


def _listener(balancer: str, listener: ListenerWanted, made: Made) -> dict[str, Any]:
    pool: dict[str, Any] = {
        "name": _pool_name(balancer, listener),
        "protocol": listener.protocol,
        "lb_algorithm": listener.algorithm,
        "members": _ends(listener, made),
    }
    if listener.sticky:
        by = "HTTP_COOKIE" if listener.protocol == "HTTP" else "SOURCE_IP"
        pool["session_persistence"] = {"type": by}
    if listener.monitor is not None:
        pool["healthmonitor"] = _monitor(listener.monitor)
    return {
        "name": _pool_name(balancer, listener),
        "protocol": listener.protocol,
        "protocol_port": listener.port,
        "default_pool": pool,
    }


def _monitor(said: Mapping[str, str | int]) -> dict[str, str | int]:
    http = {"type": "HTTP", "url_path": said["path"]} if said["path"] else {"type": "TCP"}
    return {
        **http,
        "delay": said["delay_s"],
        "timeout": MONITOR_TIMEOUT_S,
        "max_retries": said["max_retries"],
        "max_retries_down": said["max_retries"],
    }


def _ends(listener: ListenerWanted, made: Made) -> list[dict[str, str | int]]:
    """The members, each by its port's name."""
    return [
        {
            "name": name,
            "address": made[CloudKey(Noun.PORT, name)].address,
            "protocol_port": listener.member_port,
        }
        for name in listener.members
    ]


def _pool_name(balancer: str, listener: ListenerWanted) -> str:
    return f"{balancer}-{listener.port}"


def _group_ids(spec: PortWanted, made: Made) -> list[str]:
    return [made[CloudKey(Noun.SECURITY_GROUP, name)].id for name in spec.groups]


def _port_id(spec: FloatingIpWanted, made: Made) -> str:
    on = made[spec.on]
    return on.parent_id if on.noun == Noun.LOAD_BALANCER else on.id


def _name(noun: Noun, found: Object) -> str:
    """A floating IP's is the first word of its description."""
    if noun == Noun.FLOATING_IP:
        return str(found.description or "").partition(" ")[0]
    return str(found.name or "")


def _rules(group: Object) -> list[str]:
    """The rules in a group's own answer, as `Allowed` prints them."""
    said = group.security_group_rules or ()
    return [
        f"{rule['protocol']}:{rule['port_range_min'] or '*'}:{rule['remote_ip_prefix']}"
        for rule in said
        if rule["direction"] == "ingress"
    ]


def _rule(rule: Object) -> str:
    return f"{rule.protocol}:{rule.port_range_min or '*'}:{rule.remote_ip_prefix}"


def _words(tags: Mapping[str, str]) -> str:
    """The tags as a description, for people who find the object in the cloud."""
    return " ".join(f"{key.replace('_', ' ')} {value}" for key, value in tags.items() if value)


def _first_id(found: Iterator[Any], name: str) -> str | None:
    return next((str(item.id) for item in found if item.name == name), None)
