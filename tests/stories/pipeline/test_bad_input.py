"""Whatever is sent to any route of the pipeline, body, query, name, header or login, is never its fault (5xx)."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from openstack.connection import Connection
from tests.security.bodies import AS_SENT
from tests.stories.pipeline.conftest import RunningPipeline

from kumoi.engine.http.routing import TOKEN, Route
from kumoi.engine.http.service import Service
from kumoi.pipeline.api.caller import LOGIN
from kumoi.pipeline.api.routes import SERVICES

NAMES = ("%00", "%FF", "%ED%A0%80", "..%2f..", "%1b%5b31m", "-rf", "x" * 300, "é" * 300)
QUERIES = (
    "limit=-1",
    "limit=" + "9" * 5_000,
    "limit=nan",
    "limit=%D9%A3",
    "offset=1e400",
    "all=a%00b",
    "wait_s=%FF%FE",
    "service=git-upload-pack&service=%00",
)
BODIES = (
    b"",
    b"null",
    b"[" * 100_000,
    b'{"value": "a\\u0000b and more"}',
    *(b'{"%s": %s}' % (name, token) for name in (b"value", b"seconds") for token in AS_SENT),
    *(
        b'{"repository": %s, "host": "github", "url": %s}' % (token, token)
        for token in (*AS_SENT, b'"https://["', b'"https://a:b"', b'"https://\\ud83d\\ude00"')
    ),
)
TOKENS = (b"\xff\xfe", b"\xa0x", b"\xe9.\xe9.\xe9", b"W1tb" * 5_000)
LOGINS = (b"a\x00b:c", b"\xff:c", b":", b"a" * 9_000 + b":b", b"a:" + b"b" * 9_000, b"\x1b[31m:c")


def routes() -> Iterator[tuple[Service, Route]]:
    for service in SERVICES:
        for route in service.routes:
            if route.scheme in {TOKEN, LOGIN}:
                yield service, route


def path_of(service: Service, route: Route, project: str, name: str) -> str:
    values = {
        "{project}": project,
        "{repository.git}": f"{name}.git",
        "{service}": "git-upload-pack",
    }
    parts = [
        values.get(part, name) if part.startswith("{") else part for part in route.path.split("/")
    ]
    return f"/{service.prefix}{'/'.join(parts)}" if service.prefix else "/".join(parts)


@pytest.fixture
def project(demo: Connection) -> str:
    return str(demo.current_project.name)


@pytest.fixture
def client(pipeline: RunningPipeline, demo: Connection, project: str) -> Iterator[httpx.Client]:
    """Who may do all that there is, by token and by login."""
    with pipeline.client(demo) as made:
        coded = base64.b64encode(f"{project}:{project}".encode()).decode()
        made.headers["Authorization"] = f"Basic {coded}"
        yield made


def test_no_body_query_or_name_is_the_pipelines_fault(client: httpx.Client, project: str) -> None:
    ours = []

    def ask(method: str, path: str, content: bytes = b"") -> None:
        status = client.request(method, path, content=content).status_code
        if status >= 500:
            ours.append((status, method, path[:80], content[:60]))

    for service, route in routes():
        named = path_of(service, route, project, "a")
        for query in QUERIES if route.method == "GET" else ():
            ask("GET", f"{named}?{query}")
        for body in BODIES if route.method != "GET" else ():
            ask(route.method, named, body)
        for name in NAMES if "{" in route.path else ():
            query = "?service=git-upload-pack" if route.path.endswith("info/refs") else ""
            ask(route.method, path_of(service, route, project, name) + query)
            ask(route.method, path_of(service, route, name, "a") + query)
    assert ours == []


@pytest.mark.parametrize(
    "path", ["/pipeline/v1/runs", "/git/p/a.git/info/refs?service=git-upload-pack"]
)
def test_no_token_and_no_login_is_the_pipelines_fault(
    pipeline: RunningPipeline, client: httpx.Client, path: str
) -> None:
    del client.headers["Authorization"], client.headers["X-Auth-Token"]
    logins = (*map(base64.b64encode, LOGINS), b"\xe9\xe9", b"=", b"\xff" * 60_000)
    said = [
        *({b"X-Auth-Token": token} for token in TOKENS),
        *({b"Authorization": b"Basic " + login} for login in logins),
    ]
    statuses = [client.get(path, headers=list(headers.items())).status_code for headers in said]
    assert set(statuses) == {401}, list(zip(statuses, said, strict=True))


@pytest.mark.parametrize("name", ["Git-Protocol", "Content-Type", "Content-Encoding"])
def test_a_header_that_git_is_told_is_not_too_long_for_it(
    client: httpx.Client, project: str, name: str
) -> None:
    """A program takes 128 KiB of a variable, and a letter of a header may become two bytes."""
    path = f"/git/{project}/a.git/info/refs?service=git-receive-pack"
    answer = client.get(path, headers=[(name.encode(), b"\xe9" * 70_000)])
    assert b"ERR what git is told of a request has 8192 characters at most" in answer.content


RAW = (
    b"GET /pipeline/v1/runs\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /pipeline/v1/runs?limit=\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /pipeline/v1/runs?limit=\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /pipeline/\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /pipeline/v1/runs HTTP/1.1\r\nHost: a\r\nX-Auth-Token: a\r\n b\r\n\r\n",
    b"GET /pipeline/v1/runs HTTP/1.1\r\nHost: a\r\nX-Auth-Token: a\x00b\r\n\r\n",
    b"GET /pipeline/v1/runs HTTP/1.1\r\nHost: a\r\nX-Auth-Token: \x0ba\r\n\r\n",
    b"GET /pipeline/v1/runs HTTP/1.1\r\nHost: a\r\nX-Auth-Token: a\x01\r\n\r\n",
    b"GET http://[/ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET //[ HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
)


@pytest.fixture
def answered(pipeline: RunningPipeline) -> Callable[[bytes], bytes]:
    """The first line of the answer to bytes that no client sends; nothing where there is none."""
    at = urlsplit(pipeline.config.pipeline_url)
    context = ssl.create_default_context(cafile=pipeline.here.pki_dir / "ca.crt")

    def ask(sent: bytes) -> bytes:
        with (
            socket.create_connection((at.hostname, at.port), 30) as plain,
            context.wrap_socket(plain, server_hostname=at.hostname) as connection,
        ):
            connection.sendall(sent)
            with contextlib.suppress(OSError):
                return connection.recv(4_096).partition(b"\r\n")[0]
        return b""

    return ask


@pytest.mark.parametrize("sent", RAW)
def test_what_no_client_sends_is_refused(answered: Callable[[bytes], bytes], sent: bytes) -> None:
    said = answered(sent)
    assert said == b"" or said.startswith(b"HTTP/1.1 4")
