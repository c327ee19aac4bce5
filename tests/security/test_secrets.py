"""What a caller sends as a secret is in no refusal and in no line of the log, however the rest of the request
is spoilt, and whatever breaks meanwhile.
"""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from kumoi.engine.schema import audit
from tests.security.bodies import JUNK
from tests.security.in_process import InProcessCloud

MARK = "Xk9-never-to-be-shown-"
SECRET = f"{MARK}7f3a"
HIDDEN = base64.b64encode(SECRET.encode()).decode()
DOMAIN = {"id": "default"}
REFUSED = 400
USER = {"name": "demo", "domain": DOMAIN}
NOBODY = "11111111222243338444555555555555"


def login(method: str, **words: Any) -> dict[str, Any]:
    return {"auth": {"identity": {"methods": [method], method: words}}}


SERVER = {"name": "s", "flavorRef": "none", "imageRef": NOBODY, "networks": "none"}
BODIES: dict[str, tuple[str, str, Any]] = {
    "a login": (
        "POST",
        "/identity/v3/auth/tokens",
        login("password", user=USER | {"password": SECRET}),
    ),
    "a passcode": (
        "POST",
        "/identity/v3/auth/tokens",
        login("totp", user=USER | {"passcode": SECRET}),
    ),
    "an application credential's login": (
        "POST",
        "/identity/v3/auth/tokens",
        login("application_credential", id=NOBODY, secret=SECRET),
    ),
    "a token": ("POST", "/identity/v3/auth/tokens", login("token", id=SECRET)),
    "a new user": (
        "POST",
        "/identity/v3/users",
        {"user": {"name": "new", "domain_id": "default", "password": SECRET, "enabled": True}},
    ),
    "a changed user": ("PATCH", "/identity/v3/users/{user}", {"user": {"password": SECRET}}),
    "a changed password": (
        "POST",
        "/identity/v3/users/{user}/password",
        {"user": {"original_password": SECRET, "password": f"{SECRET}-2"}},
    ),
    "an application credential": (
        "POST",
        "/identity/v3/users/{user}/application_credentials",
        {"application_credential": {"name": "a", "secret": SECRET, "roles": [{"name": "admin"}]}},
    ),
    "a credential": (
        "POST",
        "/identity/v3/credentials",
        {"credential": {"type": "cert", "blob": SECRET, "user_id": "{user}"}},
    ),
    "a server's password": (
        "POST",
        "/compute/v2.1/servers",
        {"server": SERVER | {"adminPass": SECRET}},
    ),
    "a server's user data": (
        "POST",
        "/compute/v2.1/servers",
        {"server": SERVER | {"user_data": HIDDEN}},
    ),
    "a server's new password": (
        "POST",
        f"/compute/v2.1/servers/{NOBODY}/action",
        {"changePassword": {"adminPass": SECRET}},
    ),
    "a stored secret": (
        "POST",
        "/key-manager/v1/secrets",
        {"name": "k", "payload": SECRET, "payload_content_type": "text/plain"},
    ),
}


def spoilt(body: Any) -> Iterator[bytes]:
    """The body whole, each of its values but the secret replaced by junk, a word too many, and cut off."""
    whole = json.dumps(body).encode()
    yield whole
    yield whole[:-2]
    yield whole + b"}"
    for path in _leaves(body, ()):
        for junk in JUNK:
            changed = copy.deepcopy(body)
            where = changed
            for step in path[:-1]:
                where = where[step]
            if MARK in str(where[path[-1]]) or where[path[-1]] == HIDDEN:
                where[path[-1]] = [where[path[-1]]]  # The secret itself, in a form that is wrong.
            else:
                where[path[-1]] = junk
            yield json.dumps(changed).encode()
    for path in _mappings(body, ()):
        changed = copy.deepcopy(body)
        where = changed
        for step in path:
            where = where[step]
        where["no_such_word"] = SECRET
        yield json.dumps(changed).encode()


def _leaves(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _leaves(inner, (*path, index))
    else:
        yield path


def _mappings(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        yield path
        for key, inner in value.items():
            yield from _mappings(inner, (*path, key))


def shown(text: str) -> bool:
    return MARK in text or HIDDEN in text


def ask(cloud: InProcessCloud, what: str, body: bytes) -> tuple[int, str]:
    method, path, _ = BODIES[what]
    users = cloud.ask("GET", "/identity/v3/users?name=demo").json()["users"]
    key = str(users[0]["id"])
    answer = cloud.ask(method, path.replace("{user}", key), body.replace(b"{user}", key.encode()))
    return answer.status_code, answer.text


@pytest.mark.parametrize("what", BODIES)
def test_a_secret_is_in_no_refusal_and_no_line_of_the_log(
    on_sqlite: InProcessCloud, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    refused = 0
    for body in spoilt(BODIES[what][2]):
        status, text = ask(on_sqlite, what, body)
        if status >= REFUSED:
            refused += 1
            assert not shown(text), (body, text)
    said = capsys.readouterr()
    assert refused > len(JUNK)
    assert not [line for line in (said.out + said.err).splitlines() if shown(line)]


def test_a_secret_is_in_no_record_of_who_changed_what(on_sqlite: InProcessCloud) -> None:
    for what, (_, _, body) in BODIES.items():
        ask(on_sqlite, what, json.dumps(body).encode())
    with on_sqlite.database.read() as connection:
        rows = connection.execute(sa.select(audit)).all()
    assert rows
    assert not [row for row in rows if shown(str(row))]


def test_a_statement_that_fails_shows_none_of_what_it_was_to_write(
    inside: InProcessCloud, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a database does that has lost a column: its driver's errors carry the values."""
    with inside.database.write() as connection:
        connection.execute(sa.text('ALTER TABLE "identity_user" RENAME COLUMN name TO other_name'))
    status, text = 0, ""
    for what in ("a new user", "a login"):
        method, path, body = BODIES[what]
        answer = inside.ask(method, path, json.dumps(body).encode())
        status, text = max(status, answer.status_code), text + answer.text
    assert status >= 500
    said = capsys.readouterr()
    assert "failed" in said.err
    assert not shown(text + said.out + said.err)


@pytest.mark.parametrize("where", ["token", "path", "query", "subject"])
def test_a_token_at_any_place_of_a_request_is_in_no_refusal_and_no_line_of_the_log(
    on_sqlite: InProcessCloud, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    """A caller's slip of where a secret goes."""
    asked = {
        "token": ("/compute/v2.1/servers", {"token": SECRET}),
        "subject": ("/identity/v3/auth/tokens", {"X-Subject-Token": SECRET}),
    }
    if where in asked:
        path, headers = asked[where]
        answer = on_sqlite.ask("GET", path, **headers)
        assert answer.status_code >= REFUSED
        assert not shown(answer.text)
    else:
        path = f"/compute/v2.1/{SECRET}" if where == "path" else f"/compute/v2.1/servers?x={SECRET}"
        on_sqlite.ask("GET", path)
    said = capsys.readouterr()
    assert not shown(said.out + said.err)


def test_the_marks_are_where_a_secret_would_be(on_sqlite: InProcessCloud) -> None:
    """What these tests look for is seen where it is shown on purpose: they could find it."""
    what = "a credential"
    status, text = ask(on_sqlite, what, json.dumps(BODIES[what][2]).encode())
    assert status < REFUSED
    assert shown(text)
