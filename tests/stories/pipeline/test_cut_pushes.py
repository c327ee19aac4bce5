"""What whoever pushes leaves when the line is cut, and what other than git's two requests is answered with."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from openstack.connection import Connection
from tests.stories.pipeline.conftest import Pusher, RunningPipeline, until

from kumoi.base import process
from kumoi.pipeline.api.git import FETCH_MAX_BYTES
from kumoi.pipeline.push_packets import FLUSH, packet

TYPE = "application/x-git-receive-pack-request"


@pytest.fixture
def speaking(pipeline: RunningPipeline, pusher: Pusher) -> Iterator[httpx.Client]:
    """By hand, as whoever pushes."""
    with httpx.Client(
        base_url=pipeline.url(pusher.project),
        verify=ssl.create_default_context(cafile=pipeline.here.pki_dir / "ca.crt"),
        auth=(pusher.user, pusher.password),
        timeout=60,
    ) as client:
        yield client


def pushed(pusher: Pusher, branch: str) -> bytes:
    """The body of git's second request."""
    commit = pusher.git("rev-parse", "HEAD").out.strip()
    update = f"{'0' * 40} {commit} refs/heads/{branch}\0report-status side-band-64k quiet"
    pack = pusher.folder / ".git" / "whole.pack"
    with pack.open("wb") as out:
        argv = ["git", "pack-objects", "--all", "--stdout", "--quiet"]
        process.run(argv, cwd=pusher.folder, stdin="", stdout=out)
    return packet(update.encode()) + FLUSH + pack.read_bytes()


def send_part(speaking: httpx.Client, tls: ssl.SSLContext, body: bytes, size: int) -> None:
    url, auth = speaking.base_url, speaking.auth
    assert isinstance(auth, httpx.BasicAuth)
    head = (
        f"POST {url.path}git-receive-pack HTTP/1.1\r\nHost: {url.host}\r\n"
        f"Authorization: {auth._auth_header}\r\nContent-Type: {TYPE}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with (
        socket.create_connection((url.host, url.port or 0), 30) as plain,
        tls.wrap_socket(plain, server_hostname=url.host) as line,
    ):
        line.sendall(head.encode() + body[:size])


def left_behind(folder: Path) -> list[Path]:
    """What git has of a push until it is whole, its locks, and what the pipeline has of a body."""
    objects = (folder / "git").glob("*/*.git/objects/**/tmp_*")
    locks = (folder / "git").glob("*/*.git/**/*.lock")
    return [*objects, *locks, *(folder / "git-spool").iterdir()]


def test_a_push_that_is_cut_at_any_tenth_leaves_nothing_and_the_next_one_works(
    pipeline: RunningPipeline, pusher: Pusher, speaking: httpx.Client, demo: Connection
) -> None:
    (pusher.folder / "large").write_bytes(os.urandom(300_000))
    pusher.commit("large")
    body, folder = pushed(pusher, "main"), pipeline.here.state
    tls = ssl.create_default_context(cafile=pipeline.here.pki_dir / "ca.crt")
    first = speaking.get("/info/refs", params={"service": "git-receive-pack"})
    assert first.status_code == 200
    for tenth in range(10):
        send_part(speaking, tls, body, len(body) * tenth // 10)
    send_part(speaking, tls, body, len(body) - 1)

    def gone() -> bool:
        """All that the cut pushes had."""
        return not left_behind(folder)

    until(gone)
    assert not list(demo.identity.application_credentials(user=demo.current_user_id))
    with pipeline.client(demo) as client:
        assert client.get("/pipeline/v1/runs").json()["runs"] == []
    assert pusher.run_id(pusher.push())
    until(gone)


def test_nothing_but_gits_two_requests_is_answered(
    pusher: Pusher, speaking: httpx.Client, other: Connection
) -> None:
    """The protocol for servers that know no git reads any file; `git archive --remote` any commit."""
    pusher.run_id(pusher.push())
    commit = pusher.git("rev-parse", "HEAD").out.strip()
    theirs = other.current_project.name
    paths = (
        "/HEAD",
        "/config",
        "/info/refs",
        "/objects/info/packs",
        "/objects/info/alternates",
        f"/objects/{commit[:2]}/{commit[2:]}",
        "/git-upload-archive",
        "/info/refs?service=git-upload-archive",
        "/..%2F..%2Fconfig",
        f"/../../{theirs}/hello.git/info/refs",
    )
    for path in paths:
        asked = {path: speaking.get(path), f"POST {path}": speaking.post(path, content=b"0000")}
        for name, answer in asked.items():
            assert answer.status_code in (403, 404, 405), name
    for odd in ("version=1", "version=99", "version=2:version=0", "=", "x" * 3_000):
        answer = speaking.get(
            "/info/refs", params={"service": "git-upload-pack"}, headers={"Git-Protocol": odd}
        )
        assert answer.status_code == 200, odd


def test_a_projects_name_may_end_as_a_repositorys_does(
    pipeline: RunningPipeline, pusher: Pusher, admin: Connection, demo: Connection
) -> None:
    """What git was asked for was taken from behind the first ".git/" of the path."""
    name = f"{pusher.project}.git"
    admin.identity.update_project(demo.current_project_id, name=name)
    pusher.project = name
    assert pusher.run_id(pusher.push())
    assert "refs/heads/main" in pusher.git("ls-remote", pusher.url()).out


def test_a_fetch_that_asks_for_more_than_a_list_or_for_what_is_not_there_gets_nothing(
    pusher: Pusher, speaking: httpx.Client
) -> None:
    pusher.run_id(pusher.push())
    large = speaking.post("/git-upload-pack", content=os.urandom(FETCH_MAX_BYTES + 1))
    assert large.status_code == 413
    wanted = packet(f"want {'1' * 40}\n".encode())
    body = packet(b"command=fetch") + b"0001" + wanted + packet(b"done\n") + FLUSH
    absent = speaking.post("/git-upload-pack", content=body, headers={"Git-Protocol": "version=2"})
    assert b"PACK" not in absent.content
    assert pusher.git("ls-remote", pusher.url()).out
