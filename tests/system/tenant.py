"""A project with a user of its own on the live cloud, and everything it has deleted at the end."""

from __future__ import annotations

import contextlib
import secrets
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openstack
from openstack.connection import Connection
from tests.system.live import LiveCloud, eventually

from kumoi.base.process import Completed, run

BOOT_S = 30.0
DELETED_S = 30.0


@dataclass
class Tenant:
    """`cloud` is the unmodified SDK in the tenant's name; `key` its private SSH key."""

    live: LiveCloud
    name: str
    project_id: str
    cloud: Connection
    key: Path
    network: Any = None
    subnet: Any = None
    router: Any = None
    group: Any = None

    def wire(self, cidr: str, *, ports: tuple[int, ...] = (22,)) -> None:
        """A network behind a router to the outside, and a group that lets pings and `ports` in."""
        net = self.cloud.network
        self.network = net.create_network(name=self.name)
        self.subnet = net.create_subnet(network_id=self.network.id, cidr=cidr, ip_version=4)
        outside = net.find_network("public")
        self.router = net.create_router(
            name=self.name, external_gateway_info={"network_id": outside.id}
        )
        net.add_interface_to_router(self.router, subnet=self.subnet.id)
        self.group = net.create_security_group(name=self.name)
        self.allow(protocol="icmp")
        for port in ports:
            self.allow(protocol="tcp", port_range_min=port, port_range_max=port)

    def allow(self, **rule: Any) -> Any:
        return self.cloud.network.create_security_group_rule(
            security_group_id=self.group.id, direction="ingress", **rule
        )

    def begin_server(self, name: str, **wanted: Any) -> Any:
        """POST, and no waiting."""
        asked: dict[str, Any] = {
            "image_id": self.image("debian-12"),
            "flavor_id": self.flavor("tiny"),
            "key_name": self.name,
        }
        if self.network is not None:
            asked |= {"networks": [{"uuid": self.network.id}]}
        if self.group is not None:
            asked |= {"security_groups": [{"name": self.group.name}]}
        return self.cloud.compute.create_server(name=name, **{**asked, **wanted})

    def server(self, name: str, **wanted: Any) -> Any:
        """One that is ACTIVE."""
        return self.settled(self.begin_server(name, **wanted))

    def settled(self, server: Any, status: str = "ACTIVE") -> Any:
        """Looked at anew: the client believes what it was told last."""
        now = self.cloud.compute.get_server(server.id)
        failures = [] if status == "ERROR" else ["ERROR"]
        return self.cloud.compute.wait_for_server(
            now, status, failures=failures, interval=0.1, wait=BOOT_S
        )

    def address(self, server: Any) -> str:
        port = next(iter(self.cloud.network.ports(device_id=server.id)))
        return str(port.fixed_ips[0]["ip_address"])

    def floating(self, server: Any) -> str:
        """A floating address of the server."""
        port = next(iter(self.cloud.network.ports(device_id=server.id)))
        outside = self.cloud.network.find_network("public")
        made = self.cloud.network.create_ip(floating_network_id=outside.id, port_id=port.id)
        return str(made.floating_ip_address)

    def ssh(self, address: str, command: str, *, check: bool = True) -> Completed:
        return self.live.ssh(address, self.key, command, check=check)

    def inside(self, server: Any, *command: str, check: bool = True) -> Completed:
        """A program of the machine's in the network of a server."""
        where = ["nsenter", "-t", str(self.live.init_pid(server.id)), "-n"]
        return run([*where, *command], check=check, timeout_s=40)

    def root(self, server: Any, *command: str, check: bool = True) -> Completed:
        """As root inside a server, as somebody who took it over."""
        where = self.live.here.agent_dir / "lxc/servers"
        ask: list[str | Path] = ["lxc-attach", "-P", where, "-n", server.id, "--", *command]
        return run(ask, namespace=self.live.here.name, check=check, timeout_s=40)

    def image(self, name: str) -> str:
        return str(self.cloud.image.find_image(name, ignore_missing=False).id)

    def flavor(self, name: str) -> str:
        return str(self.cloud.compute.find_flavor(name, ignore_missing=False).id)

    def empty(self) -> None:
        """Delete everything, in the order in which it can be."""
        self._empty_compute()
        for balancer in self.cloud.load_balancer.load_balancers():
            self.cloud.load_balancer.delete_load_balancer(balancer, cascade=True)
        self._empty_network()
        for image in self.cloud.image.images(owner=self.project_id):
            self.cloud.image.delete_image(image)

    def _empty_compute(self) -> None:
        compute = self.cloud.compute
        servers = list(compute.servers())
        for server in servers:
            compute.delete_server(server)
        for server in servers:
            compute.wait_for_delete(server, interval=0.1, wait=DELETED_S)
        for group in compute.server_groups():
            compute.delete_server_group(group)
        for pair in compute.keypairs():
            compute.delete_keypair(pair)

    def _empty_network(self) -> None:
        net, mine = self.cloud.network, {"project_id": self.project_id}
        for floating in net.ips(**mine):
            net.delete_ip(floating)
        for router in net.routers(**mine):
            for port in net.ports(device_id=router.id, device_owner="network:router_interface"):
                net.remove_interface_from_router(router, port=port.id)
            net.delete_router(router)
        for port in net.ports(**mine):
            net.delete_port(port)
        for network in net.networks(**mine):
            net.delete_network(network)
        for group in net.security_groups(**mine):
            if group.name != "default":
                net.delete_security_group(group)


@contextlib.contextmanager
def tenant(live: LiveCloud, name: str, directory: Path) -> Iterator[Tenant]:
    """A new project with one user and a keypair of the project's name."""
    key = directory / f"{name}.key"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key])
    with live.connect(admin=True) as admin:
        password = secrets.token_urlsafe()
        project = admin.identity.create_project(name=name)
        user = admin.identity.create_user(
            name=name, password=password, default_project_id=project.id
        )
        member = admin.identity.find_role("member")
        admin.identity.assign_project_role_to_user(project, user, member)
        entry = live.clouds_yaml["clouds"][live.config.name]
        with openstack.connection.Connection(
            auth=entry["auth"] | {"username": name, "password": password, "project_name": name},
            region_name=entry["region_name"],
            cacert=entry["cacert"],
            identity_api_version="3",
            compute_default_microversion="2.96",
        ) as cloud:
            made = Tenant(live, name, project.id, cloud, key)
            cloud.compute.create_keypair(
                name=name, public_key=key.with_name(f"{key.name}.pub").read_text()
            )
            try:
                yield made
            finally:
                made.empty()
                for group in admin.network.security_groups(project_id=project.id):
                    admin.network.delete_security_group(group)
                admin.identity.delete_user(user)
                admin.identity.delete_project(project)


def connects(pid: int, address: str, port: int) -> bool:
    """Whether somebody in the network of a process gets a TCP connection."""
    done = subprocess.run(
        ["nsenter", "-t", str(pid), "-n", "timeout", "0.5", "bash", "-c",
         f"exec 3<>/dev/tcp/{address}/{port}"],
        check=False,
        capture_output=True,
    )  # fmt: skip
    return done.returncode == 0


def listens(address: str, port: int, *, timeout_s: float = 0.3) -> bool:
    """Whether the machine gets a TCP connection."""
    with contextlib.suppress(OSError), socket.create_connection((address, port), timeout_s):
        return True
    return False


def pinged(tenant: Tenant, server: Any, address: str) -> bool:
    """Whether one ping from a server is answered within a second."""
    return tenant.inside(server, "ping", "-c1", "-W1", address, check=False).status == 0


def reachable(tenant: Tenant, server: Any, address: str, *, within_s: float = BOOT_S) -> None:
    """Wait until SSH answers there, as seen from the network of a server."""
    pid = tenant.live.init_pid(server.id)
    eventually(lambda: connects(pid, address, 22), within_s=within_s, what=f"SSH at {address}")
