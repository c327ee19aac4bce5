"""What Tempest is given: projects with a network and a way out, and users without admin rights.

Safe to repeat: what is there is kept, only passwords are new each time. Called by `run.py`; changes
nothing outside the projects named `interop-…`.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import openstack
from openstack.connection import Connection

DOMAIN_ID = "default"
MEMBER = "member"
READER = "reader"
NETWORK = "interop"
CIDR = "10.199.0.0/24"  # Inside each project's own network: tests use 10.100.0.0/16.


@dataclass(frozen=True, slots=True)
class Account:
    """One user of a project. A `second` tenant's says no role to Tempest, which then takes it only
    for a test class that wants another tenant.
    """

    name: str
    project: str
    role: str
    password: str
    second: bool = False

    def as_tempest_has_it(self) -> dict[str, object]:
        return {
            "username": self.name,
            "password": self.password,
            "project_name": self.project,
            "domain_name": "Default",
            "roles": [] if self.second else [self.role],
            "resources": {"network": NETWORK},
        }


def ensure(admin: Connection, workers: int) -> list[Account]:
    """For each worker a project with a member and a reader, and a second tenant's member. Those of
    the second tenants come first: Tempest takes the first free one.
    """
    found = [
        _ensure_user(admin, f"interop-second-{number}", MEMBER, second=True)
        for number in range(1, workers + 1)
    ]
    for number in range(1, workers + 1):
        found.append(_ensure_user(admin, f"interop-{number}", MEMBER))
        found.append(_ensure_user(admin, f"interop-{number}", READER))
    for account in found:
        if account.role == MEMBER:
            with login(admin, account) as cloud:
                _ensure_network(cloud)
    return found


def _ensure_user(
    admin: Connection, project_name: str, role_name: str, *, second: bool = False
) -> Account:
    """With a new password."""
    name = f"{project_name}-{role_name}"
    account = Account(name, project_name, role_name, secrets.token_urlsafe(18), second)
    project = admin.identity.find_project(project_name) or admin.identity.create_project(
        name=project_name, domain_id=DOMAIN_ID
    )
    user = admin.identity.find_user(name) or admin.identity.create_user(
        name=name, domain_id=DOMAIN_ID
    )
    admin.identity.update_user(user, password=account.password)
    role = admin.identity.find_role(role_name, ignore_missing=False)
    admin.identity.assign_project_role_to_user(project, user, role)
    return account


def login(admin: Connection, account: Account) -> Connection:
    """A connection as this account, to the same cloud."""
    return openstack.connect(
        auth_url=admin.config.auth["auth_url"],
        username=account.name,
        password=account.password,
        project_name=account.project,
        user_domain_id=DOMAIN_ID,
        project_domain_id=DOMAIN_ID,
        cacert=admin.config.config.get("cacert"),
        region_name=admin.config.region_name,
    )


def _ensure_network(cloud: Connection) -> None:
    if cloud.network.find_network(NETWORK):
        return
    public = cloud.network.find_network("public", ignore_missing=False)
    network = cloud.network.create_network(name=NETWORK)
    subnet = cloud.network.create_subnet(
        name=NETWORK, network_id=network.id, ip_version=4, cidr=CIDR
    )
    router = cloud.network.create_router(
        name=NETWORK, external_gateway_info={"network_id": public.id}
    )
    cloud.network.add_interface_to_router(router, subnet=subnet.id)


def leftovers(cloud: Connection) -> list[str]:
    """What a project has that `ensure` did not make: nothing, after tests that clean up."""
    project_id = cloud.current_project_id
    found = [f"server {server.name}" for server in cloud.compute.servers()]
    found += [f"keypair {keypair.name}" for keypair in cloud.compute.keypairs()]
    found += [f"image {image.name}" for image in cloud.image.images(owner=project_id)]
    for kind, listed in (
        ("network", cloud.network.networks(project_id=project_id)),
        ("router", cloud.network.routers(project_id=project_id)),
        ("subnet pool", cloud.network.subnet_pools(project_id=project_id)),
        ("security group", cloud.network.security_groups(project_id=project_id)),
    ):
        default = {"security group": "default"}.get(kind, NETWORK)
        found += [f"{kind} {item.name}" for item in listed if item.name != default]
    ips = cloud.network.ips(project_id=project_id)
    return found + [f"floating IP {ip.floating_ip_address}" for ip in ips]
