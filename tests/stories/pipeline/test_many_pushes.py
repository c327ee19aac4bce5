"""More pushes at once, to one repository, than the pipeline has threads: who looks at a log meanwhile waits for none."""

from __future__ import annotations

import contextlib
import functools
import os
import ssl
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from openstack.connection import Connection
from tests.stories.pipeline.conftest import Pusher, RunningPipeline, until

from kumoi.pipeline.api.git import PUSH
from kumoi.pipeline.push_packets import FLUSH, packet

PUSHES = 50  # The library that runs handlers has 40 threads for all of them.
LOOKS = 10
HEADERS = {"Content-Type": f"application/x-{PUSH}-request"}  # Without it git does not ask the hook.
DELETION = f"{'1' * 40} {'0' * 40} refs/heads/x\0report-status delete-refs quiet"
UPDATE = packet(DELETION.encode()) + FLUSH  # It needs no objects, so git comes to its hook.


@pytest.fixture
def gate(pipeline: RunningPipeline) -> Iterator[Path]:
    """Each push waits in its hook, until the end of the test."""
    hook = pipeline.here.state / "git-hooks" / "pre-receive"
    as_it_was, place = hook.read_text(), hook.with_name("gate")
    os.mkfifo(place)
    hook.write_text(f"#!/bin/sh\nread line <'{place}'\nexit 1\n")
    yield place
    hook.write_text(as_it_was)
    opened = os.open(place, os.O_RDWR)
    os.write(opened, b"\n" * PUSHES)
    pipeline.repositories.kill()  # What it started has ended, or ends with it.
    os.close(opened)
    place.unlink()


def spooled(pipeline: RunningPipeline) -> int:
    """The bodies of git's requests that the pipeline has, and what git answers to them."""
    assert pipeline.process is not None
    count = 0
    for each in Path(f"/proc/{pipeline.process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            count += "git-spool" in str(each.readlink())
    return count


def test_who_looks_at_a_log_waits_for_no_push_of_another_project(
    pipeline: RunningPipeline, pusher: Pusher, other: Connection, gate: Path
) -> None:
    """They waited for 30 s, with 40 of them."""
    pushes: list[Future[httpx.Response]] = []
    threads = ThreadPoolExecutor(PUSHES)
    with (
        httpx.Client(
            base_url=pipeline.url(pusher.project),
            verify=ssl.create_default_context(cafile=pipeline.here.pki_dir / "ca.crt"),
            auth=(pusher.user, pusher.password),
            timeout=120,
            limits=httpx.Limits(max_connections=None),
        ) as git,
        pipeline.client(other) as client,
    ):
        git.get("info/refs", params={"service": PUSH}).raise_for_status()
        send = functools.partial(git.post, PUSH, content=UPDATE, headers=HEADERS)
        pushes += [threads.submit(send) for _ in range(PUSHES)]
        until(lambda: spooled(pipeline) >= PUSHES)
        for _ in range(LOOKS):  # By the last of them the pushes have what threads they get.
            assert client.get("/pipeline/v1/runs/none/log").status_code == 404
        assert [each.result() for each in pushes if each.done()] == []
        pipeline.kill()
    threads.shutdown(wait=False, cancel_futures=True)
    assert gate.is_fifo()
