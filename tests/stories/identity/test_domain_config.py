from __future__ import annotations

from typing import Any

import pytest
from openstack.connection import Connection

from kumoi.base.ids import new_hex_id

CONFIG: dict[str, dict[str, Any]] = {
    "identity": {"driver": "ldap"},
    "ldap": {"url": "ldap://a.example", "user_tree_dn": "ou=Users"},
}


@pytest.fixture
def path(admin: Connection) -> str:
    domain = admin.identity.create_domain(name=f"domain-{new_hex_id()[:8]}")
    return f"/domains/{domain.id}/config"


def put(admin: Connection, path: str, config: Any = CONFIG) -> Any:
    return admin.identity.put(path, json={"config": config})


def test_what_is_set_is_shown_whole_by_group_and_by_option(admin: Connection, path: str) -> None:
    assert admin.identity.get(path).status_code == 404
    assert put(admin, path).status_code == 201
    assert put(admin, path).status_code == 200
    assert admin.identity.get(path).json()["config"] == CONFIG
    assert admin.identity.get(f"{path}/ldap").json()["config"] == {"ldap": CONFIG["ldap"]}
    shown = admin.identity.get(f"{path}/ldap/url").json()["config"]
    assert shown == {"url": "ldap://a.example"}
    assert admin.identity.get(f"{path}/ldap/suffix").status_code == 404


def test_an_update_leaves_what_it_does_not_name(admin: Connection, path: str) -> None:
    put(admin, path)

    def change(part: str, config: Any) -> Any:
        return admin.identity.patch(f"{path}{part}", json={"config": config})

    changed = change("", {"ldap": {"url": "ldap://b.example"}}).json()["config"]
    assert changed == {**CONFIG, "ldap": {**CONFIG["ldap"], "url": "ldap://b.example"}}
    changed = change("/identity", {"identity": {"list_limit": 10}}).json()["config"]
    assert changed["identity"] == {"driver": "ldap", "list_limit": 10}
    changed = change("/identity/driver", {"driver": "sql"}).json()["config"]
    assert changed["identity"] == {"driver": "sql", "list_limit": 10}
    assert change("/identity", {"ldap": {"url": "x"}}).status_code == 400
    assert change("/identity/driver", {"list_limit": 1}).status_code == 400
    assert change("/ldap/suffix", {"suffix": "x"}).status_code == 404


def test_an_option_a_group_and_all_are_taken_away(admin: Connection, path: str) -> None:
    put(admin, path)
    for part in ("/ldap/url", "/ldap", ""):
        assert admin.identity.delete(path + part).status_code == 204
        assert admin.identity.delete(path + part).status_code == 404


def test_a_password_is_kept_and_never_shown(admin: Connection, path: str) -> None:
    made = put(admin, path, {"ldap": {"url": "ldap://a.example", "password": "secret"}})
    assert made.json()["config"] == {"ldap": {"url": "ldap://a.example"}}
    assert "secret" not in admin.identity.get(path).text
    assert admin.identity.get(f"{path}/ldap/password").status_code == 404


def test_the_defaults_say_what_there_is(admin: Connection) -> None:
    whole = admin.identity.get("/domains/config/default").json()["config"]
    assert whole["identity"] == {"driver": "sql", "list_limit": None}
    group = admin.identity.get("/domains/config/identity/default").json()["config"]
    assert group == {"identity": whole["identity"]}
    option = admin.identity.get("/domains/config/identity/driver/default").json()["config"]
    assert option == {"driver": "sql"}
    assert admin.identity.get("/domains/config/nothing/default").status_code == 404


@pytest.mark.parametrize(
    ("config", "status"),
    [
        ({}, 400),
        ({"ldap": {}}, 400),
        ({"ldap": "x"}, 400),
        ({"nothing": {"a": 1}}, 403),
        ({"ldap": {"nothing": 1}}, 403),
    ],
)
def test_what_is_no_configuration_is_refused(
    admin: Connection, path: str, config: Any, status: int
) -> None:
    assert put(admin, path, config).status_code == status


def test_it_goes_with_its_domain(admin: Connection, path: str) -> None:
    put(admin, path)
    key = path.split("/")[2]
    admin.identity.update_domain(key, is_enabled=False)
    admin.identity.delete_domain(key)
    assert admin.identity.get(path).status_code == 404
    assert put(admin, "/domains/nowhere/config").status_code == 404


def test_everybody_is_told_what_a_password_must_be_like(
    admin: Connection, demo: Connection
) -> None:
    """Without a rule of the operator's, nothing. Rules have their stories in test_password_rules.py."""
    path = f"/domains/{admin.identity.find_domain('default').id}/config/security_compliance"
    rules = {"password_regex": None, "password_regex_description": None}
    for cloud in (admin, demo):
        assert cloud.identity.get(path).json()["config"] == {"security_compliance": rules}
        for option in rules:
            assert cloud.identity.get(f"{path}/{option}").json()["config"] == {option: None}
        assert cloud.identity.get(f"{path}/lockout_duration").status_code == 403
    assert demo.identity.get("/domains/none/config/security_compliance").status_code == 404
