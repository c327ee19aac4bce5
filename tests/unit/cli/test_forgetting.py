"""`kumoi cluster forget` where it refuses, and what it leaves in the store of a host that never comes back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from kumoi import config, members
from kumoi.base import files
from kumoi.base.clock import Clock
from kumoi.base.errors import Conflict, NotFound
from kumoi.cli import copies, forgetting, up
from kumoi.cloud.domain.host import enrolment
from kumoi.cloud.domain.host import host as domain
from kumoi.cloud.hostapi.hello import HostHello
from kumoi.cloud.store.host import host as host_store
from kumoi.cloud.store.schema import metadata
from kumoi.cloud.store.seal import Seal
from kumoi.config import CloudSettings, HostSettings
from kumoi.control_host import ControlHost
from kumoi.engine.db import Database, now
from kumoi.engine.schema import audit as audit_rows
from kumoi.hosts.cluster import places
from kumoi.hosts.first_use import engines_pki, passwords, pki, sharing

CLOUD = CloudSettings(name="t1")
LISTED = tuple(ControlHost(f"t1-host{n}", f"172.24.5.{n}") for n in (1, 2, 3))
REPLICATED = config.changed(CLOUD, underlay_cidr="172.24.5.0/28", control_hosts=LISTED)
LOST = "t1-host2"
HELLO = HostHello(release="0", hostname="h", drivers=[], vcpus=1, ram_mib=1, disk_gib=1)


@pytest.fixture
def here(tmp_path: Path) -> HostSettings:
    """With the store in a file, and no networks."""
    made = HostSettings(name="t1-host1", state_dir=str(tmp_path), roles=("api", "worker"))
    made.store_dir.mkdir()
    return made


@pytest.fixture
def database(here: HostSettings) -> Iterator[Database]:
    """The lost host has been silent for long enough."""
    opened = Database(members.cloud_database(CLOUD, here), wake_dir=here.wake_dir)
    metadata.create_all(opened.engine)
    with closing(opened), opened.write() as connection:
        domain.register(connection, LOST, HELLO, now(connection))
        enrolment.enrol(connection, LOST, "0" * 64)
        host_store.update(connection, LOST, state=host_store.DOWN)
    with closing(opened):
        yield opened


def known(database: Database) -> list[str]:
    with database.read() as connection:
        return [*enrolment.names(connection), *(each.id for each in domain.every(connection))]


def test_its_key_and_its_row_go_and_a_record_says_who_did_it(
    here: HostSettings, database: Database
) -> None:
    forgetting.forget(CLOUD, here, LOST, forced=False)
    assert known(database) == []
    with database.read() as connection:
        rows = connection.execute(
            sa.select(audit_rows.c.action, audit_rows.c.target_id, audit_rows.c.initiator_id)
        ).all()
    assert [tuple(row) for row in rows] == [("delete", LOST, here.name)]


def test_one_that_is_heard_of_stays(here: HostSettings, database: Database) -> None:
    with database.write() as connection:
        domain.register(connection, LOST, HELLO, now(connection) + timedelta(seconds=1))
    with pytest.raises(Conflict, match="was heard of"):
        forgetting.forget(CLOUD, here, LOST, forced=True)
    assert known(database) == [LOST, LOST]


def test_one_with_servers_stays_unless_they_are_to_be_lost(
    here: HostSettings, database: Database
) -> None:
    with database.write() as connection:
        host_store.update(connection, LOST, servers_claimed=2)
    with pytest.raises(Conflict, match="2 servers"):
        forgetting.forget(CLOUD, here, LOST, forced=False)
    assert known(database) == [LOST, LOST]
    forgetting.forget(CLOUD, here, LOST, forced=True)
    assert known(database) == [LOST]  # The row, with the servers that are lost.


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [("t1-host1", Conflict, "is this host"), ("t1-host9", NotFound, "no host t1-host9")],
)
def test_neither_the_own_host_nor_one_that_is_none(
    here: HostSettings, name: str, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        forgetting.forget(CLOUD, here, name, forced=False)


def test_only_a_control_host_is_made_anew_and_its_links_are_on_the_first_ones_machine(
    here: HostSettings, tmp_path: Path
) -> None:
    with pytest.raises(NotFound, match="none of the other control hosts"):
        forgetting.replace(REPLICATED, here, "t1-host4", str(tmp_path / "new"))
    second = config.changed(here, name="t1-host2")
    with pytest.raises(Conflict, match="on the cloud's first host"):
        forgetting.replace(REPLICATED, second, "t1-host3", str(tmp_path / "new"))


def test_who_reads_that_a_place_is_empty_reads_where_it_is_filled() -> None:
    cloud = REPLICATED
    first, second = (HostSettings(name=f"t1-host{n}", state_dir=f"/var/lib/{n}") for n in (1, 2))
    assert "replace t1-host3 --name t1 --state-dir /var/lib/1." in forgetting.words(
        cloud, first, "t1-host3"
    )
    assert "replace t1-host3 on the cloud's first host" in forgetting.words(
        cloud, second, "t1-host3"
    )
    assert "replace t1-host1 --name t1 --state-dir /var/lib/2." in forgetting.words(
        cloud, second, "t1-host1"
    )


@pytest.mark.parametrize(
    ("changes", "members_are", "is_begun"),
    [
        ({}, "none", True),
        ({}, "here and known", True),
        ({}, "here", False),  # It was whole, and was forgotten since.
        ({"joins_stores": False}, "none", False),  # A host that nobody lost.
        ({"name": "t1-host3"}, "none", False),
    ],
)
def test_a_directory_is_one_that_was_begun_or_a_host(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, str | bool],
    members_are: str,
    is_begun: bool,
) -> None:
    here = HostSettings(name="t1-host1", state_dir=str(tmp_path))
    other = HostSettings(name=LOST, state_dir=str(tmp_path / "new"), joins_stores=True)
    other.state.mkdir()
    config.write(REPLICATED, other.state)
    config.write(config.changed(other, **changes), other.state)
    if members_are != "none":
        members.etcd_dir(other).mkdir()
    monkeypatch.setattr(places, "is_taken", lambda *_: members_are == "here and known")
    assert forgetting._is_begun(REPLICATED, here, other, LISTED[1]) is is_begun


def test_a_directory_of_another_cloud_was_not_begun(here: HostSettings, tmp_path: Path) -> None:
    other = HostSettings(name=LOST, state_dir=str(tmp_path / "new"), joins_stores=True)
    other.state.mkdir()
    config.write(config.changed(REPLICATED, name="t2"), other.state)
    config.write(other, other.state)
    assert not forgetting._is_begun(REPLICATED, here, other, LISTED[1])


class Killed(BaseException):
    pass


@pytest.fixture
def second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HostSettings:
    """Who makes the first host anew: it has what control hosts share. Its engines are played."""
    first, made = (
        HostSettings(name=f"t1-host{n}", state_dir=str(tmp_path / str(n))) for n in (1, 2)
    )
    for host in (first, made):
        host.state.mkdir()
    pki.ensure(REPLICATED, first, Clock().now())
    passwords.ensure(first)
    Seal(members.seal_file(first)).ensure()
    sharing.give(REPLICATED, first, [made], Clock().now())
    monkeypatch.setattr(places, "require_others", lambda *_: None)
    monkeypatch.setattr(places, "require_lost", lambda *_: None)
    monkeypatch.setattr(places, "take", lambda *_: None)
    monkeypatch.setattr(copies, "wait", lambda *_: None)
    return made


def shared(host: HostSettings) -> list[bytes]:
    paths = [members.seal_file(host), *(passwords.file_of(host, user) for user in passwords.USERS)]
    paths += [host.pki_dir / f"{name}.key" for name in engines_pki.SHARED_AUTHORITIES]
    return [path.read_bytes() for path in paths]


@pytest.mark.parametrize("writes", range(9))
def test_a_first_host_whose_making_was_cut_off_gets_what_the_others_have(
    second: HostSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    """At whichever of the files. It would make a seal of its own else, and give that to the others."""
    left = iter([*range(writes)])
    replaced = files.replace

    def replace(*args: object, **words: object) -> None:
        if next(left, None) is None:
            raise Killed
        replaced(*args, **words)  # type: ignore[arg-type]

    new = tmp_path / "new"
    brought = []
    monkeypatch.setattr(up, "bring_up", lambda args, _progress: brought.append(args.state_dir))
    with monkeypatch.context() as cut:
        cut.setattr(files, "replace", replace)
        with pytest.raises(Killed):
            forgetting.replace(REPLICATED, second, "t1-host1", str(new))
    assert brought == []
    forgetting.replace(REPLICATED, second, "t1-host1", str(new))
    assert brought == [str(new)]
    made = config.read(HostSettings, new).settings
    assert shared(made) == shared(second)
    assert (made.joins_stores, made.shares_machine) == (True, False)


def test_a_host_that_lives_is_not_made_anew_elsewhere(
    second: HostSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lives(*_: object) -> None:
        raise Conflict("t1-host1 is not lost, its members of the stores answer")

    monkeypatch.setattr(places, "require_lost", lives)
    with pytest.raises(Conflict, match="is not lost"):
        forgetting.replace(REPLICATED, second, "t1-host1", str(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (1, r"is a host; where that is what is left of t1-host1: sudo mv (\S+) \1\.lost$"),
        (3, r"is a host: sudo \./kumoi down --purge --name t1 --state-dir \S+$"),
    ],
)
def test_what_is_left_of_a_first_host_is_moved_away_since_its_purge_is_of_all_hosts(
    second: HostSettings, tmp_path: Path, number: int, words: str
) -> None:
    by = second if number == 1 else HostSettings(name="t1-host1", state_dir=str(tmp_path / "1"))
    left = HostSettings(name=f"t1-host{number}", state_dir=str(tmp_path / "left"))
    left.state.mkdir()
    config.write(REPLICATED, left.state)
    config.write(left, left.state)
    with pytest.raises(Conflict, match=words):
        forgetting.replace(REPLICATED, by, left.name, left.state_dir)
