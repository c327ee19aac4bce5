"""Leases in a real etcd of three members: what hosts are told while it is away, and when it is back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.system.conftest import STATE_PARENT
from tests.system.live import eventually
from tests.system.slots import free_slot
from tests.system.store_members import StoreMembers

from kumoi.base.errors import Transient
from kumoi.cloud.agent.fence import Fence
from kumoi.cloud.agent.fence_state import STOP_AFTER_S, FenceFiles
from kumoi.hosts.cluster import leases
from kumoi.hosts.cluster.leases import LeaseRenewal, Leases, LeaseState

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

AWAY_S, BACK_S = 30.0, 60.0
HOST = "blade"


@pytest.fixture(scope="module")
def store() -> Iterator[StoreMembers]:
    with (
        free_slot() as slot,
        StoreMembers(f"klea{slot}", Path(STATE_PARENT), 72 + slot).running() as made,
    ):
        yield made


@pytest.fixture
def book(store: StoreMembers) -> Leases:
    opened = leases.open_book(store.cloud, store.hosts[0])
    assert opened is not None
    return opened


def renewed(book: Leases, state: LeaseState) -> LeaseRenewal | None:
    """The answer, once it is that one."""
    try:
        found = book.renew(HOST)
    except Transient:
        return None
    return found if found.state is state else None


@pytest.mark.parametrize("lost", [2, 3])
def test_a_host_keeps_its_servers_and_its_lease_while_etcd_is_lost(
    store: StoreMembers, book: Leases, tmp_path: Path, lost: int
) -> None:
    begun = book.renew(HOST)
    clock = 100.0
    killed: list[str] = []
    files = FenceFiles(tmp_path, "boot")
    files.write_groups({"a": "host.servers/a"})

    def kill(group: str) -> int:
        killed.append(group)
        return 1

    fence = Fence(
        files,
        lambda: (clock, None),
        now_s=lambda: clock,
        kill=kill,
    )
    fence.take(clock, (begun.state, begun.since))
    gone = store.hosts[-lost:]
    for host in gone:
        store.lose_host(host)
    for _ in range(3):  # For longer than a lease, by the fence's clock.
        told = eventually(
            lambda: renewed(book, LeaseState.LEADERLESS),
            within_s=AWAY_S,
            what="it is said that nobody leads",
        )
        clock += STOP_AFTER_S - 1
        fence.take(clock, (told.state, told.since))
        fence.look()
    with pytest.raises(Transient):
        book.look()  # So the healer does nothing.
    for host in gone:
        store.start_host(host)
    back = eventually(
        lambda: renewed(book, LeaseState.HELD), within_s=BACK_S, what="the lease is there"
    )
    fence.take(clock, (back.state, back.since))
    fence.look()
    assert back.since == begun.since
    assert fence.state.has_lease
    assert not killed


def test_a_heal_and_a_lease_exclude_each_other(book: Leases) -> None:
    book.renew(HOST)
    assert not book.begin_heal(HOST, "healer")
    assert book.begin_heal("gone", "healer")
    assert book.renew("gone").state is LeaseState.HEALING
    assert book.look().healing == {"gone": "healer"}
    book.end_heal("gone")
    assert book.renew("gone").state is LeaseState.HELD
