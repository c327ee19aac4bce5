"""Secrets: what is kept sealed, and given back to whoever may have it."""

from __future__ import annotations

import base64

import pytest
import sqlalchemy as sa
from openstack import exceptions
from openstack.connection import Connection

from kumoi.cloud.store.key_manager.secret import secret as table
from tests.running_cloud import RunningCloud
from tests.stories.key_manager.conftest import RawKeys

TEXT = {"payload": "hunter2", "payload_content_type": "text/plain"}


def test_one_is_made_listed_read_and_deleted(demo: Connection) -> None:
    keys = demo.key_manager
    made = keys.create_secret(name="password", secret_type="passphrase", **TEXT)
    found = keys.get_secret(made.secret_id)
    assert (found.name, found.secret_type, found.payload) == ("password", "passphrase", "hunter2")
    assert found.content_types == {"default": "text/plain"}
    assert [one.name for one in keys.secrets(name="password")] == ["password"]
    assert list(keys.secrets(name="other")) == []
    keys.delete_secret(made.secret_id, ignore_missing=False)
    assert list(keys.secrets(name="password")) == []
    with pytest.raises(exceptions.NotFoundException):
        keys.delete_secret(made.secret_id, ignore_missing=False)


def test_bytes_come_back_as_they_were(raw: RawKeys) -> None:
    content = bytes(range(256))
    body = {
        "payload": base64.b64encode(content).decode(),
        "payload_content_type": "application/octet-stream",
        "payload_content_encoding": "base64",
    }
    path = raw("POST", "secrets", body).json()["secret_ref"].partition("/v1/")[2]
    answer = raw("GET", f"{path}/payload", Accept="application/octet-stream")
    assert (answer.content, answer.headers["content-type"]) == (content, "application/octet-stream")
    assert answer.headers["cache-control"] == "no-store"
    assert raw("GET", path, Accept="application/octet-stream").content == content
    assert raw("GET", f"{path}/payload", Accept="text/plain").status_code == 406


def test_a_payload_may_come_later_and_once(raw: RawKeys) -> None:
    path = raw("POST", "secrets", {"name": "later"}).json()["secret_ref"].partition("/v1/")[2]
    assert raw("GET", f"{path}/payload", Accept="text/plain").status_code == 404
    assert raw("PUT", path, b"now", Content_Type="text/plain").status_code == 204
    assert raw("GET", f"{path}/payload", Accept="text/plain").content == b"now"
    assert raw("PUT", path, b"again", Content_Type="text/plain").status_code == 409


def test_the_database_does_not_have_what_it_is(demo: Connection, cloud: RunningCloud) -> None:
    made = demo.key_manager.create_secret(name="password", **TEXT)
    with cloud.database.read() as connection:
        query = sa.select(table).where(table.c.id == made.secret_id)
        row = connection.execute(query).one()
    assert b"hunter2" not in row.sealed


def test_what_makes_no_sense_is_refused(raw: RawKeys) -> None:
    binary = {"payload": "QQ==", "payload_content_type": "application/octet-stream"}
    for said in (
        {"payload": "x"},
        {"payload_content_type": "text/plain"},
        TEXT | {"payload": ""},
        TEXT | {"payload_content_type": "image/png"},
        TEXT | {"payload_content_encoding": "base64"},
        binary,
        binary | {"payload_content_encoding": "base64", "payload": "%%"},
        TEXT | {"payload": "x" * 70_000},
        TEXT | {"expiration": "yesterday"},
        TEXT | {"expiration": "2020-01-01T00:00:00"},
        TEXT | {"secret_type": "rumour"},
        TEXT | {"bit_length": 0},
    ):
        answer = raw("POST", "secrets", said)
        assert answer.status_code == 400, (said, answer.text)
        assert answer.json()["description"]
    assert raw("GET", "secrets?limit=x").status_code == 400


def test_a_list_has_pages(raw: RawKeys) -> None:
    for name in "abc":
        raw("POST", "secrets", TEXT | {"name": name})
    page = raw("GET", "secrets?limit=2").json()
    assert ([one["name"] for one in page["secrets"]], page["total"]) == (["a", "b"], 3)
    rest = raw("GET", page["next"].partition("/v1/")[2]).json()
    assert [one["name"] for one in rest["secrets"]] == ["c"]
    assert "next" not in rest


def test_one_that_is_over_is_not_given(raw: RawKeys) -> None:
    body = TEXT | {"expiration": "2099-01-01T00:00:00+01:00"}
    path = raw("POST", "secrets", body).json()["secret_ref"].partition("/v1/")[2]
    assert raw("GET", path).json()["expiration"] == "2098-12-31T23:00:00"


def test_anothers_is_forbidden(raw: RawKeys, raw_other: RawKeys) -> None:
    path = raw("POST", "secrets", TEXT).json()["secret_ref"].partition("/v1/")[2]
    for method, where in (("GET", path), ("GET", f"{path}/payload"), ("DELETE", path)):
        assert raw_other(method, where).status_code == 403
    assert raw_other("GET", "secrets").json()["secrets"] == []
