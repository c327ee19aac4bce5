"""A service that the framework has never heard of: all that is its own is data."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import sqlalchemy as sa
from tests.asgi_client import AsgiClient

from kumoi.base import log
from kumoi.base.clock import Clock, SetClock
from kumoi.base.errors import Conflict, KumoiError, NotFound, Unauthenticated
from kumoi.engine.db import Database
from kumoi.engine.http import request
from kumoi.engine.http.app import App
from kumoi.engine.http.request import Body, Reply
from kumoi.engine.http.routing import KNOWN, OPEN, Route
from kumoi.engine.http.service import Scheme, Service
from kumoi.engine.http.versions import Microversions

BODY_MAX_BYTES = 100


@dataclass(frozen=True)
class Zoo:
    """What this service's handlers work with."""

    database: Database
    clock: Clock
    animals: dict[str, str]


@dataclass(frozen=True)
class Visitor:
    name: str


Request: TypeAlias = request.Request[Zoo, Visitor]


class Animal(Body):
    name: str
    kind: str


def index(request: Request) -> Reply:
    return Reply(200, {"animals": sorted(request.services.animals), "at": request.base})


def show(request: Request) -> Reply:
    name = request.path["name"]
    if name not in request.services.animals:
        raise NotFound("animal", name)
    return Reply(200, {"kind": request.services.animals[name], "for": request.caller.name})


def create(request: Request) -> Reply:
    animal = request.parse(Animal)
    if animal.name in request.services.animals:
        raise Conflict("there is one of that name")
    request.services.animals[animal.name] = animal.kind
    return Reply(201)


def burn(_request: Request) -> Reply:
    raise ZeroDivisionError("the secret reason")


def bite(request: Request) -> Reply:
    with request.services.database.write() as connection:
        values = {"word": request.query["word"]}
        connection.execute(sa.text("INSERT INTO nowhere VALUES (:word)"), values)
    return Reply(200)


async def swallow(request: Request) -> Reply:
    size = 0
    async for piece in request.http.stream():
        size += len(piece)
    return Reply(200, size)


def by_badge(request: Request) -> Visitor:
    badge = request.http.headers.get("X-Badge")
    if badge is None:
        raise Unauthenticated("no badge")
    return Visitor(badge)


def roar(status: int, message: str, error: KumoiError) -> Any:
    return {"roar": message, "code": error.code, "loudness": status}


def in_song(request: Request, error: KumoiError) -> Reply | None:
    sings = request.query.get("song") == "1" and isinstance(error, NotFound)
    return Reply(200, b"la la", media_type="application/song") if sings else None


class OnlyKeepers:
    """A rule."""

    def allows(self, caller: Visitor, /) -> bool:
        return caller.name == "keeper"


ZOO = Service(
    type="zoo",
    prefix="zoo",
    routes=(
        Route("GET", "/animals", index, OPEN),
        Route("GET", "/animals/{name}", show, KNOWN, scheme="badge"),
        Route("POST", "/animals", create, "zoo:keep", scheme="badge"),
        Route("PUT", "/river", swallow, KNOWN, scheme="badge", streams=True),
        Route("GET", "/fire", burn, OPEN),
        Route("GET", "/bite", bite, OPEN),
        Route("GET", "/new", index, OPEN, since=(1, 5)),
        Route("GET", "/old", index, OPEN, until=(1, 4)),
    ),
    policies={"zoo:keep": OnlyKeepers()},
    schemes={"badge": Scheme(by_badge, blocks=True)},
    envelope=roar,
    statuses={Conflict: 418},
    refusal=in_song,
    challenge="Badge",
    headers={"Vary": "X-Badge"},
    id_headers=("X-Zoo-Id",),
    versions=Microversions("zoo", first=(1, 1), last=(1, 9), own_header="X-Zoo-Version"),
)
KEEPER = {"X-Badge": "keeper"}
LION = {"name": "leo", "kind": "lion"}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[AsgiClient]:
    database = Database(f"sqlite:///{tmp_path / 'zoo.db'}", wake_dir=tmp_path)
    zoo = Zoo(database, SetClock(), {})
    app = App(zoo, [ZOO], root="https://zoo.example", body_max_bytes=BODY_MAX_BYTES)
    with AsgiClient(app) as client:
        yield client
    database.close()


def test_a_handler_gets_what_its_service_works_with_and_who_calls(client: AsgiClient) -> None:
    assert client.post("/zoo/animals", json=LION, headers=KEEPER).status_code == 201
    found = client.get("/zoo/animals/leo", headers={"X-Badge": "ann"})
    assert found.json() == {"kind": "lion", "for": "ann"}
    assert client.get("/zoo/animals").json() == {
        "animals": ["leo"],
        "at": "https://zoo.example/zoo",
    }


def test_every_answer_has_the_services_headers_and_the_requests_id(client: AsgiClient) -> None:
    for path in ("/zoo/animals", "/zoo/nothing", "/zoo/fire"):
        answer = client.get(path)
        assert answer.headers["Vary"] == "X-Badge"
        assert answer.headers["X-Zoo-Id"].startswith("req-")
        assert answer.headers["X-Zoo-Version"] == "1.1"


def test_an_error_is_answered_in_the_services_own_envelope_and_status(client: AsgiClient) -> None:
    client.post("/zoo/animals", json=LION, headers=KEEPER)
    again = client.post("/zoo/animals", json=LION, headers=KEEPER)
    assert (again.status_code, again.json()) == (
        418,
        {"roar": "there is one of that name", "code": "request.conflict", "loudness": 418},
    )
    nowhere = client.get("/elsewhere")
    assert nowhere.status_code == 404
    assert nowhere.json()["error"]["title"] == "Not Found"


def test_what_went_wrong_here_is_not_told(client: AsgiClient) -> None:
    answer = client.get("/zoo/fire")
    assert answer.status_code == 500
    assert "secret reason" not in answer.text


def test_no_value_of_a_statement_is_told_to_who_asked_or_to_the_log(client: AsgiClient) -> None:
    with log.captured() as logged:
        answer = client.get("/zoo/bite?word=xyzzy")
    assert answer.status_code == 503
    assert "xyzzy" not in answer.text
    assert "INSERT INTO nowhere" in repr(logged)
    assert "xyzzy" not in repr(logged)


def test_another_protocol_has_its_own_way_to_refuse(client: AsgiClient) -> None:
    answer = client.get("/zoo/animals/rex?song=1", headers=KEEPER)
    assert (answer.text, answer.headers["Content-Type"]) == ("la la", "application/song")
    assert client.get("/zoo/animals/rex", headers=KEEPER).status_code == 404


def test_who_is_not_known_is_asked_who_may_not_is_told(client: AsgiClient) -> None:
    unknown = client.post("/zoo/animals", json=LION)
    assert (unknown.status_code, unknown.headers["WWW-Authenticate"]) == (401, "Badge")
    refused = client.post("/zoo/animals", json=LION, headers={"X-Badge": "ann"})
    assert refused.status_code == 403
    assert "zoo:keep" in refused.json()["roar"]


def test_a_body_is_looked_at_only_when_its_sender_may_and_it_fits(client: AsgiClient) -> None:
    large = b"x" * (BODY_MAX_BYTES + 1)
    assert client.post("/zoo/animals", content=large).status_code == 401
    assert client.post("/zoo/animals", content=large, headers=KEEPER).status_code == 413

    async def pieces() -> AsyncIterator[bytes]:
        yield large

    assert client.post("/zoo/animals", content=pieces(), headers=KEEPER).status_code == 413
    assert client.request("PUT", "/zoo/river", content=large, headers=KEEPER).json() == len(large)
    wrong = client.post("/zoo/animals", json={"name": 1}, headers=KEEPER)
    assert wrong.status_code == 400
    assert "name" in wrong.json()["roar"]


def test_a_route_is_there_from_its_first_version_to_its_last(client: AsgiClient) -> None:
    def status(path: str, version: str) -> int:
        return client.get(path, headers={"OpenStack-API-Version": f"zoo {version}"}).status_code

    assert [status("/zoo/new", version) for version in ("1.4", "1.5", "latest")] == [404, 200, 200]
    assert [status("/zoo/old", version) for version in ("1.4", "1.5")] == [200, 404]
    assert [status("/zoo/old", version) for version in ("2.0", "x")] == [406, 400]
    by_own = client.get("/zoo/new", headers={"X-Zoo-Version": "1.7"})
    assert by_own.headers["OpenStack-API-Version"] == "zoo 1.7"


def test_a_method_that_a_path_has_not_is_told_with_those_that_it_has(client: AsgiClient) -> None:
    answer = client.request("DELETE", "/zoo/animals")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, POST")
    assert client.request("HEAD", "/zoo/animals").status_code == 200
