"""A tenant names many git hosts that take a connection and say nothing: what another project's host has is
fetched meanwhile, and that host is told of its runs.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from kumoi.base.clock import Clock
from kumoi.base.secret import Secret
from kumoi.config import CloudSettings
from kumoi.engine.db import Database
from kumoi.pipeline.commit_status import CommitStatuses
from kumoi.pipeline.fetch import Fetches
from kumoi.pipeline.guarded_http import Guard
from kumoi.pipeline.push_copies import PushCopies
from kumoi.pipeline.pushes import Pushes
from kumoi.pipeline.receive import Heads
from kumoi.pipeline.store import repository, run, webhook
from kumoi.pipeline.store.delegation import Delegation
from kumoi.pipeline.store.repository import Repository
from kumoi.pipeline.store.run import Run, RunStatus
from kumoi.pipeline.store.tables import metadata
from kumoi.pipeline.store.webhook import Delivery, Webhook
from tests.stories.pipeline.git_host import FakeGitHost

NETWORK = "127.0.0.0/8"
SILENT_HOSTS = 25  # More than a round looks at of one project.
EVERY_S = 0.05
WITHIN_S = 20.0  # A host may be silent for longer.


class NoRepositories:
    """Nothing was pushed yet."""


@pytest.fixture
def database(store_url: str, tmp_path: Path) -> Iterator[Database]:
    opened = Database(store_url, wake_dir=tmp_path / "wake")
    metadata.create_all(opened.engine)
    yield opened
    opened.close()


@pytest.fixture
def git_host(tmp_path: Path) -> Iterator[FakeGitHost]:
    host = FakeGitHost(tmp_path)
    yield host
    host.close()


@pytest.fixture
def silent_url() -> Iterator[str]:
    """Nobody takes what the kernel has accepted."""
    with socket.create_server(("127.0.0.1", 0), backlog=SILENT_HOSTS * 2) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/o/r.git"


@pytest.fixture
def hooks(database: Database, silent_url: str, git_host: FakeGitHost) -> None:
    """Those of the attacker wait for longer, each with a run to tell of."""
    for number in range(SILENT_HOSTS):
        add(database, f"a{number}", "attacker", silent_url, older_s=60.0 + number)
    add(database, "b", "other", git_host.repository("o"), older_s=0.0)


def add(database: Database, name: str, project_id: str, url: str, *, older_s: float) -> None:
    now = Clock().now() - timedelta(seconds=older_s)
    hook = Webhook(
        id=name, repository_id=name, project_id=project_id, host="gitea", url=url,
        api_url=url.removesuffix("/o.git"), secret=Secret("s"), token=Secret("t"),
        acting=Delegation("c", Secret("s"), is_own=True), user_name="u", created_at=now, refused={},
    )  # fmt: skip
    begun = Run(
        id=name, repository_id=name, project_id=project_id, branch="main", commit="c" * 40, sequence=1,
        status=RunStatus.RUNNING, stage="build", waits_for="", reason="", stages=[], created_at=now,
    )  # fmt: skip
    with database.write() as connection:
        repository.ensure(connection, Repository(name, project_id, "p", name, now))
        webhook.add(connection, hook)
        webhook.receive(connection, Delivery(name, "d1", "main", "c" * 40, now))
        run.add(connection, begun)


def until(round_: Callable[[], None], holds: Callable[[], object]) -> None:
    """With the rounds of a loop that is hinted at often."""
    end = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < end, "it waits for another project's host"
        round_()
        time.sleep(EVERY_S)


@pytest.mark.usefixtures("hooks")
def test_another_projects_host_is_asked_meanwhile(database: Database) -> None:
    nothing = NoRepositories()
    heads = Heads(CloudSettings(), nothing, database, Clock())  # type: ignore[arg-type]
    fetches = Fetches(
        nothing,  # type: ignore[arg-type]
        database,
        Clock(),
        heads,
        copies=PushCopies(database, nothing, "host1"),  # type: ignore[arg-type]
        pushing=Pushes(),
        guard=Guard.of([NETWORK]),
    )

    def outcome() -> str:
        with database.read() as connection:
            (told,) = webhook.deliveries(connection, "b")
        return told.outcome

    until(fetches.round, outcome)
    assert outcome() == "the host lists no branch at all; ours are left as they are"


@pytest.mark.usefixtures("hooks")
def test_another_projects_host_is_told_meanwhile(database: Database, git_host: FakeGitHost) -> None:
    statuses = CommitStatuses(database, Clock(), Guard.of([NETWORK]), "https://cloud")
    until(statuses.round, lambda: git_host.statuses)
    assert git_host.statuses[0]["state"] == "pending"
