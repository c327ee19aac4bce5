"""How a member of a cluster's store is to be: golden texts, which KUMOI_GOLDEN=write renews."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from kumoi import config, members
from kumoi.config import CloudSettings, HostSettings, first_host
from kumoi.control_host import ControlHost
from kumoi.engine import engines
from kumoi.hosts.cluster import patroni
from kumoi.hosts.units import rights, systemd, table, users
from kumoi.hosts.units.releases import Release

GOLDEN = Path(__file__).parent / "golden"
HOSTS = (
    ControlHost("t1-host1", "10.0.5.1"),
    ControlHost("t1-host2", "10.0.5.14"),
    ControlHost("t1-host3", "10.0.5.13"),
)
ALONE = CloudSettings(name="t1", public_cidr="10.0.4.0/24", underlay_cidr="10.0.5.0/28")
CLOUD = config.changed(ALONE, control_hosts=HOSTS)
FIRST = first_host(CLOUD, "/s")
SECOND = HostSettings(name="t1-host2", state_dir="/s-2", roles=())
RELEASE = Release("1", Path("/s/releases/1/bin/python"))


def units(cloud: CloudSettings, host: HostSettings) -> dict[str, table.Unit]:
    found = table.all_units(cloud, host, RELEASE, only_engines=False)
    return {unit.name: unit for unit in found}


def texts() -> dict[str, str]:
    etcd = "\n".join(members.etcd_command(CLOUD, SECOND))
    settings = patroni.settings(CLOUD, SECOND)
    found = {"etcd.txt": f"{etcd}\n", "patroni.json": f"{json.dumps(settings, indent=1)}\n"}
    wanted = list(units(CLOUD, SECOND).values())
    files = systemd.render(CLOUD, SECOND, RELEASE, wanted)
    for unit in wanted:
        text = files[systemd.service(CLOUD, SECOND, unit)]
        for each in wanted:  # It names those that it comes after.
            text = text.replace(each.digest, "DIGEST")
        found[f"{unit.name}.service"] = text
    return found


@pytest.mark.parametrize("name", sorted(texts()))
def test_a_member_is_as_it_was_reviewed(name: str) -> None:
    golden = GOLDEN / name
    if os.environ.get("KUMOI_GOLDEN") == "write":
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(texts()[name])
    assert texts()[name] == golden.read_text()


def test_a_cloud_of_one_host_has_no_member_and_keeps_its_files() -> None:
    assert not {members.ETCD, members.PATRONI} & set(units(ALONE, FIRST))
    assert not {members.ETCD, members.PATRONI} & set(users.units_here(ALONE, FIRST))
    assert members.cloud_database(ALONE, FIRST) == "sqlite:////s/cloud/cloud.db"
    assert members.pipeline_database(ALONE, FIRST) == "sqlite:////s/pipeline/pipeline.db"
    reads = rights.of_unit(ALONE, FIRST, "api").reads
    assert not [path for path in reads if "store-" in path]


def test_members_come_before_what_needs_the_store() -> None:
    names = list(units(CLOUD, FIRST))
    assert names[:2] == [members.ETCD, members.PATRONI]
    assert members.PATRONI in units(CLOUD, FIRST)["api"].needs
    of_each = [members.ETCD, members.PATRONI, users.REPOSITORIES, members.COPIES]
    assert list(units(CLOUD, SECOND)) == of_each


def test_nobody_copies_what_files_name_while_a_cloud_moves_to_its_members() -> None:
    """The members' stores name nothing yet: what is here would be removed."""
    moving = config.changed(CLOUD, database_url="sqlite:////s/cloud/cloud.db")
    assert members.COPIES not in units(moving, FIRST)
    assert members.COPIES in units(CLOUD, FIRST)


def test_a_store_is_looked_for_on_every_control_host_and_the_nearest_first() -> None:
    for host, first in ((FIRST, "10.0.5.1,"), (SECOND, "10.0.5.14,")):
        url = members.cloud_database(CLOUD, host)
        assert f"?host={first}" in url
        assert "target_session_attrs=read-write&sslmode=verify-full" in url
        assert url.startswith("postgresql+psycopg://cloud@/cloud?")


def test_a_store_that_somebody_put_elsewhere_stays_there() -> None:
    elsewhere = config.changed(CLOUD, database_url="postgresql+psycopg://db/kumoi")
    assert members.cloud_database(elsewhere, FIRST) == "postgresql+psycopg://db/kumoi"


def test_a_host_that_comes_instead_of_a_lost_one_joins_the_members_that_are_there() -> None:
    joins = config.changed(SECOND, joins_stores=True)
    (added,) = set(members.etcd_command(CLOUD, joins)) - set(members.etcd_command(CLOUD, SECOND))
    assert added == "--initial-cluster-state=existing"


def test_nobody_comes_to_the_database_without_a_certificate_of_its_own() -> None:
    settings = patroni.settings(CLOUD, FIRST)["postgresql"]
    for line in settings["pg_hba"]:
        kind, *_, method, who = line.split()
        assert (kind, method) in {("local", "peer"), ("hostssl", "cert")}
        assert who == f"map={patroni.MAP}"
    assert f"{patroni.MAP} store-pipeline pipeline" in settings["pg_ident"]
    assert not [line for line in settings["pg_ident"] if "store-pipeline postgres" in line]
    assert "password" not in json.dumps(patroni.settings(CLOUD, FIRST)).lower()


def test_there_are_connections_for_all_who_use_the_stores_of_three_hosts() -> None:
    of_a_host = ("api", "worker", "pipeline", "copies", "copies")
    most = len(HOSTS) * len(of_a_host) * 2 * engines.POOL_SIZE
    reserved = 3  # For superusers, as PostgreSQL has it.
    parameters = patroni.settings(CLOUD, SECOND)["bootstrap"]["dcs"]["postgresql"]["parameters"]
    assert most + reserved <= parameters["max_connections"]
