"""What an operator's `upgrade finalize` says to hosts of an older release."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import httpx
import pytest

import kumoi
from kumoi.base.errors import Conflict, Permanent
from kumoi.cloud.domain.host import cluster_version as domain
from kumoi.cloud.hostapi.hello import PATH, PROTOCOL
from kumoi.cloud.store.host import cluster_version as store
from kumoi.engine.db import now
from tests.plain_http import PLAIN
from tests.running_cloud import HOST_HEADER, RunningCloud

OLDER = "0.0.9"


def says_hello(cloud: RunningCloud, release: str) -> httpx.Response:
    host = cloud.host
    words = {"hostname": host.name, "drivers": ["lxc"], "release": release, "protocol": PROTOCOL}
    words |= {"vcpus": 64, "ram_mib": 262_144, "disk_gib": 10_000}
    who = {HOST_HEADER: host.name}
    return httpx.put(f"{host.url}{PATH}/hello", json=words, headers=who, verify=PLAIN)


def hears(cloud: RunningCloud) -> int:
    who = {HOST_HEADER: cloud.host.name}
    return httpx.get(f"{cloud.host.url}{PATH}/wanted", headers=who, verify=PLAIN).status_code


def finalize(cloud: RunningCloud) -> str:
    with cloud.database.write() as connection:
        return domain.finalize(connection, now(connection))


@contextlib.contextmanager
def put_back(cloud: RunningCloud) -> Iterator[None]:
    """The host is of this release again, and nothing is finalized."""
    try:
        yield
    finally:
        with cloud.database.write() as connection:
            connection.execute(store.cluster_version.delete())
        assert says_hello(cloud, kumoi.__version__).status_code == 200


def test_a_host_of_the_release_before_acts_until_the_upgrade_is_finalized(
    cloud: RunningCloud,
) -> None:
    with put_back(cloud):
        assert says_hello(cloud, OLDER).status_code == 200
        assert hears(cloud) == 200
        with pytest.raises(Conflict, match=rf"{cloud.host.name} \({OLDER}\).*Upgrade them first"):
            finalize(cloud)
        assert hears(cloud) == 200

        assert says_hello(cloud, kumoi.__version__).status_code == 200
        assert finalize(cloud) == kumoi.__version__
        late = says_hello(cloud, OLDER)
        assert late.status_code == 409
        words = f"the cloud was finalized at {kumoi.__version__}: install release"
        assert words in late.json()["error"]["message"]
        assert hears(cloud) == 409


def test_a_cloud_that_was_finalized_at_a_newer_release_is_not_taken_below_it(
    cloud: RunningCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    with put_back(cloud):
        finalize(cloud)
        with monkeypatch.context() as older:
            older.setattr(kumoi, "__version__", "0.0.1")
            with pytest.raises(Conflict, match=r"and this is 0\.0\.1"):
                finalize(cloud)
        with cloud.database.read() as connection:
            assert domain.release(connection) == kumoi.__version__


def test_roles_of_a_control_host_that_was_off_do_not_act_below_what_was_finalized(
    cloud: RunningCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    with put_back(cloud):
        finalize(cloud)
        with cloud.database.read() as connection:
            domain.require(connection)
            monkeypatch.setattr(kumoi, "__version__", "0.0.1")
            with pytest.raises(Permanent, match=r"this is 0\.0\.1: sudo \./kumoi up here"):
                domain.require(connection)
            monkeypatch.undo()
