"""The table of processes on the control hosts of one cloud."""

from __future__ import annotations

from pathlib import Path

import pytest

from kumoi.config import CloudSettings, HostSettings, changed
from kumoi.control_host import ControlHost
from kumoi.hosts.units import table
from kumoi.hosts.units.releases import Release

LISTED = tuple(ControlHost(f"t1-host{n}", f"10.0.5.{n}") for n in (1, 13, 14))
CLOUD = CloudSettings(
    name="t1",
    public_cidr="10.0.4.0/24",
    underlay_cidr="10.0.5.0/28",
    southbound_url="ssl:10.0.5.1:6642",
    control_hosts=LISTED,
)
FIRST = HostSettings(name="t1-host1", state_dir="/s", underlay_address="10.0.5.2")
SECOND = HostSettings(
    name="t1-host13",
    state_dir="/s-2",
    underlay_address="10.0.5.3",
    roles=("api", "worker", "agent"),
    shares_machine=True,
)


def roles(host: HostSettings, cloud: CloudSettings = CLOUD) -> dict[str, table.Unit]:
    release = Release("1", Path(f"{host.state_dir}/releases/1/bin/python"))
    return {unit.name: unit for unit in table.roles(cloud, host, release, version="v")}


def test_the_first_answers_at_the_public_address_and_each_at_its_own() -> None:
    own = ("tcp:10.0.5.1:5000", "tcp:10.0.5.1:5001")
    assert roles(FIRST)["api"].sockets == ("tcp:10.0.4.1:5000", *own)
    assert roles(SECOND)["api"].sockets == ("tcp:10.0.5.13:5000", "tcp:10.0.5.13:5001")


def test_the_authority_is_on_the_first_alone_and_others_have_what_their_api_asks() -> None:
    assert {"authority", "inspector", "worker", "pipeline"} < set(roles(FIRST))
    assert set(roles(SECOND)) == {
        "api", "inspector", "worker", "agent", "fence", "repositories", "copies",
    }  # fmt: skip


def test_a_shared_address_is_listened_at_by_all_and_held_by_keepalived() -> None:
    shared = changed(CLOUD, shared_address="10.0.5.9")
    for host, inside in ((FIRST, None), (SECOND, "t1-host13-control")):
        names = [unit.name for unit in table.engines(shared, host)]
        assert names[-1] == "keepalived"
        assert "keepalived" not in [unit.name for unit in table.engines(CLOUD, host)]
        assert {"health", *roles(host)} == set(roles(host, shared))
        assert "tcp:10.0.5.9:5000" in roles(host, shared)["api"].sockets
        assert "tcp:10.0.5.9:5001" not in roles(host, shared)["api"].sockets
        assert roles(host, shared)["health"].namespace == inside
        assert table.engines(shared, host)[-1].namespace == inside
    assert "tcp:10.0.5.9:5002" in roles(FIRST, shared)["pipeline"].sockets
    joined = HostSettings(name="t1-host4", state_dir="/s-4", roles=("agent",))
    assert "keepalived" not in [unit.name for unit in table.engines(shared, joined)]


def test_keepalived_starts_anew_when_the_address_or_the_members_change_and_for_no_release() -> None:
    def digest(cloud: CloudSettings) -> str:
        return table.engines(cloud, FIRST)[-1].digest

    shared = changed(CLOUD, shared_address="10.0.5.9")
    assert digest(changed(shared, token_ttl_s=60)) == digest(shared)
    assert digest(changed(shared, shared_address="10.0.5.8")) != digest(shared)
    assert digest(changed(shared, control_hosts=(*LISTED, *LISTED[:2]))) != digest(shared)


@pytest.mark.parametrize("name", ["api", "worker"])
def test_beside_the_first_host_they_are_in_the_control_planes_network(name: str) -> None:
    assert roles(FIRST)[name].namespace is None
    assert roles(SECOND)[name].namespace == "t1-host13-control"
    apart = changed(SECOND, shares_machine=False)
    assert roles(apart)[name].namespace is None
