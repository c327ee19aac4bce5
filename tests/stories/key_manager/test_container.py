"""Containers: which secrets belong together as a certificate."""

from __future__ import annotations

from openstack.connection import Connection

from tests.stories.key_manager.conftest import RawKeys

TEXT = {"payload": "x", "payload_content_type": "text/plain"}


def test_one_is_made_listed_and_deleted(demo: Connection, raw: RawKeys) -> None:
    keys = demo.key_manager
    refs = [
        {"name": name, "secret_ref": keys.create_secret(name=name, **TEXT).secret_ref}
        for name in ("certificate", "private_key")
    ]
    made = keys.create_container(name="site", type="certificate", secret_refs=refs)
    found = keys.get_container(made.container_id)
    assert (found.name, found.type, found.secret_refs) == ("site", "certificate", refs)
    assert [one.name for one in keys.containers()] == ["site"]
    acl = f"containers/{made.container_id}/acl"
    assert raw("PUT", acl, {"read": {"project-access": False}}).status_code == 200
    assert raw("GET", acl).json()["read"]["project-access"] is False
    assert raw("PATCH", acl, {"read": {}}).status_code == 200
    assert raw("DELETE", acl).status_code == 200
    keys.delete_container(made.container_id, ignore_missing=False)
    assert list(keys.containers()) == []


def test_what_makes_no_certificate_is_refused(raw: RawKeys, raw_other: RawKeys) -> None:
    own = raw("POST", "secrets", TEXT).json()["secret_ref"]
    alien = raw_other("POST", "secrets", TEXT).json()["secret_ref"]
    both = [{"name": "certificate", "secret_ref": own}, {"name": "private_key", "secret_ref": own}]
    for refs, status in (
        (both, 201),
        (both[:1], 400),
        ([*both, {"name": "cookie", "secret_ref": own}], 400),
        ([*both, both[0]], 400),
        ([both[0], {"name": "private_key", "secret_ref": "x"}], 400),
        ([both[0], {"name": "private_key", "secret_ref": alien}], 403),
        ([both[0], {"name": "private_key", "secret_ref": own[:-1] + "zz"}], 400),
    ):
        answer = raw("POST", "containers", {"type": "certificate", "secret_refs": refs})
        assert answer.status_code == status, (refs, answer.text)
    assert raw_other("GET", "containers").json()["containers"] == []


def test_the_versions_are_told_to_anybody(raw: RawKeys) -> None:
    (version,) = raw.http.get("/key-manager/").json()["versions"]
    assert (version["id"], version["status"]) == ("v1", "CURRENT")
    assert version["links"][0]["href"].endswith("/key-manager/v1/")
