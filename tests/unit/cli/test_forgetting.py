"""`kumoi cluster forget` where it refuses, and what it leaves in the store of a host that never comes back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from kumoi import config, members
from kumoi.base.errors import Conflict, NotFound
from kumoi.cli import forgetting
from kumoi.cloud.domain.host import enrolment
from kumoi.cloud.domain.host import host as domain
from kumoi.cloud.hostapi.hello import HostHello
from kumoi.cloud.store.host import host as host_store
from kumoi.cloud.store.schema import metadata
from kumoi.config import CloudSettings, HostSettings
from kumoi.control_host import ControlHost
from kumoi.engine.db import Database, now
from kumoi.engine.schema import audit as audit_rows

CLOUD = CloudSettings(name="t1")
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
    listed = tuple(ControlHost(f"t1-host{n}", f"172.24.5.{n}") for n in (1, 2, 3))
    cloud = config.changed(CLOUD, underlay_cidr="172.24.5.0/28", control_hosts=listed)
    with pytest.raises(NotFound, match="none of the other control hosts"):
        forgetting.replace(cloud, here, "t1-host4", str(tmp_path / "new"))
    second = config.changed(here, name="t1-host2")
    with pytest.raises(Conflict, match="on the cloud's first host"):
        forgetting.replace(cloud, second, "t1-host3", str(tmp_path / "new"))


def test_who_reads_that_a_place_is_empty_reads_where_it_is_filled() -> None:
    listed = tuple(ControlHost(f"t1-host{n}", f"172.24.5.{n}") for n in (1, 2, 3))
    cloud = config.changed(CLOUD, underlay_cidr="172.24.5.0/28", control_hosts=listed)
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
