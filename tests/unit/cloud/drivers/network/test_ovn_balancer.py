from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest
from tests.unit.cloud.drivers.network.network_samples import (
    BALANCED,
    BALANCED_OUTSIDE,
    BALANCER,
    HTTP,
    OUTER,
    OUTSIDE,
    PUBLIC,
    PUBLIC_SUBNET,
    STATIONS,
    assert_golden,
)

from kumoi.cloud.drivers.network.fake import as_seen_rows
from kumoi.cloud.drivers.network.interface import BackendSpec, ListenerSpec, Topology
from kumoi.cloud.drivers.network.ovn.allowed_cidrs import outside_of
from kumoi.cloud.drivers.network.ovn.balancing import REPEATS_MAX, repeats
from kumoi.cloud.drivers.network.ovn.northbound import (
    LoadBalancerRecord,
    LogicalRouter,
    RecordKey,
    RecordKind,
)
from kumoi.cloud.drivers.network.ovn.plan import desired, plan, plan_members


def listening(topology: Topology, **changes: object) -> Topology:
    """The same with a listener that is otherwise."""
    listener = replace(HTTP, **changes)  # type: ignore[arg-type]
    return replace(topology, balancers=(replace(BALANCER, listeners=(listener,)),))


def row(topology: Topology, key: str = "http") -> LoadBalancerRecord:
    found = desired(topology)[RecordKey(RecordKind.LISTENER, key)]
    assert isinstance(found, LoadBalancerRecord)
    return found


def test_switches_balance_and_a_router_without_a_gateway_does_not() -> None:
    """The user-space datapath of Open vSwitch 3.1 aborts otherwise."""
    assert_golden("balanced", plan(desired(BALANCED), []))


def test_a_router_with_a_gateway_balances_and_a_floating_ip_has_a_row() -> None:
    assert_golden("balanced_outside", plan(desired(BALANCED_OUTSIDE), []))


def test_stations_have_the_address_and_tell_apart_by_ports_what_is_for_whom() -> None:
    stationed = replace(BALANCED, balancers=(replace(BALANCER, stations=STATIONS),))

    assert_golden("balancer_stations", plan(desired(stationed), as_seen_rows(desired(BALANCED))))


def test_who_is_not_allowed_is_not_heard_on_any_switch_of_the_way() -> None:
    limited = listening(BALANCED_OUTSIDE, allowed_cidrs=("10.0.1.0/24", "192.168.0.0/16"))
    actions = plan(desired(limited), as_seen_rows(desired(BALANCED_OUTSIDE)))
    assert_golden("balancer_allowed_cidrs", actions)
    for everybody in ((), ("0.0.0.0/0",), ("0.0.0.0/1", "128.0.0.0/1")):
        open_to_all = listening(BALANCED_OUTSIDE, allowed_cidrs=everybody)
        assert plan(desired(open_to_all), as_seen_rows(desired(BALANCED_OUTSIDE))) == []


@pytest.mark.parametrize(
    "networks", [["10.0.0.0/8", "10.1.0.0/16"], ["10.1.0.0/16", "10.0.0.0/8"], ["10.0.0.0/8"] * 2]
)
def test_all_others_are_what_networks_leave_also_where_they_overlap(networks: list[str]) -> None:
    left = [ip_network(one) for one in outside_of(networks)]
    assert sum(one.num_addresses for one in left) == 2**32 - 2**24
    assert not any(one.overlaps(ip_network("10.0.0.0/8")) for one in left)
    assert outside_of(["2001:db8::/32"])[0] == "::/3"


def test_a_router_that_loses_its_gateway_stops_to_balance() -> None:
    with_gateway = replace(
        BALANCED,
        networks=(*BALANCED.networks, PUBLIC),
        subnets=(*BALANCED.subnets, PUBLIC_SUBNET),
        ports=(*BALANCED.ports, OUTER),
    )
    router = RecordKey(RecordKind.ROUTER, "router-1")

    def balances(topology: Topology) -> bool:
        found = desired(topology)[router]
        assert isinstance(found, LogicalRouter)
        return bool(found.load_balancer)

    assert balances(with_gateway)
    assert not balances(BALANCED)
    assert_golden(
        "balancer_loses_gateway", plan(desired(BALANCED), as_seen_rows(desired(with_gateway)))
    )


def test_a_member_that_changes_changes_its_row_alone() -> None:
    drained = listening(BALANCED, backends=HTTP.backends[:1])
    assert_golden("balancer_drained", plan(desired(drained), as_seen_rows(desired(BALANCED))))


def test_members_alone_are_planned_without_the_rest() -> None:
    """Also where a floating IP leads; listeners that are as they should be stay out of it."""
    drained = listening(BALANCED_OUTSIDE, backends=HTTP.backends[:1]).balancers
    seen = as_seen_rows(desired(BALANCED_OUTSIDE))
    assert_golden("balancer_members", plan_members(drained, seen))
    assert plan_members(BALANCED_OUTSIDE.balancers, seen) == []
    assert plan_members(drained, as_seen_rows(desired(OUTSIDE))) == []


def test_a_balancer_that_goes_leaves_nothing() -> None:
    without = replace(BALANCED, balancers=(), ports=BALANCED.ports[1:])
    assert_golden("balancer_deleted", plan(desired(without), as_seen_rows(desired(BALANCED))))


def test_without_members_connections_are_refused() -> None:
    nobody = row(listening(BALANCED, backends=()))
    assert nobody.vips == frozenset({("10.0.1.50:80", "")})
    assert ("reject", "true") in nobody.options


def test_a_client_stays_by_its_address_or_for_a_while() -> None:
    by_source = row(listening(BALANCED, by_source=True))
    assert by_source.selection_fields == frozenset({"ip_src", "ip_dst"})
    assert ("affinity_timeout", "60") in row(listening(BALANCED, sticky_s=60)).options


def test_addresses_of_version_6_are_written_with_brackets() -> None:
    backend = BackendSpec(address="fd00::21", port=8080)
    listener = ListenerSpec(id="http", protocol="tcp", port=80, backends=(backend,))
    balancer = replace(BALANCER, address="fd00::50", listeners=(listener,))
    found = row(replace(BALANCED, balancers=(balancer,)))
    assert found.vips == frozenset({("[fd00::50]:80", "[fd00::21]:8080")})


def test_a_balancer_whose_port_or_subnet_is_gone_is_left_out() -> None:
    for without in (
        replace(BALANCED, ports=BALANCED.ports[1:]),
        replace(BALANCED, subnets=BALANCED.subnets[1:]),
    ):
        kinds = {key.kind for key in desired(without)}
        assert not kinds & {RecordKind.LISTENER, RecordKind.BALANCER_ROUTER}


@pytest.mark.parametrize(
    ("weights", "times"),
    [
        ((), []),
        ((1, 1), [1, 1]),
        ((4, 2), [2, 1]),
        ((100, 100, 50), [2, 2, 1]),
        ((256, 1), [REPEATS_MAX, 1]),
        ((256, 255, 3), [32, 32, 1]),
    ],
)
def test_a_weight_is_how_often_a_member_is_named(
    weights: tuple[int, ...], times: list[int]
) -> None:
    assert (
        repeats([BackendSpec(address="10.0.1.1", port=1, weight=weight) for weight in weights])
        == times
    )
