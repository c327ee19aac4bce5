"""A new kind of thing is a line in each table: through the real host API, over TLS, its hub, and the
real agent, on a driver that only remembers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from openstack.connection import Connection

from kumoi.base.clock import Clock
from kumoi.cloud.agent import tending
from kumoi.cloud.agent.agent import Agent
from kumoi.cloud.agent.files import ThingFiles
from kumoi.cloud.agent.images import Images
from kumoi.cloud.agent.trust import TrustFile
from kumoi.cloud.domain.host import kinds
from kumoi.cloud.domain.host.thing import ThingKind
from kumoi.cloud.hostapi.client import HttpUpstream, tls_context
from kumoi.cloud.hostapi.hello import HostHello
from kumoi.cloud.hostapi.things import Thing
from kumoi.cloud.store.host import host as host_store
from tests.cluster import note_kind
from tests.cluster.note_kind import CONTROL_KIND, NOTE, NoteKind, NoteStatus
from tests.cluster.secure import SecureHostApi, secure_host_api
from tests.running_cloud import RunningCloud

FIRST, SECOND = (f"00000000-0000-4000-8000-00000000000{number}" for number in (1, 2))
BOUND_S = 60.0
PAUSE_S = 0.02
LOOKS_MAX = round(BOUND_S / PAUSE_S)


@pytest.fixture
def notes(cloud: RunningCloud, monkeypatch: pytest.MonkeyPatch) -> RunningCloud:
    monkeypatch.setattr(tending, "LOOK_AROUND_S", 0.05)
    note_kind.note.metadata.drop_all(cloud.database.engine)
    note_kind.note.metadata.create_all(cloud.database.engine)
    return cloud


@contextlib.asynccontextmanager
async def running_agent(api: SecureHostApi, directory: Path) -> AsyncIterator[NoteKind]:
    """Of a host that knows notes and no servers."""
    kind = NoteKind(directory / "notes")

    def hello(epoch: str, _ready: frozenset[str]) -> HostHello:
        return HostHello(
            release="0", epoch=epoch, hostname="h", drivers=[], vcpus=0, ram_mib=0, disk_gib=0
        )

    tls = tls_context(api.pki_dir, api.here.name)
    async with HttpUpstream([api.url], tls=tls) as upstream:
        images = Images(
            drivers={}, upstream=upstream, directory=directory / "images", clock=Clock()
        )
        agent = Agent(
            kinds=[kind],
            upstream=upstream,
            files=ThingFiles(directory / "wanted"),
            trust=TrustFile(directory / "control-plane.json"),
            images=images,
            hello=hello,
            clock=Clock(),
        )
        task = asyncio.create_task(agent.run())
        try:
            yield kind
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def until(level: Callable[[], object]) -> None:
    for _ in range(LOOKS_MAX):
        if await asyncio.to_thread(level):
            return
        await asyncio.sleep(PAUSE_S)
    raise AssertionError("it did not come about")


def want(cloud: RunningCloud, note_id: str, text: str | None) -> None:
    with cloud.database.write() as connection:
        note_kind.want(connection, cloud.here.name, note_id, text)


def known(cloud: RunningCloud, note_id: str) -> tuple[int | None, str | None] | None:
    """What the control plane knows of a note: its length and its fault."""
    with cloud.database.read() as connection:
        row = note_kind.row(connection, note_id)
    return None if row is None else (row.length, row.fault)


def test_a_second_kind_is_told_made_reported_and_removed(
    notes: RunningCloud, admin: Connection, tmp_path: Path
) -> None:
    async def story() -> None:
        async with secure_host_api(
            notes, {**kinds.kinds(notes.services.seal), NOTE: CONTROL_KIND}
        ) as api:
            api.enrol()
            want(notes, FIRST, "hello")
            async with running_agent(api, tmp_path) as host:
                await until(lambda: known(notes, FIRST) == (5, ""))
                assert host.list_all() == {FIRST: "hello"}
                want(notes, FIRST, "hello again")  # By the long poll.
                want(notes, SECOND, "x" * (note_kind.TOO_LONG + 1))
                await until(lambda: known(notes, FIRST) == (11, ""))
                await until(lambda: known(notes, SECOND) == (None, "the note is too long"))
                (host.directory / FIRST).unlink()  # The world drifts, and is put right.
                await until(lambda: host.list_all() == {FIRST: "hello again"})
                want(notes, FIRST, None)
                want(notes, SECOND, None)
                await until(lambda: known(notes, FIRST) is None)
                await until(lambda: known(notes, SECOND) is None)
                assert host.list_all() == {}
                await until(lambda: not ThingFiles(tmp_path / "wanted").load())

    asyncio.run(story())


def test_a_kind_that_the_host_does_not_know_harms_no_other(
    notes: RunningCloud, admin: Connection, tmp_path: Path
) -> None:
    """As from a control plane one release ahead."""
    later = "volume"

    async def story() -> None:
        async with secure_host_api(notes, {NOTE: CONTROL_KIND, later: _as_volume()}) as api:
            api.enrol()
            want(notes, FIRST, "hello")
            with notes.database.write() as connection:
                host_store.touch_thing(connection, api.here.name, later, SECOND)
            async with running_agent(api, tmp_path):
                await until(lambda: known(notes, FIRST) == (5, ""))
                await until(lambda: bool(FAULTS))

    FAULTS.clear()
    asyncio.run(story())
    assert "not understood by this host" in FAULTS[0]


FAULTS: list[str] = []


def _as_volume() -> ThingKind:
    thing = Thing(kind="volume", id=SECOND, generation=1)
    return ThingKind(
        "volume",
        lambda *_: [thing],
        lambda *_: [thing],
        lambda *_: True,
        lambda _connection, _host, report, _now: FAULTS.append(report.fault),
    )


def test_a_report_that_is_not_understood_harms_no_other(
    notes: RunningCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As from an agent that says more than the control plane knows of a note."""

    async def story() -> None:
        async with secure_host_api(notes, {NOTE: CONTROL_KIND}) as api:
            api.enrol()
            want(notes, SECOND, "odd")
            async with running_agent(api, tmp_path) as host:
                await until(lambda: SECOND in host.list_all())
                want(notes, FIRST, "hello")
                await until(lambda: known(notes, FIRST) == (5, ""))
            assert known(notes, SECOND) == (None, None)

    class OddStatus(NoteStatus, frozen=True, kw_only=True):
        length: int | str  # type: ignore[assignment]

    def status(_kind: NoteKind, seen: str | None) -> NoteStatus:
        return OddStatus(length="three") if seen == "odd" else NoteStatus(length=len(seen or ""))

    monkeypatch.setattr(NoteKind, "status", status)
    asyncio.run(story())
