from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import openstack
import pytest
from openstack import exceptions
from openstack.connection import Connection

from kumoi.base.ids import new_hex_id
from kumoi.cloud.domain.identity.login import HERE_FRACTION

if TYPE_CHECKING:
    from tests.running_cloud import RunningCloud

TOKENS = "/identity/v3/auth/tokens"


def create(owner: Connection, **attributes: Any) -> Any:
    return owner.identity.create_application_credential(
        owner.current_user_id, name=f"credential-{new_hex_id()[:8]}", **attributes
    )


@contextlib.contextmanager
def connected(cloud: RunningCloud, credential: Any, secret: str) -> Iterator[Connection]:
    with openstack.connection.Connection(
        auth_type="v3applicationcredential",
        auth={
            "auth_url": f"{cloud.url}/identity",
            "application_credential_id": credential.id,
            "application_credential_secret": secret,
        },
        region_name=cloud.config.region,
        identity_api_version="3",
    ) as connection:
        yield connection


def roles_of(connection: Connection) -> list[str]:
    return sorted(connection.session.auth.get_access(connection.session).role_names)


def test_a_program_gets_in_with_the_secret_that_shows_once(
    cloud: RunningCloud, demo: Connection
) -> None:
    made = create(demo)
    with connected(cloud, made, made.secret) as program:
        assert program.current_project_id == demo.current_project_id
        assert roles_of(program) == ["member", "reader"]
    me = demo.current_user_id
    (listed,) = demo.identity.application_credentials(me, name=made.name)
    assert listed.secret is None
    assert demo.identity.get_application_credential(me, made.id).secret is None


def test_a_chosen_secret_works_and_a_wrong_one_does_not(
    cloud: RunningCloud, demo: Connection
) -> None:
    made = create(demo, secret="chosen by me")
    with connected(cloud, made, "chosen by me") as program:
        assert program.authorize()
    with connected(cloud, made, "wrong") as program, pytest.raises(exceptions.SDKException):
        program.authorize()


def test_a_credential_with_fewer_roles_stays_with_them_also_through_a_new_token(
    cloud: RunningCloud, demo: Connection, http: httpx.Client
) -> None:
    made = create(demo, roles=[{"name": "reader"}])
    with connected(cloud, made, made.secret) as program:
        assert roles_of(program) == ["reader"]
        identity = {"methods": ["token"], "token": {"id": program.auth_token}}
        scope = {"project": {"id": demo.current_project_id}}
        for auth in ({"identity": identity}, {"identity": identity, "scope": scope}):
            again = http.post(TOKENS, json={"auth": auth})
            assert [role["name"] for role in again.json()["token"]["roles"]] == ["reader"]


def test_a_credential_is_for_its_own_project_only(
    cloud: RunningCloud, admin: Connection, demo: Connection, http: httpx.Client
) -> None:
    second = admin.identity.create_project(name=f"p-{new_hex_id()[:8]}", domain_id="default")
    role = admin.identity.find_role("member")
    admin.identity.assign_project_role_to_user(second, demo.current_user_id, role)
    made = create(demo)
    with connected(cloud, made, made.secret) as program:
        identity = {"methods": ["token"], "token": {"id": program.auth_token}}
    auth = {"identity": identity, "scope": {"project": {"id": second.id}}}
    assert http.post(TOKENS, json={"auth": auth}).status_code == 401


def test_roles_that_the_user_lost_the_credential_lost(
    cloud: RunningCloud, admin: Connection, demo: Connection
) -> None:
    made = create(demo)
    admin.identity.unassign_project_role_from_user(
        demo.current_project_id, demo.current_user_id, admin.identity.find_role("member")
    )
    with connected(cloud, made, made.secret) as program, pytest.raises(exceptions.SDKException):
        program.authorize()


def test_a_role_that_the_token_has_not_is_not_given_on(demo: Connection) -> None:
    with pytest.raises(exceptions.BadRequestException, match="admin"):
        create(demo, roles=[{"name": "admin"}])


def test_a_role_given_since_the_token_was_made_can_be_given_on(
    admin: Connection, demo: Connection
) -> None:
    role = admin.identity.create_role(name=f"role-{new_hex_id()[:8]}")
    demo.authorize()
    admin.identity.assign_project_role_to_user(demo.current_project_id, demo.current_user_id, role)
    assert [item["id"] for item in create(demo, roles=[{"id": role.id}]).roles] == [role.id]


def test_credentials_make_credentials_only_when_unrestricted(
    cloud: RunningCloud, demo: Connection
) -> None:
    restricted, free = create(demo), create(demo, unrestricted=True)
    with (
        connected(cloud, restricted, restricted.secret) as program,
        pytest.raises(exceptions.ForbiddenException),
    ):
        create(program)
    with connected(cloud, free, free.secret) as program:
        assert create(program).id


def test_a_deleted_credential_ends_its_tokens(
    cloud: RunningCloud, demo: Connection, http: httpx.Client
) -> None:
    made = create(demo)
    with connected(cloud, made, made.secret) as program:
        token = program.auth_token
    demo.identity.delete_application_credential(demo.current_user_id, made.id)
    answer = http.get("/identity/v3/auth/projects", headers={"X-Auth-Token": token})
    assert answer.status_code == 401
    with connected(cloud, made, made.secret) as program, pytest.raises(exceptions.SDKException):
        program.authorize()


def test_a_credential_and_its_tokens_expire(
    cloud: RunningCloud, demo: Connection, http: httpx.Client
) -> None:
    at = datetime.now(UTC).replace(tzinfo=None, microsecond=123456) + timedelta(hours=1)
    made = create(demo, expires_at=at.isoformat())
    assert made.expires_at == at.isoformat()
    identity = {
        "methods": ["application_credential"],
        "application_credential": {"id": made.id, "secret": made.secret},
    }
    token = http.post(TOKENS, json={"auth": {"identity": identity}}).json()["token"]
    assert token["expires_at"] == at.strftime("%Y-%m-%dT%H:%M:%S.000000Z")
    with pytest.raises(exceptions.BadRequestException, match="expires_at"):
        create(demo, expires_at="2020-01-01T00:00:00")


def test_credentials_are_nobody_elses(
    demo: Connection, other: Connection, admin: Connection
) -> None:
    made, me = create(demo), demo.current_user_id
    path = f"/users/{me}/application_credentials"
    assert other.identity.get(path).status_code == 403
    assert other.identity.get(f"{path}/{made.id}").status_code == 403
    assert other.identity.get(f"/users/{me}/access_rules").status_code == 403
    assert other.identity.delete(f"{path}/{made.id}").status_code == 403
    theirs = f"/users/{other.current_user_id}/application_credentials/{made.id}"
    assert other.identity.get(theirs).status_code == 403
    body = {"application_credential": {"name": "for another"}}
    assert admin.identity.post(path, json=body).status_code == 403


def test_a_name_is_taken_once(demo: Connection) -> None:
    made = create(demo)
    path = f"/users/{demo.current_user_id}/application_credentials"
    again = {"application_credential": {"name": made.name}}
    assert demo.identity.post(path, json=again).status_code == 409


def test_a_credential_is_named_with_its_user(demo: Connection, http: httpx.Client) -> None:
    made = create(demo)
    me = demo.identity.get_user(demo.current_user_id)
    owners = ({"id": me.id}, {"name": me.name, "domain": {"name": "Default"}})
    for owner in owners:
        credential = {"name": made.name, "user": owner, "secret": made.secret}
        identity = {"methods": ["application_credential"], "application_credential": credential}
        token = http.post(TOKENS, json={"auth": {"identity": identity}}).json()["token"]
        assert token["application_credential"] == {
            "id": made.id,
            "name": made.name,
            "restricted": True,
        }


@pytest.mark.parametrize(
    ("credential", "status"),
    [
        ({"secret": "x"}, 400),
        ({"secret": "x", "name": "nothing"}, 401),
        ({"secret": "x", "name": "nothing", "user": {"id": "nobody"}}, 401),
        ({"secret": "x", "id": "nothing"}, 401),
    ],
)
def test_a_credential_that_is_not_there_gives_nothing_away(
    http: httpx.Client, credential: dict[str, Any], status: int
) -> None:
    identity = {"methods": ["application_credential"], "application_credential": credential}
    assert http.post(TOKENS, json={"auth": {"identity": identity}}).status_code == status


def test_a_wrong_generated_secret_counts_as_a_failed_login(
    cloud: RunningCloud, demo: Connection, http: httpx.Client
) -> None:
    made = create(demo)
    credential = {"id": made.id, "secret": "guessed"}
    identity = {"methods": ["application_credential"], "application_credential": credential}
    right = {
        "methods": ["application_credential"],
        "application_credential": {"id": made.id, "secret": made.secret},
    }
    sent = {"Forwarded": "for=192.0.2.8;by=kumoi"}

    def status(shown: object) -> int:
        return http.post(TOKENS, json={"auth": {"identity": shown}}, headers=sent).status_code

    most = cloud.config.login_attempts_per_minute // HERE_FRACTION
    assert [status(identity) for _ in range(most + 1)] == [401] * most + [429]
    assert status(right) == 201


def test_a_credential_is_for_the_tokens_project_and_until_a_readable_time(
    demo: Connection,
) -> None:
    with pytest.raises(exceptions.BadRequestException, match="soon"):
        create(demo, expires_at="soon")
    with pytest.raises(exceptions.BadRequestException, match="project_id"):
        create(demo, project_id="another")


def test_a_token_without_a_project_makes_none(demo: Connection, http: httpx.Client) -> None:
    identity = {"methods": ["token"], "token": {"id": demo.auth_token}}
    auth = {"identity": identity, "scope": {"unscoped": {}}}
    token = http.post(TOKENS, json={"auth": auth}).headers["X-Subject-Token"]
    answer = http.post(
        f"/identity/v3/users/{demo.current_user_id}/application_credentials",
        json={"application_credential": {"name": "x"}},
        headers={"X-Auth-Token": token},
    )
    assert answer.status_code == 403
