"""Listeners that a proxy serves: what hosts are told, and when connections go there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from openstack.connection import Connection

from kumoi.cloud.hostapi.load_balancer import ListenerCounters
from kumoi.cloud.reconcilers.load_balancer import StationReconciler
from kumoi.cloud.store.host import host as host_store
from kumoi.cloud.store.network import standard
from tests.running_cloud import RunningCloud
from tests.stories.load_balancer.conftest import Worker
from tests.stories.load_balancer.hosting import report, serving, told


def test_connections_go_to_the_station_once_it_serves_the_listener(
    cloud: RunningCloud, demo: Connection, balancer: Any, worker: Worker
) -> None:
    host, balancing = serving(cloud), demo.load_balancer
    listener = balancing.create_listener(
        load_balancer_id=balancer.id, protocol="HTTP", protocol_port=80, connection_limit=9
    )
    pool = balancing.create_pool(
        listener_id=listener.id, protocol="HTTP", lb_algorithm="LEAST_CONNECTIONS"
    )
    balancing.create_member(pool, address="10.0.0.11", protocol_port=8080)
    StationReconciler(cloud.database).round()
    assert worker.backends(listener.id) == []
    assert balancing.get_listener(listener.id).provisioning_status == "PENDING_CREATE"
    (thing,) = told(host, balancer.id)
    (served,) = thing.listeners
    assert (served.protocol, served.port, served.connection_limit) == ("HTTP", 80, 9)
    assert [one.address for one in thing.pools[0].members] == ["10.0.0.11"]
    report(host, thing, {})
    assert worker.backends(listener.id) == [f"{balancer.vip_address}:{served.station_port}"]
    worker.round()
    assert balancing.get_load_balancer(balancer.id).provisioning_status == "ACTIVE"


def test_a_member_of_the_other_ip_version_gets_no_connections(
    cloud: RunningCloud, demo: Connection, balancer: Any, worker: Worker
) -> None:
    host, balancing = serving(cloud), demo.load_balancer
    for protocol, port in (("TCP", 81), ("HTTP", 80)):
        listener = balancing.create_listener(
            load_balancer_id=balancer.id, protocol=protocol, protocol_port=port
        )
        pool = balancing.create_pool(
            listener_id=listener.id, protocol=protocol, lb_algorithm="ROUND_ROBIN"
        )
        for address in ("10.0.0.11", "2001:db8::11"):
            balancing.create_member(pool, address=address, protocol_port=8080)
        if protocol == "TCP":
            assert worker.backends(listener.id) == ["10.0.0.11:8080"]
    StationReconciler(cloud.database).round()
    (thing,) = told(host, balancer.id)
    assert [one.address for one in thing.pools[0].members] == ["10.0.0.11"]


def test_each_listener_has_a_port_of_its_own_there_and_keeps_it(
    cloud: RunningCloud, demo: Connection, balancer: Any
) -> None:
    host, balancing = serving(cloud), demo.load_balancer
    first, second = (
        balancing.create_listener(load_balancer_id=balancer.id, protocol="HTTP", protocol_port=port)
        for port in (80, 81)
    )
    StationReconciler(cloud.database).round()
    (thing,) = told(host, balancer.id)
    ports = {one.id: one.station_port for one in thing.listeners}
    assert len(set(ports.values())) == 2
    balancing.delete_listener(first)
    (thing,) = told(host, balancer.id)
    assert [one.station_port for one in thing.listeners] == [ports[second.id]]


def test_hosts_are_told_of_policies_by_their_position(
    cloud: RunningCloud, demo: Connection, balancer: Any
) -> None:
    host, balancing = serving(cloud), demo.load_balancer
    listener = balancing.create_listener(
        load_balancer_id=balancer.id, protocol="HTTP", protocol_port=80
    )
    pool = balancing.create_pool(
        loadbalancer_id=balancer.id, protocol="HTTP", lb_algorithm="ROUND_ROBIN"
    )
    for position, words in (
        (1, {"action": "REJECT"}),
        (1, {"action": "REDIRECT_TO_POOL", "redirect_pool_id": pool.id}),
    ):
        policy = balancing.create_l7_policy(listener_id=listener.id, position=position, **words)
        balancing.create_l7_rule(policy, type="PATH", compare_type="STARTS_WITH", value="/x")
    StationReconciler(cloud.database).round()
    (thing,) = told(host, balancer.id)
    policies = thing.listeners[0].policies
    assert [one.action for one in policies] == ["REDIRECT_TO_POOL", "REJECT"]
    assert [one.value for one in policies[0].rules] == ["/x"]
    assert [one.id for one in thing.pools] == [pool.id]


def test_statistics_are_the_sum_of_what_proxies_counted_also_of_those_that_ended(
    cloud: RunningCloud, demo: Connection, balancer: Any
) -> None:
    host, balancing = serving(cloud), demo.load_balancer
    listener = balancing.create_listener(
        load_balancer_id=balancer.id, protocol="HTTP", protocol_port=80
    )
    StationReconciler(cloud.database).round()
    (thing,) = told(host, balancer.id)
    for total, bytes_in in ((5, 100), (9, 300), (2, 40)):  # The last one is another process's.
        counted = ListenerCounters(
            active_connections=1, total_connections=total, bytes_in=bytes_in, bytes_out=7
        )
        report(host, thing, {}, {listener.id: counted})
    said = balancing.get_listener_statistics(listener.id)
    assert (said.total_connections, said.bytes_in, said.active_connections) == (11, 340, 1)
    whole = balancing.get_load_balancer_statistics(balancer.id)
    assert (whole.total_connections, whole.bytes_in, whole.request_errors) == (11, 340, 0)
    report(host, thing, {})
    assert balancing.get_listener_statistics(listener.id).active_connections == 0


def test_a_lost_host_gets_no_connections_while_another_serves(
    cloud: RunningCloud, demo: Connection, balancer: Any, worker: Worker
) -> None:
    first, balancing = serving(cloud), demo.load_balancer
    second = replace(first, name="host2")
    second.register()
    listener = balancing.create_listener(
        load_balancer_id=balancer.id, protocol="HTTP", protocol_port=80
    )
    placing = StationReconciler(cloud.database)
    placing.round()
    for host in (first, second):
        (thing,) = told(host, balancer.id)
        report(host, thing, {})
    both = worker.backends(listener.id)
    assert len(both) == 2
    with cloud.database.write() as connection:
        host_store.update(connection, "host2", state="down")
        standard.touch(connection)
    placing.round()
    (left,) = worker.backends(listener.id)
    assert left in both
    with cloud.database.write() as connection:
        host_store.update(connection, first.name, state="down")
        standard.touch(connection)
    assert worker.backends(listener.id) == both  # Nobody is heard of: that says nothing of proxies.
