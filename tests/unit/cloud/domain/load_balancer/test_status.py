from __future__ import annotations

from dataclasses import replace

import pytest

from kumoi.cloud.domain.load_balancer import status
from tests.unit.cloud.domain.load_balancer.balancer_samples import (
    LISTENER,
    MONITOR,
    POOL,
    member,
    tree,
)


@pytest.mark.parametrize(
    ("applied", "balancer", "part"),
    [
        (0, "PENDING_CREATE", "PENDING_CREATE"),
        (1, "PENDING_UPDATE", "PENDING_CREATE"),
        (2, "PENDING_UPDATE", "PENDING_UPDATE"),
        (3, "PENDING_UPDATE", "ACTIVE"),
        (5, "ACTIVE", "ACTIVE"),
    ],
)
def test_what_the_network_has_not_is_pending(applied: int, balancer: str, part: str) -> None:
    """The balancer is at revision 5; the part was made at 2 and changed at 3."""
    of = tree(applied_revision=applied)
    assert (status.provisioning(of), status.provisioning(of, POOL)) == (balancer, part)


def test_what_is_not_there_yet_or_switched_off_is_offline() -> None:
    new = tree(applied_revision=0)
    assert status.of_balancer(new) == "OFFLINE"
    assert status.of_listener(new, LISTENER) == "OFFLINE"
    assert status.of_pool(new, POOL) == "OFFLINE"
    assert status.of_pool(tree(), replace(POOL, id="no listener's")) == "OFFLINE"
    assert status.of_balancer(tree(admin_state_up=False)) == "OFFLINE"
    assert status.of_monitor(tree(), replace(MONITOR, admin_state_up=False)) == "OFFLINE"
    assert status.of_monitor(tree(), MONITOR) == "ONLINE"
    assert status.of_member(tree(), member("a", admin_state_up=False)) == "OFFLINE"


def test_a_member_is_what_hosts_say_when_they_look() -> None:
    watched = tree(monitor=MONITOR)
    assert status.of_member(watched, member("a", health="ERROR")) == "ERROR"
    assert status.of_member(watched, member("a", health="ONLINE")) == "ONLINE"
    assert status.of_member(watched, member("a")) == "OFFLINE"  # Not looked at yet.
    assert status.of_member(watched, member("a", weight=0)) == "DRAINING"
    unwatched = tree(monitor=replace(MONITOR, admin_state_up=False))
    assert status.of_member(unwatched, member("a", health="ERROR")) == "NO_MONITOR"


def test_a_pool_and_its_balancer_are_as_bad_as_their_members() -> None:
    good, bad = member("good", health="ONLINE"), member("bad", health="ERROR")
    off = member("off", admin_state_up=False)
    for members, expected in (
        ((), "ONLINE"),
        ((good,), "ONLINE"),
        ((good, bad), "DEGRADED"),
        ((bad,), "ERROR"),
        ((bad, off), "ERROR"),
    ):
        of = tree(*members, monitor=MONITOR)
        assert (status.of_pool(of, POOL), status.of_balancer(of)) == (expected, expected)
