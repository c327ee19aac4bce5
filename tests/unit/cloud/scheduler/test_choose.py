"""Which host a server gets, and what is said when none will do."""

from __future__ import annotations

from dataclasses import replace

from kumoi.cloud.scheduler.choose import Ask, Candidate, choose

ROOMY = Candidate(
    id="b",
    up=True,
    enabled=True,
    drivers=frozenset({"lxc"}),
    vcpus_free=8,
    ram_free_mib=8_192,
    disk_free_gib=100,
)
ASK = Ask(driver="lxc", vcpus=1, ram_mib=512, disk_gib=10)


def test_the_host_with_most_free_memory_is_chosen() -> None:
    small = replace(ROOMY, id="a", ram_free_mib=1_024)
    assert choose([small, ROOMY], ASK).host_id == "b"


def test_equal_hosts_are_chosen_by_name_whatever_their_order() -> None:
    first = replace(ROOMY, id="a")
    assert choose([ROOMY, first], ASK).host_id == "a"
    assert choose([first, ROOMY], ASK).host_id == "a"


def test_an_unpacked_image_outweighs_free_memory() -> None:
    ready = replace(ROOMY, id="z", ram_free_mib=1_024, ready_images=frozenset({"debian"}))
    assert choose([ROOMY, ready], replace(ASK, image_id="debian")).host_id == "z"


def test_soft_wishes_outweigh_memory_and_never_forbid() -> None:
    other = replace(ROOMY, id="c", ram_free_mib=1_024)
    assert choose([ROOMY, other], replace(ASK, far={"b": 1})).host_id == "c"
    assert choose([ROOMY, other], replace(ASK, near=frozenset({"c"}))).host_id == "c"
    assert choose([ROOMY], replace(ASK, far={"b": 5})).host_id == "b"


def test_hard_wishes_forbid() -> None:
    assert choose([ROOMY], replace(ASK, but=frozenset({"b"}))).reasons == (
        "1 host is ruled out by anti-affinity",
    )
    assert choose([ROOMY], replace(ASK, only=frozenset({"x"}))).reasons == (
        "1 host is not allowed by the affinity or zone asked",
    )


def test_each_lack_is_counted_and_named_once() -> None:
    hosts = [
        replace(ROOMY, id="1", up=False),
        replace(ROOMY, id="2", up=False),
        replace(ROOMY, id="3", enabled=False),
        replace(ROOMY, id="4", drivers=frozenset({"qemu"})),
        replace(ROOMY, id="5", vcpus_free=0),
        replace(ROOMY, id="6", ram_free_mib=511),
        replace(ROOMY, id="7", disk_free_gib=9),
    ]
    decision = choose(hosts, ASK)
    assert decision.host_id is None
    assert decision.reasons == (
        "1 host is disabled",
        "2 hosts are down",
        "1 host is without 1 free vcpus",
        "1 host is without 10 GiB of free disk",
        "1 host is without 512 MiB of free memory",
        "1 host is without the lxc driver",
    )


def test_no_hosts_at_all_is_said_so() -> None:
    assert choose([], ASK).reasons == ("there are no hosts",)
