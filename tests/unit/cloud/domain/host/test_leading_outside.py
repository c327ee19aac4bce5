"""Which hosts may be a router's gateway while some are lost or out of service."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from kumoi.cloud.domain.host.host import HEARD_ALL, leading_outside
from kumoi.cloud.store.host.host import DOWN, UP, Host

NOW = datetime(2026, 11, 29, tzinfo=UTC)
ONE = Host(
    id="one",
    uuid="one",
    number=1,
    state=UP,
    enabled=True,
    disabled_reason="",
    forced_down=False,
    version="",
    hostname="one",
    drivers=[],
    vcpus=0,
    ram_mib=0,
    disk_gib=0,
    vcpus_claimed=0,
    ram_claimed_mib=0,
    disk_claimed_gib=0,
    servers_claimed=0,
    vcpus_free=0,
    ram_free_mib=0,
    disk_free_gib=0,
    ready_images=[],
    created_at=NOW - HEARD_ALL,
    updated_at=NOW - HEARD_ALL,
    seen_at=NOW,
)
TWO = replace(ONE, id="two")


def leading(*hosts: Host) -> list[str]:
    return [row.id for row in leading_outside(hosts, NOW)]


def test_a_host_out_of_service_leads_none_outside_while_another_can() -> None:
    drained = replace(ONE, enabled=False, updated_at=NOW)
    assert leading(ONE, TWO) == ["one", "two"]
    assert leading(drained, TWO) == ["two"]


def test_it_does_where_no_other_can() -> None:
    drained = replace(ONE, enabled=False)
    assert leading(drained, replace(TWO, enabled=False)) == ["one", "two"]
    assert leading(drained, replace(TWO, state=DOWN)) == ["one"]


def test_a_host_whose_machine_has_no_external_network_never_does() -> None:
    inside = replace(TWO, leads_outside=False)
    assert leading(ONE, inside) == ["one"]
    assert leading(replace(ONE, state=DOWN), inside) == []
