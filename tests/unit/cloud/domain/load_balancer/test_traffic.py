from __future__ import annotations

from dataclasses import replace

from kumoi.cloud.domain.load_balancer.traffic import STICKY_S, receiving, sticky_s
from kumoi.cloud.store.load_balancer.member import PoolMember
from tests.unit.cloud.domain.load_balancer.balancer_samples import (
    MONITOR,
    POOL,
    member,
    tree,
)


def names(members: list[PoolMember]) -> list[str]:
    return [one.id for one in members]


def test_whoever_is_off_or_draining_gets_nothing() -> None:
    of = tree(member("on"), member("off", admin_state_up=False), member("draining", weight=0))
    assert names(receiving(of, POOL)) == ["on"]
    assert receiving(of, replace(POOL, admin_state_up=False)) == []


def test_backups_get_something_when_nobody_else_can() -> None:
    backup = member("backup", backup=True)
    assert names(receiving(tree(member("first"), backup), POOL)) == ["first"]
    assert names(receiving(tree(member("first", weight=0), backup), POOL)) == ["backup"]


def test_one_that_is_watched_gets_something_after_its_first_good_probe() -> None:
    members = (member("good", health="ONLINE"), member("bad", health="ERROR"), member("new"))
    assert names(receiving(tree(*members, monitor=MONITOR), POOL)) == ["good"]
    assert names(receiving(tree(*members), POOL)) == ["good", "bad", "new"]


def test_a_client_stays_for_as_long_as_is_said() -> None:
    def persistence(**said: object) -> int | None:
        return sticky_s(replace(POOL, session_persistence=dict(said) or None))

    assert persistence() is None
    assert persistence(type="SOURCE_IP") == STICKY_S
    assert persistence(type="SOURCE_IP", persistence_timeout=5) == 5
    assert persistence(type="HTTP_COOKIE") is None
