from __future__ import annotations

import dataclasses
import uuid
from dataclasses import replace

import pytest
from tests.unit.cloud.drivers.network.network_samples import (
    BALANCER,
    FLOATING,
    GROUP,
    HTTP,
    INNER_A,
    OUTER,
    OUTSIDE,
    PRIVATE,
    PRIVATE_SUBNET,
    PUBLIC,
    ROUTED,
    ROUTER,
    SWITCHED,
    WEB,
    assert_golden,
)

from kumoi.cloud.drivers.network.fake import as_seen_rows
from kumoi.cloud.drivers.network.interface import (
    FLOATING_IP,
    AddressPair,
    BackendSpec,
    BalancerSpec,
    DhcpOption,
    Direction,
    Ethertype,
    FixedIp,
    ForwardingSpec,
    HostRoute,
    PortSpec,
    RateSpec,
    RuleSpec,
    SecurityGroupSpec,
    SubnetSpec,
    Topology,
)
from kumoi.cloud.drivers.network.ovn.northbound import (
    Acl,
    DhcpOptions,
    LoadBalancerRecord,
    LogicalRouterPort,
    LogicalSwitch,
    LogicalSwitchPort,
    Nat,
    NorthboundRecord,
    PortGroup,
    PortGroupName,
    Qos,
    RecordKey,
    RecordKind,
    StaticRoute,
    SwitchName,
    SwitchPortName,
)
from kumoi.cloud.drivers.network.ovn.plan import Delete, SeenRow, Update, desired, plan


def found(topology: Topology) -> list[SeenRow]:
    return as_seen_rows(desired(topology))


def drifted(seen: list[SeenRow], at: RecordKey, /, **columns: object) -> list[SeenRow]:
    """The same rows, but somebody changed columns of one."""
    return [
        replace(item, record=replace(item.record, **columns))  # type: ignore[arg-type]
        if item.record.key == at
        else item
        for item in seen
    ]


def record(topology: Topology, kind: RecordKind, own_id: str) -> NorthboundRecord:
    return desired(topology)[RecordKey(kind, own_id)]


def test_network_subnet_and_port_with_dhcp_and_security_group() -> None:
    assert_golden("switched", plan(desired(SWITCHED), []))


def test_router_with_two_interfaces() -> None:
    assert_golden("routed", plan(desired(ROUTED), []))


def test_gateway_with_snat_and_floating_ip() -> None:
    assert_golden("outside", plan(desired(OUTSIDE), []))


def test_everything_is_deleted_children_first() -> None:
    assert_golden("deleted", plan({}, found(OUTSIDE)))


def test_nothing_to_do_when_all_is_as_wanted() -> None:
    for topology in (SWITCHED, ROUTED, OUTSIDE):
        assert plan(desired(topology), found(topology)) == []


def test_order_of_the_rows_does_not_matter() -> None:
    backwards = replace(
        OUTSIDE, ports=OUTSIDE.ports[::-1], networks=OUTSIDE.networks[::-1], subnets=OUTSIDE.subnets
    )
    assert plan(desired(backwards), found(OUTSIDE)[::-1]) == []


def test_a_column_changed_by_hand_is_set_back() -> None:
    seen = drifted(
        found(SWITCHED),
        RecordKey(RecordKind.PORT, "web"),
        addresses=frozenset({"unknown"}),
        port_security=frozenset(),
        enabled=False,
    )
    assert_golden("column_drift", plan(desired(SWITCHED), seen))


def test_a_row_deleted_by_hand_is_made_again_and_referred_to_again() -> None:
    seen = [
        item for item in found(SWITCHED) if item.record.key != RecordKey(RecordKind.PORT, "web")
    ]
    gone = {item.row for item in found(SWITCHED)} - {item.row for item in seen}
    seen = [
        replace(item, references={name: rows - gone for name, rows in item.references.items()})
        for item in seen
    ]
    assert_golden("row_drift", plan(desired(SWITCHED), seen))


def test_a_row_made_anew_takes_the_place_of_the_old_in_its_groups() -> None:
    """The old row still stands in the groups: the new one must be put there in the same change."""
    seen = [
        replace(item, holder=uuid.UUID(int=7))
        if item.record.key == RecordKey(RecordKind.PORT, "web")
        else item
        for item in found(SWITCHED)
    ]
    assert_golden("moved_by_hand", plan(desired(SWITCHED), seen))


def test_rows_of_others_are_left_alone() -> None:
    foreign = SeenRow(
        uuid.UUID(int=1),
        LogicalSwitch(
            key=RecordKey(RecordKind.FOREIGN, "lab"),
            external_ids=frozenset(),
            name=SwitchName("lab"),
        ),
    )
    assert plan(desired(SWITCHED), [*found(SWITCHED), foreign]) == []
    assert plan({}, [foreign]) == []


def test_a_row_that_lost_its_mark_is_ours_by_its_name() -> None:
    seen = drifted(
        found(SWITCHED),
        RecordKey(RecordKind.PORT, "web"),
        key=RecordKey(RecordKind.FOREIGN, "web"),
        external_ids=frozenset(),
    )
    (action,) = plan(desired(SWITCHED), seen)
    assert isinstance(action, Update)
    assert action.columns == ("external_ids",)


def test_a_foreign_row_that_bears_a_name_of_ours_elsewhere_gives_way() -> None:
    usurper = SeenRow(
        uuid.UUID(int=1),
        LogicalSwitchPort(
            key=RecordKey(RecordKind.FOREIGN, "web"),
            external_ids=frozenset(),
            name=SwitchPortName("web"),
        ),
        holder=uuid.UUID(int=2),
    )
    first, *_ = plan(desired(SWITCHED), [usurper])
    assert isinstance(first, Delete)
    assert first.row == usurper.row


def test_of_two_rows_with_the_same_mark_one_goes() -> None:
    seen = found(SWITCHED)
    network = next(
        item for item in seen if item.record.key == RecordKey(RecordKind.NETWORK, "net-a")
    )
    twin = replace(network, row=uuid.UUID(int=2**128 - 1))
    assert [str(each) for each in plan(desired(SWITCHED), [twin, *seen])] == [
        "delete Logical_Switch network/net-a"
    ]


def test_a_reference_to_a_foreign_row_is_taken_out() -> None:
    stranger = uuid.UUID(int=3)
    seen = [
        replace(item, references={"ports": item.references["ports"] | {stranger}})
        if isinstance(item.record, PortGroup)
        else item
        for item in found(SWITCHED)
    ]
    actions = plan(desired(SWITCHED), seen)
    assert len(actions) == 2
    assert all(
        isinstance(action, Update) and [target.row for _, target in action.removed] == [stranger]
        for action in actions
    )


def test_a_port_with_options_of_its_own_is_answered_from_a_record_of_its_own() -> None:
    options = (
        DhcpOption(name="bootfile-name", value="pxelinux.0"),
        DhcpOption(name="66", value="10.0.1.9"),
        DhcpOption(name="dns-server", value="10.0.1.53, 10.0.1.54"),
        DhcpOption(name="mtu", value="large"),  # None of its option.
        DhcpOption(name="domain-name", value='a"; next; "'),
        DhcpOption(name="routers", value="10.0.1.9"),  # Not known to OVN.
    )
    changed = replace(SWITCHED, ports=(replace(WEB, dhcp=options),))
    assert_golden("dhcp_options", plan(desired(changed), found(SWITCHED)))
    silent = replace(WEB, dhcp=(DhcpOption(name="dhcp_disabled", value="true"),))
    port = record(replace(SWITCHED, ports=(silent,)), RecordKind.PORT, "web")
    assert isinstance(port, LogicalSwitchPort)
    assert port.dhcpv4_options is None


def test_a_port_is_limited_and_marked_below_the_limit_of_storms() -> None:
    rates = (
        RateSpec(direction=Direction.EGRESS, kbps=1_000),
        RateSpec(direction=Direction.INGRESS, kbps=9_000, burst_kbit=500),
    )
    limited = replace(SWITCHED, ports=(replace(WEB, rates=rates, dscp=26),))
    assert_golden("quality", plan(desired(limited), found(SWITCHED)))
    storm = record(SWITCHED, RecordKind.STORM, "web")
    limit = record(limited, RecordKind.RATE, "web/egress")
    assert isinstance(storm, Qos)
    assert isinstance(limit, Qos)
    assert storm.priority > limit.priority


def test_answers_about_neighbours_have_a_rate_where_they_may_be_about_any() -> None:
    def rate(port: PortSpec) -> list[NorthboundRecord]:
        records = desired(replace(SWITCHED, ports=(port,)))
        return [each for key, each in records.items() if key.kind is RecordKind.ANSWERS]

    pair = AddressPair(address="10.0.0.0/8")
    assert rate(WEB) == []
    for port in (
        replace(WEB, port_security_enabled=False),
        replace(WEB, allowed_address_pairs=(pair,)),
    ):
        (answers,) = rate(port)
        assert isinstance(answers, Qos)
        storm = record(SWITCHED, RecordKind.STORM, "web")
        assert isinstance(storm, Qos)
        assert answers.priority > storm.priority


def test_within_an_address_scope_no_router_translates() -> None:
    def translated(**scopes: str) -> set[str]:
        subnets = [
            replace(subnet, address_scope_id=scopes.get(subnet.id.replace("-", "_")))
            for subnet in OUTSIDE.subnets
        ]
        records = desired(replace(OUTSIDE, subnets=tuple(subnets)))
        return {key.id for key in records if key.kind == RecordKind.SNAT}

    assert translated() == {"router-1/sub-a"}
    assert translated(sub_x="scope", sub_a="another") == {"router-1/sub-a"}
    assert translated(sub_x="scope", sub_a="scope") == set()


def test_turning_dhcp_off_takes_the_answer_away() -> None:
    without = replace(SWITCHED, subnets=(replace(PRIVATE_SUBNET, enable_dhcp=False),))
    assert_golden("dhcp_off", plan(desired(without), found(SWITCHED)))


def test_whoever_names_what_is_not_there_is_left_out() -> None:
    lost = Topology(
        subnets=(PRIVATE_SUBNET,),
        ports=(WEB, INNER_A, OUTER),
        floating_ips=(FLOATING,),
        security_groups=(),
    )
    assert desired(lost) == {}
    no_router = replace(OUTSIDE, routers=())
    kinds = {key.kind for key in desired(no_router)}
    assert not kinds & {
        RecordKind.ROUTER_PORT,
        RecordKind.GATEWAY,
        RecordKind.FLOATING_IP,
        RecordKind.SNAT,
    }
    no_gateway = replace(OUTSIDE, ports=(WEB, INNER_A))
    assert RecordKey(RecordKind.FLOATING_IP, "fip-1") not in desired(no_gateway)
    no_subnets = replace(OUTSIDE, subnets=())
    assert RecordKind.ROUTER_PORT not in {key.kind for key in desired(no_subnets)}


def test_the_port_that_reserves_a_floating_address_is_no_port_of_a_switch() -> None:
    reserving = PortSpec(id="fip-port", network_id="net-a", mac="m", device_owner=FLOATING_IP)
    assert RecordKey(RecordKind.PORT, "fip-port") not in desired(
        Topology(networks=(PRIVATE,), ports=(reserving,))
    )


def test_without_port_security_a_port_may_say_anything_and_is_in_no_group() -> None:
    open_port = replace(WEB, port_security_enabled=False)
    topology = replace(SWITCHED, ports=(open_port,))
    port = record(topology, RecordKind.PORT, "web")
    assert isinstance(port, LogicalSwitchPort)
    assert port.port_security == frozenset()
    assert port.addresses == {"fa:16:3e:00:01:15 10.0.1.21", "unknown"}
    group = record(topology, RecordKind.SECURITY_GROUP, "group-1")
    assert isinstance(group, PortGroup)
    assert group.ports == frozenset()
    assert RecordKey(RecordKind.SECURITY_GROUP, "drop") not in desired(topology)


def test_allowed_address_pairs_may_be_spoken_with() -> None:
    pairs = (
        AddressPair(address="10.0.1.100"),
        AddressPair(address="10.0.1.21"),
        AddressPair(address="10.0.1.101", mac="00:00:5e:00:01:01"),
    )
    topology = replace(SWITCHED, ports=(replace(WEB, allowed_address_pairs=pairs),))
    port = record(topology, RecordKind.PORT, "web")
    assert isinstance(port, LogicalSwitchPort)
    assert port.port_security == {
        "fa:16:3e:00:01:15 10.0.1.21 10.0.1.100",
        "00:00:5e:00:01:01 10.0.1.101",
    }
    assert "unknown" in port.addresses


def test_what_is_down_is_disabled() -> None:
    for topology in (
        replace(SWITCHED, ports=(replace(WEB, admin_state_up=False),)),
        replace(SWITCHED, networks=(replace(PRIVATE, admin_state_up=False),)),
    ):
        port = record(topology, RecordKind.PORT, "web")
        assert isinstance(port, LogicalSwitchPort)
        assert port.enabled is False
    down = replace(ROUTED, routers=(replace(ROUTER, admin_state_up=False),))
    assert getattr(record(down, RecordKind.ROUTER, "router-1"), "enabled", None) is False
    public_down = replace(OUTSIDE, networks=(PRIVATE, replace(PUBLIC, admin_state_up=False)))
    assert getattr(record(public_down, RecordKind.LOCALNET, "net-x"), "enabled", None) is False


def test_dhcp_without_gateway_and_with_routes() -> None:
    route = HostRoute(destination="10.9.0.0/16", nexthop="10.0.1.9")

    def options(subnet: SubnetSpec) -> dict[str, str]:
        found = record(replace(SWITCHED, subnets=(subnet,)), RecordKind.DHCP, "sub-a")
        assert isinstance(found, DhcpOptions)
        return dict(found.options)

    routed = options(replace(PRIVATE_SUBNET, host_routes=(route,)))
    assert routed["classless_static_route"] == "{10.9.0.0/16,10.0.1.9, 0.0.0.0/0,10.0.1.1}"
    alone = options(
        replace(PRIVATE_SUBNET, gateway_ip=None, host_routes=(route,), dns_nameservers=())
    )
    assert "router" not in alone
    assert "dns_server" not in alone
    assert alone["server_id"] == "169.254.0.1"
    assert alone["classless_static_route"] == "{10.9.0.0/16,10.0.1.9}"


@pytest.mark.parametrize(
    ("mode", "answered"),
    [("slaac", False), (None, False), ("dhcpv6-stateless", True), ("dhcpv6-stateful", True)],
)
def test_ipv6_answers_dhcp_only_where_the_subnet_says_so(
    mode: str | None, *, answered: bool
) -> None:
    subnet = SubnetSpec(
        id="sub-6",
        network_id="net-a",
        cidr="2001:db8::/64",
        ip_version=6,
        gateway_ip="2001:db8::1",
        dns_nameservers=("2001:db8::53",),
        ipv6_ra_mode=mode,
        ipv6_address_mode=mode,
    )
    address = (FixedIp(subnet_id="sub-6", address="2001:db8::5"),)
    topology = replace(
        ROUTED,
        subnets=(subnet,),
        ports=(replace(WEB, fixed_ips=address), replace(INNER_A, fixed_ips=address)),
    )
    wanted = desired(topology)
    assert (RecordKey(RecordKind.DHCP, "sub-6") in wanted) is answered
    port = wanted[RecordKey(RecordKind.PORT, "web")]
    assert isinstance(port, LogicalSwitchPort)
    assert (port.dhcpv6_options is not None) is answered
    inner = wanted[RecordKey(RecordKind.ROUTER_PORT, "r-a")]
    assert isinstance(inner, LogicalRouterPort)
    assert bool(inner.ipv6_ra_configs) is (mode is not None)
    nameless = replace(topology, subnets=(replace(subnet, dns_nameservers=()),))
    options = desired(nameless).get(RecordKey(RecordKind.DHCP, "sub-6"))
    assert "dns_server" not in dict(getattr(options, "options", ()))


def test_an_ipv6_gateway_gets_a_route_and_no_translation() -> None:
    inside = SubnetSpec(id="in6", network_id="net-a", cidr="2001:db8:1::/64", ip_version=6)
    outside = SubnetSpec(
        id="out6",
        network_id="net-x",
        cidr="2001:db8:ff::/64",
        ip_version=6,
        gateway_ip="2001:db8:ff::1",
    )
    ports = (
        replace(INNER_A, fixed_ips=(FixedIp(subnet_id="in6", address="2001:db8:1::1"),)),
        replace(OUTER, fixed_ips=(FixedIp(subnet_id="out6", address="2001:db8:ff::2"),)),
    )
    wanted = desired(replace(OUTSIDE, subnets=(inside, outside), ports=ports))
    (route,) = (item for item in wanted.values() if isinstance(item, StaticRoute))
    assert route.ip_prefix == "::/0"
    assert not [item for item in wanted.values() if isinstance(item, Nat)]


def test_snat_can_be_turned_off() -> None:
    wanted = desired(replace(OUTSIDE, routers=(replace(ROUTER, enable_snat=False),)))
    assert [item.type for item in wanted.values() if isinstance(item, Nat)] == ["dnat_and_snat"]


def test_extra_routes_and_no_default_route_without_an_external_gateway() -> None:
    routes = (HostRoute(destination="172.16.5.7/12", nexthop="10.0.1.9"),)
    external = replace(OUTSIDE.subnets[1], gateway_ip=None)
    wanted = desired(
        replace(
            OUTSIDE,
            routers=(replace(ROUTER, routes=routes),),
            subnets=(PRIVATE_SUBNET, external),
        )
    )
    (route,) = (item for item in wanted.values() if isinstance(item, StaticRoute))
    assert (route.ip_prefix, route.nexthop, route.output_port) == (
        "172.16.0.0/12",
        "10.0.1.9",
        None,
    )


def balancer_of(address: str) -> BalancerSpec:
    listener = replace(HTTP, backends=(BackendSpec(address=address, port=80),))
    return replace(BALANCER, listeners=(listener,))


def test_a_floating_ip_is_translated_by_a_gateway_host_where_its_servers_host_cannot() -> None:
    away = replace(OUTSIDE, balancers=(balancer_of("10.0.1.99"),))
    nat = record(away, RecordKind.FLOATING_IP, "fip-1")
    assert isinstance(nat, Nat)
    assert nat.external_mac is not None
    for changed in (
        {"ports": (replace(WEB, device_owner=""), INNER_A, OUTER)},
        {"floating_ips": (replace(FLOATING, mac=None),)},
        {"balancers": (balancer_of(FLOATING.fixed_address),)},
    ):
        nat = record(replace(OUTSIDE, **changed), RecordKind.FLOATING_IP, "fip-1")
        assert isinstance(nat, Nat)
        assert nat.external_mac is None
        assert nat.logical_port is None


def test_gateway_hosts_are_at_most_five_and_a_router_keeps_them_when_one_is_lost() -> None:
    hosts = tuple(f"host-{number}" for number in range(9))

    def chosen(among: tuple[str, ...]) -> list[str]:
        wanted = desired(replace(OUTSIDE, gateway_hosts=among))
        return [key.id for key in wanted if key.kind == RecordKind.GATEWAY]

    before = chosen(hosts)
    assert len(before) == 5
    lost = before[0].removeprefix("r-x/")
    after = chosen(tuple(host for host in hosts if host != lost))
    assert after[:4] == before[1:]


@pytest.mark.parametrize(
    ("rule", "match"),
    [
        (RuleSpec(id="r", direction=Direction.EGRESS), "inport == @kumoi_g_1 && ip4"),
        (
            RuleSpec(id="r", direction=Direction.INGRESS, ethertype=Ethertype.IPV6, protocol="any"),
            "outport == @kumoi_g_1 && ip6",
        ),
        (
            RuleSpec(id="r", direction=Direction.INGRESS, protocol="TCP", port_min=80, port_max=90),
            "outport == @kumoi_g_1 && ip4 && tcp && tcp.dst >= 80 && tcp.dst <= 90",
        ),
        (
            RuleSpec(id="r", direction=Direction.INGRESS, protocol="sctp", port_min=80),
            "outport == @kumoi_g_1 && ip4 && sctp && sctp.dst >= 80",
        ),
        (
            RuleSpec(id="r", direction=Direction.INGRESS, protocol="udp", port_max=90),
            "outport == @kumoi_g_1 && ip4 && udp && udp.dst <= 90",
        ),
        (
            RuleSpec(id="r", direction=Direction.INGRESS, protocol="17", port_min=53, port_max=53),
            "outport == @kumoi_g_1 && ip4 && udp && udp.dst == 53",
        ),
        (
            RuleSpec(id="r", direction=Direction.INGRESS, protocol="icmp", port_min=8, port_max=0),
            "outport == @kumoi_g_1 && ip4 && icmp4 && icmp4.type == 8 && icmp4.code == 0",
        ),
        (
            RuleSpec(
                id="r",
                direction=Direction.INGRESS,
                ethertype=Ethertype.IPV6,
                protocol="ipv6-icmp",
                remote_prefix="2001:db8::/32",
            ),
            "outport == @kumoi_g_1 && ip6 && ip6.src == 2001:db8::/32 && icmp6",
        ),
        (
            RuleSpec(
                id="r", direction=Direction.EGRESS, protocol="gre", remote_prefix="10.1.0.0/16"
            ),
            "inport == @kumoi_g_1 && ip4 && ip4.dst == 10.1.0.0/16 && ip.proto == 47",
        ),
        (
            RuleSpec(id="r", direction=Direction.EGRESS, protocol="112", remote_prefix="0.0.0.0/0"),
            "inport == @kumoi_g_1 && ip4 && ip.proto == 112",
        ),
        (
            RuleSpec(id="r", direction=Direction.INGRESS, remote_group_id="g-1"),
            "outport == @kumoi_g_1 && ip4 && ip4.src == $kumoi_g_1_ip4",
        ),
    ],
)
def test_a_rule_as_ovn_says_it(rule: RuleSpec, match: str) -> None:
    group = SecurityGroupSpec(id="g-1", rules=(rule,))
    acl = record(Topology(security_groups=(group,)), RecordKind.RULE, "r")
    assert isinstance(acl, Acl)
    assert acl.match == match
    assert acl.direction == ("to-lport" if rule.direction == Direction.INGRESS else "from-lport")


def test_a_group_without_memory_allows_each_direction_by_itself() -> None:
    rule = RuleSpec(id="r", direction=Direction.INGRESS)
    actions = [
        record(
            Topology(
                security_groups=(SecurityGroupSpec(id="g", stateful=stateful, rules=(rule,)),)
            ),
            RecordKind.RULE,
            "r",
        )
        for stateful in (True, False)
    ]
    assert [getattr(action, "action", None) for action in actions] == [
        "allow-related",
        "allow-stateless",
    ]


def test_a_rule_for_an_unknown_group_or_protocol_allows_nothing() -> None:
    rules = (
        RuleSpec(id="r1", direction=Direction.INGRESS, remote_group_id="gone"),
        RuleSpec(id="r2", direction=Direction.INGRESS, protocol="carrier-pigeon"),
    )
    wanted = desired(Topology(security_groups=(SecurityGroupSpec(id="g", rules=rules),)))
    assert [key.kind for key in wanted] == [RecordKind.SECURITY_GROUP]


def test_a_group_that_a_port_names_but_that_is_gone_is_no_group_of_it() -> None:
    wanted = desired(replace(SWITCHED, security_groups=()))
    groups = [item.name for item in wanted.values() if isinstance(item, PortGroup)]
    assert groups == [PortGroupName("kumoi_drop")]


def test_every_record_is_marked_with_what_it_is() -> None:
    for topology in (SWITCHED, OUTSIDE):
        for key, record in desired(topology).items():
            marks = dict(record.external_ids)
            assert (marks["kumoi:kind"], marks["kumoi:id"]) == (key.kind, key.id)
    assert (
        dict(desired(SWITCHED)[RecordKey(RecordKind.PORT, "web")].external_ids)["kumoi:generation"]
        == "4"
    )


def test_records_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(GROUP, "rules", ())  # noqa: B010 - what a type checker would refuse


def test_a_rule_with_networks_allows_those_of_its_version() -> None:
    networks = ("10.0.0.0/8", "192.0.2.7/32", "fd00::/64")
    rules = tuple(
        RuleSpec(id=family, direction=Direction.INGRESS, ethertype=family, remote_networks=networks)
        for family in Ethertype
    )
    nobody = RuleSpec(id="nobody", direction=Direction.INGRESS, remote_networks=("fd00::/64",))
    group = replace(GROUP, rules=(*rules, nobody))
    assert_golden(
        "remote_networks",
        plan(desired(replace(SWITCHED, security_groups=(group,))), found(SWITCHED)),
    )


def test_a_port_forwarding_is_known_to_the_router_outside_alone() -> None:
    forwarding = ForwardingSpec(
        id="ssh",
        router_id="router-1",
        protocol="tcp",
        outer_address="198.51.100.30",
        outer_port=2222,
        inner_address="10.0.1.21",
        inner_port=22,
    )
    forwarded = replace(OUTSIDE, forwardings=(forwarding,))
    # The floating IP of the same server is answered for by the gateway host then: replies pass it.
    assert_golden("forwarded", plan(desired(forwarded), found(OUTSIDE)))
    inside = replace(forwarded, ports=(WEB, INNER_A))
    assert not any(isinstance(each, LoadBalancerRecord) for each in desired(inside).values())
