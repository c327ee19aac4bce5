"""Roles count where the token is for: on a project, on a domain, on the system."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import openstack
import pytest
from openstack.connection import Connection

from kumoi.base.ids import new_hex_id
from tests.running_cloud import ADMIN_PASSWORD

pytestmark = pytest.mark.apis("load-balancer", "compute", "key-manager", "placement")

if TYPE_CHECKING:
    from tests.running_cloud import RunningCloud

PASSWORD = "a password"
SYSTEM = {"system_scope": "all"}


@dataclass
class Tenants:
    """Two domains of one cloud, each with a user, a group and a project."""

    cloud: RunningCloud
    admin: Connection
    own: dict[str, str]
    other: dict[str, str]

    @contextmanager
    def with_role(self, role: str, **scope: str) -> Iterator[Connection]:
        """As a new user of the first domain who has that role on it, or on the system."""
        identity = self.admin.identity
        user = identity.create_user(
            name=f"{role}-{new_hex_id()[:8]}", password=PASSWORD, domain_id=self.own["domain"]
        )
        if scope:
            path = f"/system/users/{user.id}"
        else:
            path, scope = (
                f"/domains/{self.own['domain']}/users/{user.id}",
                {"domain_id": self.own["domain"]},
            )
        role_id = identity.find_role(role).id
        assert identity.put(f"{path}/roles/{role_id}").status_code == 204
        with connect(self.cloud, user.id, PASSWORD, **scope) as connection:
            yield connection


def connect(cloud: RunningCloud, user_id: str, password: str, **scope: str) -> Connection:
    return openstack.connection.Connection(
        auth_type="password",
        auth={
            "auth_url": f"{cloud.url}/identity",
            "user_id": user_id,
            "password": password,
            **scope,
        },
        region_name=cloud.config.region,
        identity_api_version="3",
        compute_default_microversion="2.96",
    )


def make_domain(admin: Connection) -> dict[str, str]:
    name = f"domain-{new_hex_id()[:8]}"
    key = admin.identity.create_domain(name=name).id
    within = {"name": name, "domain_id": key}
    return {
        "domain": key,
        "user": admin.identity.create_user(password=PASSWORD, **within).id,
        "group": admin.identity.create_group(**within).id,
        "project": admin.identity.create_project(**within).id,
    }


@pytest.fixture
def tenants(cloud: RunningCloud, admin: Connection) -> Tenants:
    return Tenants(cloud, admin, make_domain(admin), make_domain(admin))


def ids(connection: Connection, noun: str) -> set[str]:
    return {one["id"] for one in connection.identity.get(f"/{noun}").json()[noun]}


def grant_path(of: dict[str, str], on: str, actor: str, role_id: str) -> str:
    return f"/{on}s/{of[on]}/{actor}s/{of[actor]}/roles/{role_id}"


@pytest.mark.parametrize("role", ["admin", "manager"])
def test_whoever_manages_a_domain_manages_what_is_in_it_and_nothing_else(
    tenants: Tenants, role: str
) -> None:
    own, other = tenants.own, tenants.other
    with tenants.with_role(role) as manager:
        identity = manager.identity
        for noun in ("user", "group", "project"):
            listed = ids(manager, f"{noun}s")
            assert own[noun] in listed
            assert other[noun] not in listed
            for method, body in (
                (identity.get, {}),
                (identity.patch, {"json": {noun: {"description": "changed"}}}),
                (identity.delete, {}),
            ):
                assert method(f"/{noun}s/{other[noun]}", **body).status_code == 403
            assert identity.get(f"/{noun}s/nothing").status_code == 403
            changed = identity.patch(
                f"/{noun}s/{own[noun]}", json={noun: {"description": "changed"}}
            )
            assert changed.json()[noun]["description"] == "changed"
            new = {"name": "new", "domain_id": own["domain"]}
            made = identity.post(f"/{noun}s", json={noun: new})
            assert made.status_code == 201
            for where in ({"domain_id": other["domain"]}, {}):
                refused = identity.post(f"/{noun}s", json={noun: {"name": "more", **where}})
                assert refused.status_code == 403
            assert identity.delete(f"/{noun}s/{made.json()[noun]['id']}").status_code == 204
        assert ids(manager, "domains") == {own["domain"]}
        assert identity.get(f"/domains/{other['domain']}").status_code == 403
        assert identity.patch(f"/domains/{own['domain']}", json={"domain": {}}).status_code == 403
        assert identity.post("/domains", json={"domain": {"name": "x"}}).status_code == 403


def test_a_domains_admin_makes_nobody_the_clouds(tenants: Tenants) -> None:
    """Neither by giving the role, nor through who has it already."""
    own, identity = tenants.own, tenants.admin.identity
    named = {role.name: role.id for role in identity.roles()}
    chief = identity.create_user(name="chief", password=PASSWORD, domain_id=own["domain"])
    chiefs = identity.create_group(name="chiefs", domain_id=own["domain"])
    for path in (f"/system/users/{chief.id}", f"/projects/{own['project']}/groups/{chiefs.id}"):
        assert identity.put(f"{path}/roles/{named['admin']}").status_code == 204
    with tenants.with_role("admin") as manager:
        asked = manager.identity
        for role in ("admin", "service"):
            for on in ("project", "domain"):
                path = grant_path(own, on, "user", named[role])
                assert asked.put(path).status_code == 403
        assert asked.put(f"/system/users/{own['user']}/roles/{named['reader']}").status_code == 403
        stolen = {"user": {"password": "mine now"}}
        assert asked.patch(f"/users/{chief.id}", json=stolen).status_code == 403
        assert asked.put(f"/groups/{chiefs.id}/users/{own['user']}").status_code == 403
        assert asked.delete(f"/users/{chief.id}").status_code == 403
        assert asked.get(f"/users/{chief.id}").status_code == 200
        for role in ("manager", "member", "reader"):
            path = grant_path(own, "project", "user", named[role])
            assert asked.put(path).status_code == 204
            assert asked.get(path).status_code == 204
            assert asked.delete(path).status_code == 204


def test_a_domains_manager_does_not_become_who_manages_another_domain(tenants: Tenants) -> None:
    own, other, identity = tenants.own, tenants.other, tenants.admin.identity
    named = {role.name: role.id for role in identity.roles()}
    for role, status in (("admin", 403), ("manager", 403), ("reader", 200)):
        user = identity.create_user(name=f"{role}-there", domain_id=own["domain"])
        there = f"/domains/{other['domain']}/users/{user.id}/roles/{named[role]}"
        assert identity.put(there).status_code == 204
        with tenants.with_role("manager") as manager:
            stolen = {"user": {"password": PASSWORD}}
            answer = manager.identity.patch(f"/users/{user.id}", json=stolen)
            assert answer.status_code == status


def test_a_domains_manager_gives_no_role_to_others_or_on_what_is_anothers(
    tenants: Tenants,
) -> None:
    own, other, identity = tenants.own, tenants.other, tenants.admin.identity
    member = identity.find_role("member").id
    with tenants.with_role("manager") as manager:
        for mixed in (
            {**own, "user": other["user"]},
            {**own, "project": other["project"]},
            other,
        ):
            assert (
                manager.identity.put(grant_path(mixed, "project", "user", member)).status_code
                == 403
            )
        assert identity.put(grant_path(other, "project", "user", member)).status_code == 204
        assert identity.put(grant_path(own, "project", "group", member)).status_code == 204
        listed = manager.identity.get("/role_assignments").json()["role_assignments"]
        targets = {one["scope"].get("project", one["scope"].get("domain"))["id"] for one in listed}
        assert targets == {own["project"], own["domain"]}


def test_whoever_reads_a_domain_changes_nothing(tenants: Tenants) -> None:
    own = tenants.own
    with tenants.with_role("reader") as reader:
        for noun in ("user", "group", "project"):
            path = f"/{noun}s/{own[noun]}"
            assert reader.identity.get(path).status_code == 200
            assert tenants.other[noun] not in ids(reader, f"{noun}s")
            assert reader.identity.patch(path, json={noun: {"name": "x"}}).status_code == 403
            assert reader.identity.delete(path).status_code == 403


def test_whoever_reads_the_system_sees_all_and_changes_nothing(tenants: Tenants) -> None:
    with tenants.with_role("reader", **SYSTEM) as reader:
        for noun in ("user", "group", "project"):
            assert {tenants.own[noun], tenants.other[noun]} <= ids(reader, f"{noun}s")
            path = f"/{noun}s/{tenants.own[noun]}"
            assert reader.identity.get(path).status_code == 200
            assert reader.identity.delete(path).status_code == 403
        for noun in ("services", "endpoints", "roles", "domains", "regions", "role_assignments"):
            assert reader.identity.get(f"/{noun}").status_code == 200


def test_a_token_for_the_system_manages_the_cloud(
    cloud: RunningCloud, admin: Connection, tenants: Tenants
) -> None:
    with connect(cloud, admin.current_user_id, ADMIN_PASSWORD, **SYSTEM) as system:
        token = system.session.auth.get_access(system.session)
        assert token.system == {"all": True}
        made = system.identity.create_domain(name=f"domain-{new_hex_id()[:8]}")
        assert made.id in ids(system, "domains")
        changed = system.identity.update_user(tenants.own["user"], description="changed")
        assert changed.description == "changed"


@pytest.mark.parametrize("scope", ["system", "domain"])
def test_what_belongs_to_projects_needs_a_token_for_one(
    cloud: RunningCloud, admin: Connection, scope: str
) -> None:
    """An admin of a domain or of the system as well."""
    where = SYSTEM if scope == "system" else {"domain_id": "default"}
    with connect(cloud, admin.current_user_id, ADMIN_PASSWORD, **where) as elsewhere:
        answers: list[Any] = [
            elsewhere.compute.get("/servers"),
            elsewhere.compute.get("/os-hypervisors"),
            elsewhere.network.get("/networks"),
            elsewhere.image.get("/images"),
            elsewhere.load_balancer.get("/lbaas/loadbalancers"),
            elsewhere.key_manager.get("/secrets"),
        ]
    assert [answer.status_code for answer in answers] == [403] * len(answers)


def test_a_role_on_the_system_comes_by_a_group_as_well(
    cloud: RunningCloud, tenants: Tenants, http: httpx.Client
) -> None:
    own, identity = tenants.own, tenants.admin.identity
    path = f"/system/groups/{own['group']}/roles/{identity.find_role('reader').id}"
    assert identity.put(path).status_code == 204
    assert identity.put(f"/groups/{own['group']}/users/{own['user']}").status_code == 204
    with connect(cloud, own["user"], PASSWORD, **SYSTEM) as reader:
        assert tenants.other["project"] in ids(reader, "projects")
        token = {"X-Auth-Token": reader.auth_token}
    assert http.get("/identity/v3/projects", headers=token).status_code == 200
    assert identity.delete(path).status_code == 204
    assert http.get("/identity/v3/projects", headers=token).status_code == 401
