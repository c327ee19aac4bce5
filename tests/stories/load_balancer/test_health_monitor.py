"""Health monitors: how the members of a pool are probed, and what follows from it."""

from __future__ import annotations

from typing import Any

import pytest
from openstack import exceptions
from openstack.connection import Connection

from kumoi.cloud.reconcilers.load_balancer import StationReconciler
from tests.running_cloud import RunningCloud
from tests.stories.load_balancer.conftest import Raw, Worker
from tests.stories.load_balancer.hosting import report, serving, told

TCP = {"type": "TCP", "delay": 2, "timeout": 1, "max_retries": 1}


@pytest.fixture
def pool(demo: Connection, balancer: Any) -> Any:
    listener = demo.load_balancer.create_listener(
        load_balancer_id=balancer.id, protocol="TCP", protocol_port=80
    )
    return demo.load_balancer.create_pool(
        listener_id=listener.id, protocol="TCP", lb_algorithm="ROUND_ROBIN"
    )


def test_one_is_made_changed_and_deleted(demo: Connection, pool: Any) -> None:
    balancing = demo.load_balancer
    made = balancing.create_health_monitor(
        pool_id=pool.id, name="web", tags=["a"], **(TCP | {"type": "HTTP"})
    )
    assert (made.http_method, made.url_path, made.expected_codes) == ("GET", "/", "200")
    assert (made.max_retries_down, made.pools, made.tags) == (3, [{"id": pool.id}], ["a"])
    changed = balancing.update_health_monitor(
        made.id, url_path="/alive", expected_codes="200, 204", delay=9, http_method=None
    )
    assert (changed.url_path, changed.expected_codes, changed.delay) == ("/alive", "200,204", 9)
    assert balancing.get_pool(pool.id).health_monitor_id == made.id
    assert balancing.get_health_monitor(made.id).url_path == "/alive"
    assert [one.id for one in balancing.health_monitors(type="HTTP")] == [made.id]
    balancing.delete_health_monitor(made.id, ignore_missing=False)
    assert balancing.get_pool(pool.id).health_monitor_id is None


@pytest.mark.parametrize("name", ["delay", "timeout", "max_retries"])
def test_what_a_monitor_cannot_be_without_is_not_taken_away(
    demo: Connection, pool: Any, name: str
) -> None:
    made = demo.load_balancer.create_health_monitor(pool_id=pool.id, **TCP)
    path = f"/lbaas/healthmonitors/{made.id}"
    answer = demo.load_balancer.put(path, json={"healthmonitor": {name: None}})
    assert answer.status_code == 400
    assert answer.json()["faultstring"] == f"None is not a valid option for {name}"


def test_a_pool_has_one_at_most(demo: Connection, pool: Any) -> None:
    demo.load_balancer.create_health_monitor(pool_id=pool.id, **TCP)
    with pytest.raises(exceptions.ConflictException):
        demo.load_balancer.create_health_monitor(pool_id=pool.id, **TCP)


def test_what_does_not_fit_is_refused_in_words(
    demo: Connection, balancer: Any, pool: Any, raw: Raw
) -> None:
    datagrams = demo.load_balancer.create_pool(
        loadbalancer_id=balancer.id, protocol="UDP", lb_algorithm="ROUND_ROBIN"
    )
    for pool_id, said, status in (
        (pool.id, {"type": "PIGEON"}, 400),
        (pool.id, {"type": "UDP-CONNECT"}, 400),
        (pool.id, {"type": "SCTP"}, 501),
        (pool.id, {"url_path": "/"}, 400),
        (pool.id, {"type": "HTTP", "url_path": "no slash"}, 400),
        (pool.id, {"type": "HTTP", "expected_codes": "many"}, 400),
        (pool.id, {"type": "HTTP", "domain_name": "a.test"}, 400),
        (pool.id, {"max_retries": 11}, 400),
        (pool.id, {"delay": 0}, 400),
        (datagrams.id, {"type": "PING"}, 400),
        (datagrams.id, {"type": "SCTP"}, 501),
        ("none", {}, 404),
    ):
        wanted = {"healthmonitor": TCP | {"pool_id": pool_id} | said}
        status_now, message = raw.fault("POST", "lbaas/healthmonitors", wanted)
        assert status_now == status, (said, message)


def test_hosts_are_told_to_probe_and_say_who_gets_connections(
    cloud: RunningCloud, demo: Connection, balancer: Any, pool: Any, worker: Worker
) -> None:
    """Nobody before the first good probe, and none that fails; a flapping member plans little."""
    host = serving(cloud)
    balancing = demo.load_balancer
    members = [
        balancing.create_member(pool, address=f"10.0.0.{last}", protocol_port=1)
        for last in (11, 12)
    ]
    (listener,) = balancing.listeners()
    assert worker.backends(listener.id) == ["10.0.0.11:1", "10.0.0.12:1"]
    balancing.create_health_monitor(pool_id=pool.id, **TCP)
    placing = StationReconciler(cloud.database)
    placing.round()
    assert worker.backends(listener.id) == []
    assert len(worker.balancer(balancer.id).stations) == 1
    (thing,) = told(host, balancer.id)
    assert [one.address for one in thing.pools[0].members] == ["10.0.0.11", "10.0.0.12"]
    report(host, thing, {members[0].id: "ONLINE"})
    assert worker.backends(listener.id) == ["10.0.0.11:1"]
    assert balancing.get_member(members[1], pool).operating_status == "OFFLINE"
    compared = worker.northbound.compared
    report(host, thing, {members[0].id: "ERROR", members[1].id: "ONLINE"})
    assert worker.backends(listener.id) == ["10.0.0.12:1"]
    assert worker.northbound.compared == compared
    assert balancing.get_load_balancer(balancer.id).operating_status == "DEGRADED"
    assert balancing.get_load_balancer(balancer.id).provisioning_status == "ACTIVE"


def test_a_station_goes_with_the_last_monitor(
    cloud: RunningCloud, demo: Connection, balancer: Any, pool: Any, worker: Worker
) -> None:
    host = serving(cloud)
    placing = StationReconciler(cloud.database)
    monitor = demo.load_balancer.create_health_monitor(pool_id=pool.id, **TCP)
    placing.round()
    assert told(host, balancer.id)
    demo.load_balancer.delete_health_monitor(monitor.id)
    placing.round()
    assert not told(host, balancer.id)
    worker.round()
    assert worker.balancer(balancer.id).stations == ()


def test_anothers_is_forbidden(demo: Connection, other: Connection, pool: Any) -> None:
    made = demo.load_balancer.create_health_monitor(pool_id=pool.id, **TCP)
    with pytest.raises(exceptions.ForbiddenException):
        other.load_balancer.get_health_monitor(made.id)
