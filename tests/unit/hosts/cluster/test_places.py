"""When a control host's place may be given up: the others must be whole, and know who would lead next."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kumoi.base.errors import Conflict
from kumoi.config import CloudSettings, HostSettings
from kumoi.control_host import ControlHost
from kumoi.hosts.cluster import databases, leases, places, succession
from kumoi.hosts.cluster.databases import Members
from kumoi.hosts.cluster.succession import Succession

NAMES = ("a", "b", "c")
LISTED = tuple(ControlHost(name, f"172.24.5.{n}") for n, name in enumerate(NAMES, 1))
CLOUD = CloudSettings(control_hosts=LISTED)
LOST = LISTED[2]


class AllAnswer:
    """Of etcd, all members."""

    def answering(self) -> dict[str, bool]:
        return {f"{host.address}:2379": True for host in LISTED}


@pytest.fixture(autouse=True)
def members_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "open_etcd", lambda *_: AllAnswer())
    monkeypatch.setattr(databases, "look", lambda *_: Members("a", ("b",)))
    monkeypatch.setattr(places, "POLL_S", 0.0)


def looks(monkeypatch: pytest.MonkeyPatch, *successors: tuple[str, ...]) -> Iterator[Succession]:
    """One look after the other; the last one stays."""
    found = iter([Succession("a", ("b",), each, ()) for each in successors])
    last = Succession("a", ("b",), successors[-1], ())
    monkeypatch.setattr(succession, "look", lambda *_: next(found, last))
    return found


def test_a_successor_that_patroni_names_a_little_later_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    left = looks(monkeypatch, (), (), ("b",))
    places.require_others(CLOUD, HostSettings(name="a"), LOST)
    assert list(left) == []


def test_a_follower_that_nobody_would_let_lead_is_no_other_that_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(places, "NAMED_WITHIN_S", 0.0)
    looks(monkeypatch, ())
    with pytest.raises(Conflict, match="Patroni has not written to etcd that b may take over"):
        places.require_others(CLOUD, HostSettings(name="a"), LOST)
