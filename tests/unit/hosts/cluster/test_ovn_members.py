"""What people are told of the members of OVN's databases."""

from __future__ import annotations

from dataclasses import replace

from kumoi.config import CloudSettings, HostSettings
from kumoi.hosts.cluster import ovn_members
from kumoi.hosts.cluster.ovn_members import OvnMembers

WHOLE = OvnMembers("OVN_Northbound", "a", ("b", "c"), (), 7)


def test_one_line_names_who_leads_who_follows_and_who_is_missing() -> None:
    lost = replace(WHOLE, followers=("c",), missing=("b",))
    none = replace(WHOLE, leader="", followers=("c",), missing=("a", "b"))
    assert [ovn_members.words(each) for each in (WHOLE, lost, none)] == [
        "OVN_Northbound: a leads in term 7, b and c follow",
        "OVN_Northbound: a leads in term 7, c follows; b missing",
        "OVN_Northbound: nobody leads, so no network can be changed; a and b missing",
    ]


def test_one_that_is_missing_or_nobody_who_leads_is_not_whole() -> None:
    assert WHOLE.is_whole
    assert not replace(WHOLE, followers=("c",), missing=("b",)).is_whole
    assert not replace(WHOLE, leader="", followers=("a", "b", "c")).is_whole


def test_a_host_without_members_has_nothing_to_tell_or_to_leave() -> None:
    cloud, host = CloudSettings(), HostSettings()
    assert ovn_members.look(cloud, host) == []
    assert ovn_members.settle(cloud, host) == []
    ovn_members.leave(cloud, [host])
