"""`kumoi cluster`: what it refuses before it stops anything."""

from __future__ import annotations

import argparse
from datetime import timedelta

import pytest

from kumoi import config
from kumoi.base.errors import Conflict, Invalid
from kumoi.cli import choice, cluster, joining
from kumoi.config import CloudSettings, HostSettings
from kumoi.control_host import ControlHost
from kumoi.hosts.units import keeper

CLOUD = CloudSettings(name="t1")
HOST = HostSettings(name="t1-host2", roles=("agent",))


class Stopped(Exception):
    """What would have been the first change."""


@pytest.fixture(autouse=True)
def no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise Stopped

    monkeypatch.setattr(keeper, "stop_roles", stop)
    monkeypatch.setattr(choice, "alone", stop)


def leave(monkeypatch: pytest.MonkeyPatch, cloud: CloudSettings, host: HostSettings) -> None:
    monkeypatch.setattr(choice, "existing", lambda _args: (cloud, host))
    cluster.leave(argparse.Namespace(force=True))


def test_a_host_with_a_member_of_the_stores_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = tuple(ControlHost(f"t1-host{n}", f"172.24.5.{n}") for n in (1, 2, 3))
    cloud = config.changed(CLOUD, control_hosts=listed)
    with pytest.raises(Conflict, match="t1-host2 has a member of the cloud's stores"):
        leave(monkeypatch, cloud, HOST)
    with pytest.raises(Stopped):
        leave(monkeypatch, cloud, config.changed(HOST, name="t1-host4"))


def test_the_host_with_the_control_plane_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Conflict, match="`down --purge` ends the whole cloud"):
        leave(monkeypatch, CLOUD, config.changed(HOST, roles=("api", "agent")))


def test_no_host_has_a_name_that_a_namespace_of_anothers_has() -> None:
    cloud = config.changed(CLOUD, southbound_url="ssl:172.24.5.1:6642")
    first = config.changed(HOST, name="t1-host1", roles=("api",))
    with pytest.raises(Invalid, match="no host's name"):
        joining.make_token(cloud, first, "t1-host2-control", timedelta(minutes=1))
