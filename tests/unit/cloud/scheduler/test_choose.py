"""Which host a server gets, and what is said when none will do."""

from __future__ import annotations

from dataclasses import replace

from kumoi.cloud.scheduler.choose import Candidate, DriverOffer, HostRules, RequestSpec, choose

LXC = DriverOffer(
    formats=frozenset({"root-tar"}), capabilities=frozenset({"pause", "live-addresses"})
)
QEMU = DriverOffer(formats=frozenset({"qcow2", "raw"}), capabilities=frozenset({"pause"}))
ROOMY = Candidate(
    id="b",
    up=True,
    enabled=True,
    drivers={"lxc": LXC},
    vcpus_free=8,
    ram_free_mib=8_192,
    disk_free_gib=100,
)
SPEC = RequestSpec(image_format="root-tar", vcpus=1, ram_mib=512, disk_gib=10)


def test_the_host_with_most_free_memory_is_chosen() -> None:
    small = replace(ROOMY, id="a", ram_free_mib=1_024)
    assert choose([small, ROOMY], SPEC).host_id == "b"


def test_equal_hosts_are_chosen_by_name_whatever_their_order() -> None:
    first = replace(ROOMY, id="a")
    assert choose([ROOMY, first], SPEC).host_id == "a"
    assert choose([first, ROOMY], SPEC).host_id == "a"


def test_an_unpacked_image_outweighs_free_memory() -> None:
    ready = replace(ROOMY, id="z", ram_free_mib=1_024, ready_images=frozenset({"debian"}))
    assert choose([ROOMY, ready], replace(SPEC, image_id="debian")).host_id == "z"


def test_soft_wishes_outweigh_memory_and_never_forbid() -> None:
    other = replace(ROOMY, id="c", ram_free_mib=1_024)
    assert choose([ROOMY, other], replace(SPEC, hosts=HostRules(avoided={"b": 1}))).host_id == "c"
    assert (
        choose([ROOMY, other], replace(SPEC, hosts=HostRules(preferred=frozenset({"c"})))).host_id
        == "c"
    )
    assert choose([ROOMY], replace(SPEC, hosts=HostRules(avoided={"b": 5}))).host_id == "b"


def test_hard_wishes_forbid() -> None:
    assert choose([ROOMY], replace(SPEC, hosts=HostRules(excluded=frozenset({"b"})))).reasons == (
        "1 host is ruled out by anti-affinity",
    )
    assert choose([ROOMY], replace(SPEC, hosts=HostRules(allowed=frozenset({"x"})))).reasons == (
        "1 host is not allowed by the affinity, zone or aggregate asked",
    )


def test_each_lack_is_counted_and_named_once() -> None:
    hosts = [
        replace(ROOMY, id="1", up=False),
        replace(ROOMY, id="2", up=False),
        replace(ROOMY, id="3", enabled=False),
        replace(ROOMY, id="4", drivers={"qemu": QEMU}),
        replace(ROOMY, id="5", vcpus_free=0),
        replace(ROOMY, id="6", ram_free_mib=511),
        replace(ROOMY, id="7", disk_free_gib=9),
    ]
    decision = choose(hosts, SPEC)
    assert decision.host_id is None
    assert decision.reasons == (
        "1 host is disabled",
        "2 hosts are down",
        "1 host is without 1 free vcpus",
        "1 host is without 10 GiB of free disk",
        "1 host is without 512 MiB of free memory",
        "1 host is without a driver for root-tar images",
    )


def test_a_server_goes_where_a_driver_takes_its_image_and_is_given_that_driver() -> None:
    machines = replace(ROOMY, id="z", ram_free_mib=1_024, drivers={"lxc": LXC, "qemu": QEMU})
    decision = choose([ROOMY, machines], replace(SPEC, image_format="qcow2"))
    assert (decision.host_id, decision.driver) == ("z", "qemu")
    decision = choose([ROOMY, machines], SPEC)
    assert (decision.host_id, decision.driver) == ("b", "lxc")


def test_an_image_that_no_driver_takes_is_placed_nowhere() -> None:
    decision = choose([ROOMY], replace(SPEC, image_format="vhdx"))
    assert decision.reasons == ("1 host is without a driver for vhdx images",)


def test_capabilities_asked_of_a_driver_are_hard() -> None:
    both = replace(ROOMY, drivers={"a": QEMU, "b": replace(QEMU, capabilities=LXC.capabilities)})
    live = replace(SPEC, image_format="raw", capabilities=frozenset({"live-addresses"}))
    assert choose([both], live).driver == "b"
    alone = replace(ROOMY, drivers={"a": QEMU})
    assert choose([alone], live).reasons == ("1 host is without live-addresses for such images",)


def test_a_driver_that_has_not_said_what_it_takes_is_tried() -> None:
    old = replace(ROOMY, drivers={"lxc": DriverOffer()})
    assert choose([old], replace(SPEC, image_format="squashfs")).driver == "lxc"


def test_a_driver_that_can_have_no_more_servers_is_given_none() -> None:
    few = replace(LXC, servers_max=3)
    assert choose([replace(ROOMY, drivers={"lxc": few}, servers=2)], SPEC).host_id == "b"
    full = replace(ROOMY, drivers={"lxc": few}, servers=3)
    assert choose([full], SPEC).reasons == ("1 host is at the number of servers that it can have",)
    assert choose([full, replace(ROOMY, id="c", ram_free_mib=1_024)], SPEC).host_id == "c"
    beside = replace(full, drivers={"lxc": few, "more": replace(LXC, servers_max=4)})
    assert choose([beside], SPEC).driver == "more"


def test_no_hosts_at_all_is_said_so() -> None:
    assert choose([], SPEC).reasons == ("there are no hosts",)
