"""The first content of a new cloud: a domain, roles, projects, two users and the catalogue.

`kumoi up` calls it each time before anything serves: what exists already is not changed, nor are its
passwords. `prepare` hashes the passwords, outside the transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy.engine import Connection

from kumoi.base.ids import new_hex_id
from kumoi.base.secret import Secret
from kumoi.cloud.domain.identity.password import hash_password
from kumoi.cloud.store.identity import assignment as assignments
from kumoi.cloud.store.identity import domain as domains
from kumoi.cloud.store.identity import endpoint as endpoints
from kumoi.cloud.store.identity import project as projects
from kumoi.cloud.store.identity import region as regions
from kumoi.cloud.store.identity import role as roles
from kumoi.cloud.store.identity import service as services
from kumoi.cloud.store.identity import user as users
from kumoi.cloud.store.identity.assignment import SYSTEM_ID, Actor, Assignment, AssignmentTarget
from kumoi.cloud.store.identity.domain import Domain
from kumoi.cloud.store.identity.endpoint import Endpoint
from kumoi.cloud.store.identity.project import Project
from kumoi.cloud.store.identity.region import Region
from kumoi.cloud.store.identity.role import IdentityRole
from kumoi.cloud.store.identity.service import CatalogService
from kumoi.cloud.store.identity.user import User
from kumoi.config import CloudSettings

DOMAIN_ID = "default"
ROLES = ("admin", "manager", "member", "reader", "service")
PROJECTS = {
    "admin": "For whoever runs the cloud",
    "demo": "The first tenant",
    "service": "For services of the cloud",
}


class FirstService(NamedTuple):
    """A service in the catalogue; `path` is where its API is below the URL of all APIs."""

    type: str
    name: str
    description: str
    path: str


SERVICES = (
    FirstService("identity", "keystone", "Identity", "/identity"),
    FirstService("image", "glance", "Images", "/image"),
    FirstService("network", "neutron", "Networks", "/network"),
    FirstService("compute", "nova", "Servers", "/compute/v2.1"),
    FirstService("load-balancer", "octavia", "Load balancers", "/load-balancer"),
    FirstService("key-manager", "barbican", "Secrets and certificates", "/key-manager"),
    FirstService("placement", "placement", "What hosts have and servers take", "/placement"),
)
INTERFACES = ("public", "internal", "admin")


@dataclass(frozen=True, slots=True)
class FirstPasswords:
    """Hashes of the passwords that the first users start with."""

    admin: str
    demo: str


def prepare(*, admin_password: Secret, demo_password: Secret) -> FirstPasswords:
    """Takes about 150 ms."""
    return FirstPasswords(hash_password(admin_password), hash_password(demo_password))


def bootstrap(connection: Connection, cloud: CloudSettings, passwords: FirstPasswords) -> None:
    """Make what does not exist yet."""
    if domains.get(connection, DOMAIN_ID) is None:
        domains.insert(connection, Domain(DOMAIN_ID, "Default", "The default domain", enabled=True))
    role_ids = {name: _role(connection, name) for name in ROLES}
    project_ids = {name: _project(connection, name) for name in PROJECTS}
    admin = _user(connection, "admin", passwords.admin, project_ids["admin"])
    demo = _user(connection, "demo", passwords.demo, project_ids["demo"])
    for user_id, project, role in (
        (admin, "admin", "admin"),
        (admin, "demo", "admin"),
        (demo, "demo", "member"),
    ):
        _assign(connection, user_id, AssignmentTarget.PROJECT, project_ids[project], role_ids[role])
    _assign(connection, admin, AssignmentTarget.DOMAIN, DOMAIN_ID, role_ids["admin"])
    _assign(connection, admin, AssignmentTarget.SYSTEM, SYSTEM_ID, role_ids["admin"])
    if regions.get(connection, cloud.region) is None:
        regions.insert(connection, Region(cloud.region, "", None))
    for service in SERVICES:
        _service(connection, cloud.region, service)


def _role(connection: Connection, name: str) -> str:
    found = roles.named(connection, name)
    if found is None:
        found = IdentityRole(new_hex_id(), name, None)
        roles.insert(connection, found)
    return found.id


def _project(connection: Connection, name: str) -> str:
    found = projects.named(connection, DOMAIN_ID, name)
    if found is None:
        found = Project(
            id=new_hex_id(),
            domain_id=DOMAIN_ID,
            parent_id=DOMAIN_ID,
            name=name,
            description=PROJECTS[name],
            enabled=True,
        )
        projects.insert(connection, found)
    return found.id


def _user(connection: Connection, name: str, password_hash: str, project_id: str) -> str:
    found = users.named(connection, DOMAIN_ID, name)
    if found is None:
        found = User(
            id=new_hex_id(),
            domain_id=DOMAIN_ID,
            name=name,
            description=None,
            email=None,
            enabled=True,
            default_project_id=project_id,
            password_hash=password_hash,
        )
        users.insert(connection, found)
    return found.id


def _assign(
    connection: Connection, user_id: str, target: AssignmentTarget, target_id: str, role_id: str
) -> None:
    row = Assignment(Actor.USER, user_id, target, target_id, role_id)
    assignments.ensure(connection, row)


def _service(connection: Connection, region: str, first: FirstService) -> None:
    if services.of_type(connection, first.type):
        return
    row = CatalogService(new_hex_id(), first.type, first.name, first.description, enabled=True)
    services.insert(connection, row)
    for interface in INTERFACES:
        endpoints.insert(
            connection, Endpoint(new_hex_id(), row.id, region, interface, first.path, enabled=True)
        )
