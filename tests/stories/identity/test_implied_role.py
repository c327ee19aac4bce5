from __future__ import annotations

import httpx
import pytest
from openstack import exceptions
from openstack.connection import Connection
from openstack.identity.v3.role import Role

from kumoi.base.ids import new_hex_id
from tests.running_cloud import RunningCloud


def make(admin: Connection, **given: str) -> Role:
    return admin.identity.create_role(name=f"role-{new_hex_id()[:8]}", **given)


def rule(prior: Role, implied: Role) -> str:
    return f"/roles/{prior.id}/implies/{implied.id}"


def test_a_token_carries_what_its_roles_imply_until_the_rule_goes(
    cloud: RunningCloud, admin: Connection, demo: Connection, http: httpx.Client
) -> None:
    first, second, third = make(admin), make(admin), make(admin)
    made = admin.identity.put(rule(first, second))
    assert made.status_code == 201
    assert made.json()["role_inference"]["implies"]["name"] == second.name
    assert admin.identity.put(rule(first, second)).status_code == 201
    admin.identity.put(rule(second, third))
    me = demo.identity.get_user(demo.current_user_id)
    project = admin.identity.create_project(name=f"p-{new_hex_id()[:8]}", domain_id="default")
    admin.identity.assign_project_role_to_user(project, me, first)
    with cloud.connect(me.name, me.name, project.name) as before:
        token = before.auth_token
        names = before.session.auth.get_access(before.session).role_names
    assert sorted(names) == sorted([first.name, second.name, third.name])
    assert admin.identity.head(rule(second, third)).status_code == 204
    assert admin.identity.delete(rule(second, third)).status_code == 204
    assert admin.identity.get(rule(second, third)).status_code == 404
    answer = http.get("/identity/v3/auth/projects", headers={"X-Auth-Token": token})
    assert answer.status_code == 401
    with cloud.connect(me.name, me.name, project.name) as after:
        names = after.session.auth.get_access(after.session).role_names
    assert sorted(names) == sorted([first.name, second.name])


def test_rules_are_listed_by_their_role_and_all_together(admin: Connection) -> None:
    prior, implied = make(admin), make(admin)
    admin.identity.put(rule(prior, implied))
    shown = admin.identity.get(f"/roles/{prior.id}/implies").json()["role_inference"]
    assert (shown["prior_role"]["id"], [one["id"] for one in shown["implies"]]) == (
        prior.id,
        [implied.id],
    )
    every = admin.identity.get("/role_inferences").json()["role_inferences"]
    names = {(one["prior_role"]["name"], each["name"]) for one in every for each in one["implies"]}
    built_in = {("admin", "manager"), ("manager", "member"), ("member", "reader")}
    assert {*built_in, (prior.name, implied.name)} <= names
    admin.identity.delete_role(implied)
    assert (
        admin.identity.get(f"/roles/{prior.id}/implies").json()["role_inference"]["implies"] == []
    )


def test_no_rule_gives_admin_goes_in_a_circle_or_takes_the_clouds_own_away(
    admin: Connection,
) -> None:
    first, second = make(admin), make(admin)
    named = {role.name: role for role in admin.identity.roles()}
    assert admin.identity.put(rule(first, named["admin"])).status_code == 403
    admin.identity.put(rule(first, second))
    assert admin.identity.put(rule(second, first)).status_code == 403
    assert admin.identity.put(rule(first, first)).status_code == 403
    own = rule(named["admin"], named["manager"])
    assert admin.identity.get(own).status_code == 200
    assert admin.identity.delete(own).status_code == 403


def test_a_role_of_a_domain_is_in_no_token_but_what_it_implies_is(
    cloud: RunningCloud, admin: Connection, demo: Connection
) -> None:
    domain = admin.identity.create_domain(name=f"domain-{new_hex_id()[:8]}")
    local, common = make(admin, domain_id=domain.id), make(admin)
    assert local.domain_id == domain.id
    assert [one.id for one in admin.identity.roles(domain_id=domain.id)] == [local.id]
    assert local.id not in {one.id for one in admin.identity.roles()}
    admin.identity.put(rule(local, common))
    me = demo.identity.get_user(demo.current_user_id)
    project = admin.identity.create_project(name=f"p-{new_hex_id()[:8]}", domain_id="default")
    admin.identity.assign_project_role_to_user(project, me, local)
    with cloud.connect(me.name, me.name, project.name) as there:
        assert there.session.auth.get_access(there.session).role_names == [common.name]
    changed = admin.identity.patch(f"/roles/{local.id}", json={"role": {"domain_id": "default"}})
    assert changed.status_code == 400
    with pytest.raises(exceptions.NotFoundException):
        make(admin, domain_id="nowhere")
