"""Who may read a secret, beside its project."""

from __future__ import annotations

from typing import Any

from openstack.connection import Connection

from tests.stories.key_manager.conftest import RawKeys

TEXT = {"payload": "hunter2", "payload_content_type": "text/plain"}


def test_a_user_of_another_project_may_be_let_in(
    raw: RawKeys, raw_other: RawKeys, other: Connection
) -> None:
    path = raw("POST", "secrets", TEXT).json()["secret_ref"].partition("/v1/")[2]
    assert raw("GET", f"{path}/acl").json() == {"read": {"project-access": True}}
    body = {"read": {"users": [other.current_user_id]}}
    assert raw("PUT", f"{path}/acl", body).json()["acl_ref"].endswith(f"{path}/acl")
    assert raw_other("GET", f"{path}/payload", Accept="text/plain").content == b"hunter2"
    assert raw_other("DELETE", path).status_code == 403
    assert raw_other("PUT", f"{path}/acl", body).status_code == 403
    raw("PATCH", f"{path}/acl", {"read": {"project-access": False}})
    assert raw("GET", f"{path}/acl").json()["read"]["users"] == [other.current_user_id]
    assert raw("GET", path).status_code == 200  # Who made it.
    assert raw("DELETE", f"{path}/acl").status_code == 200
    assert raw_other("GET", path).status_code == 403


def test_what_is_no_acl_is_refused(raw: RawKeys) -> None:
    path = raw("POST", "secrets", TEXT).json()["secret_ref"].partition("/v1/")[2]
    bodies: tuple[Any, ...] = ({}, {"read": {"users": "all"}}, {"write": {}})
    for said in bodies:
        assert raw("PUT", f"{path}/acl", said).status_code == 400
