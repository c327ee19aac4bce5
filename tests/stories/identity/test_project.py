from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
from openstack import exceptions
from openstack.connection import Connection

from kumoi.base.ids import new_hex_id

if TYPE_CHECKING:
    from openstack.identity.v3.project import Project


@pytest.fixture
def project(admin: Connection) -> Project:
    return admin.identity.create_project(name=f"project-{new_hex_id()[:8]}", domain_id="default")


def test_a_project_is_shown_as_it_was_made(admin: Connection) -> None:
    name = f"project-{new_hex_id()[:8]}"
    made = admin.identity.create_project(
        name=name, domain_id="default", description="of a story", tags=["blue", "green"]
    )
    shown = admin.identity.get_project(made.id)
    assert (shown.name, shown.description, shown.parent_id) == (name, "of a story", "default")
    assert shown.tags == ["blue", "green"]
    assert [item.id for item in admin.identity.projects(name=name)] == [made.id]


def test_a_name_is_taken_once_in_a_domain(admin: Connection, project: Project) -> None:
    with pytest.raises(exceptions.ConflictException):
        admin.identity.create_project(name=project.name, domain_id="default")
    domain = admin.identity.create_domain(name=f"domain-{new_hex_id()[:8]}")
    assert admin.identity.create_project(name=project.name, domain_id=domain.id).id != project.id


def test_members_see_their_project_and_no_other(demo: Connection, project: Project) -> None:
    own = demo.current_project_id
    assert demo.identity.get_project(own).id == own
    for key in (project.id, "nothing"):
        with pytest.raises(exceptions.ForbiddenException):
            demo.identity.get_project(key)
    with pytest.raises(exceptions.ForbiddenException):
        demo.identity.update_project(own, description="mine")


@pytest.mark.parametrize("end", ["disable", "delete"])
def test_a_project_that_ends_takes_its_tokens_with_it(
    admin: Connection, demo: Connection, http: httpx.Client, end: str
) -> None:
    project, token = demo.current_project_id, demo.auth_token
    if end == "disable":
        admin.identity.update_project(project, is_enabled=False)
    else:
        admin.identity.delete_project(project)
    answer = http.get("/identity/v3/auth/projects", headers={"X-Auth-Token": token})
    assert answer.status_code == 401


def test_a_project_with_others_below_it_stays(admin: Connection, project: Project) -> None:
    below = admin.identity.create_project(
        name=f"project-{new_hex_id()[:8]}", domain_id="default", parent_id=project.id
    )
    with pytest.raises(exceptions.ForbiddenException):
        admin.identity.delete_project(project)
    admin.identity.delete_project(below)
    admin.identity.delete_project(project)
    with pytest.raises(exceptions.NotFoundException):
        admin.identity.get_project(project.id)


def test_tags_are_set_added_and_taken(admin: Connection, project: Project) -> None:
    path = f"/projects/{project.id}/tags"
    assert admin.identity.put(path, json={"tags": ["b", "a"]}).json() == {"tags": ["a", "b"]}
    assert admin.identity.put(f"{path}/c").status_code == 201
    assert admin.identity.get(f"{path}/c").status_code == 204
    assert admin.identity.delete(f"{path}/a").status_code == 204
    assert admin.identity.get(path).json() == {"tags": ["b", "c"]}
    assert [item.id for item in admin.identity.projects(tags="b,c")] == [project.id]
    assert admin.identity.delete(path).status_code == 204


def test_a_domains_name_is_taken_once_in_any_script(admin: Connection) -> None:
    """SQLite's lower() leaves letters outside of ASCII as they are, Python's does not: 500 once."""
    name = f"\u00c4RZTE-{new_hex_id()[:8]}"
    admin.identity.create_domain(name=name)
    with pytest.raises(exceptions.ConflictException):
        admin.identity.create_domain(name=name)


def test_domains_are_listed_for_administrators(admin: Connection, demo: Connection) -> None:
    name = f"domain-{new_hex_id()[:8]}"
    made = admin.identity.create_domain(name=name, description="of a story", is_enabled=False)
    assert {"default", made.id} <= {domain.id for domain in admin.identity.domains()}
    assert [domain.id for domain in admin.identity.domains(name=name)] == [made.id]
    assert made.id not in {domain.id for domain in admin.identity.domains(is_enabled=True)}
    assert demo.identity.get("/domains").status_code == 403


def test_a_domain_is_named_in_whatever_case(admin: Connection, http: httpx.Client) -> None:
    name = f"Domain-{new_hex_id()[:8]}"
    domain = admin.identity.create_domain(name=name)
    admin.identity.create_user(name="inside", password="pw", domain_id=domain.id)
    user = {"name": "inside", "password": "pw", "domain": {"name": name.upper()}}
    identity = {"methods": ["password"], "password": {"user": user}}
    answer = http.post("/identity/v3/auth/tokens", json={"auth": {"identity": identity}})
    assert answer.json()["token"]["user"]["domain"] == {"id": domain.id, "name": name}
    with pytest.raises(exceptions.ConflictException):
        admin.identity.create_domain(name=name.lower())
    admin.identity.update_domain(domain, name=name.lower())


def test_a_domain_is_emptied_and_goes_only_when_disabled(
    admin: Connection, http: httpx.Client
) -> None:
    domain = admin.identity.create_domain(name=f"domain-{new_hex_id()[:8]}")
    project = admin.identity.create_project(name="inside", domain_id=domain.id)
    user = admin.identity.create_user(name="inside", password="pw", domain_id=domain.id)
    role = admin.identity.find_role("member")
    admin.identity.assign_project_role_to_user(project, user, role)
    identity = {
        "methods": ["password"],
        "password": {"user": {"id": user.id, "password": "pw"}},
    }
    body = {"auth": {"identity": identity, "scope": {"project": {"id": project.id}}}}
    token = http.post("/identity/v3/auth/tokens", json=body).headers["X-Subject-Token"]
    with pytest.raises(exceptions.ForbiddenException):
        admin.identity.delete_domain(domain)
    admin.identity.update_domain(domain, is_enabled=False)
    answer = http.get("/identity/v3/auth/projects", headers={"X-Auth-Token": token})
    assert answer.status_code == 401
    assert http.post("/identity/v3/auth/tokens", json=body).status_code == 401
    admin.identity.delete_domain(domain)
    for gone in (f"/projects/{project.id}", f"/users/{user.id}", f"/domains/{domain.id}"):
        assert admin.identity.get(gone).status_code == 404


def test_the_default_domain_stays(admin: Connection, demo: Connection) -> None:
    assert demo.identity.get_domain("default").name == "Default"
    assert admin.identity.delete("/domains/default").status_code == 403


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"project": {"name": "a", "parent_id": "nowhere"}}, "nowhere"),
        ({"project": {"name": "a", "tags": ["a,b"]}}, "tags"),
        ({"project": {"name": "a" * 65}}, "name"),
        ({"project": {"name": "a", "is_domain": True, "parent_id": "default"}}, "parent"),
    ],
)
def test_a_bad_project_is_refused_by_the_field_that_is_wrong(
    admin: Connection, body: dict[str, object], field: str
) -> None:
    answer = admin.identity.post("/projects", json=body)
    assert answer.status_code == 400
    assert field in answer.json()["error"]["message"]


def test_projects_are_found_by_a_part_of_their_name_and_by_their_tags(
    admin: Connection,
) -> None:
    admin.identity.create_project(name="Web_1", tags=["blue", "green"])
    admin.identity.create_project(name="web-2", tags=["blue"])

    def found(query: str) -> set[str]:
        listed = admin.identity.get(f"/projects?{query}").json()["projects"]
        return {project["name"] for project in listed} & {"Web_1", "web-2"}

    both = {"Web_1", "web-2"}
    assert found("name__contains=zzz") == set()
    assert found("name__contains=b_") == {"Web_1"}
    assert found("name__contains=WEB") == set()
    assert found("name__icontains=WEB") == both
    assert found("name__startswith=we") == {"web-2"}
    assert found("name__istartswith=we") == both
    assert found("name__endswith=2") == {"web-2"}
    assert found("name__endswith=a-longer-text-than-any-name") == set()
    assert found("name__iendswith=B_1") == {"Web_1"}
    assert found("name__contains=%25") == set()
    assert found("name__startswith=") == both
    assert found("tags=blue,green") == {"Web_1"}
    assert found("tags-any=green,red") == {"Web_1"}
    assert found("not-tags=blue,green") == {"web-2"}
    assert found("not-tags-any=blue") == set()
