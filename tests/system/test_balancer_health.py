"""Members are probed on a live cloud: real containers that answer, fall silent and come back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.system.live import LiveCloud, eventually
from tests.system.test_load_balancer import Shop, opened

from kumoi.cloud.drivers.load_balancer.station import prefix

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]

CIDR = "10.75.0.0/24"
HANG_S = 30.0
TCP = {"type": "TCP", "delay": 1, "timeout": 1, "max_retries": 1, "max_retries_down": 2}


@pytest.fixture(scope="module")
def shop(live: LiveCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with opened(Shop, live, tmp_path_factory.mktemp("shop"), CIDR) as made:
        yield made


@pytest.fixture
def balancer(shop: Shop) -> Iterator[Any]:
    made = begin(shop, TCP)
    eventually(lambda: shop.answers(made.vip_address), within_s=HANG_S, what="it answers")
    yield made
    shop.user.cloud.load_balancer.delete_load_balancer(made.id, cascade=True)


def begin(shop: Shop, monitor: dict[str, Any], *, ends: list[dict[str, Any]] | None = None) -> Any:
    pool = {
        "protocol": "TCP",
        "lb_algorithm": "ROUND_ROBIN",
        "members": shop.ends() if ends is None else ends,
        "healthmonitor": monitor,
    }
    return shop.user.cloud.load_balancer.create_load_balancer(
        name="shop",
        vip_subnet_id=shop.user.subnet.id,
        listeners=[{"protocol": "TCP", "protocol_port": 80, "default_pool": pool}],
    )


def states(shop: Shop, balancer: Any) -> dict[str, str]:
    """Of its members, by their port and the last part of their address."""
    balancing = shop.user.cloud.load_balancer
    (named,) = balancing.get_load_balancer(balancer.id).pools
    return {
        f"{one.address.rpartition('.')[2]}:{one.protocol_port}": one.operating_status
        for one in balancing.members(named["id"])
    }


def stations(shop: Shop) -> list[str]:
    return [path.name for path in Path("/run/netns").glob(f"{prefix(shop.user.live.here.name)}*")]


def test_a_member_that_falls_silent_gets_nothing_until_it_is_back(
    shop: Shop, balancer: Any
) -> None:
    red, _ = shop.servers
    eventually(
        lambda: set(states(shop, balancer).values()) == {"ONLINE"},
        within_s=HANG_S,
        what="both work",
    )
    shop.user.root(red, "pkill", "-f", "serve.py")
    eventually(
        lambda: sorted(states(shop, balancer).values()) == ["ERROR", "ONLINE"],
        within_s=HANG_S,
        what="one is out",
    )
    assert set(shop.ask(balancer.vip_address, 20)) == {"blue"}
    status = shop.user.cloud.load_balancer.get_load_balancer(balancer.id).operating_status
    shop.serve(red)
    eventually(
        lambda: set(states(shop, balancer).values()) == {"ONLINE"},
        within_s=HANG_S,
        what="it is back",
    )
    assert set(shop.ask(balancer.vip_address, 40)) == {"red", "blue"}
    assert status == "DEGRADED"


@pytest.mark.parametrize(
    ("monitor", "expected"),
    [
        ({"type": "PING"}, "ONLINE"),
        ({"type": "TCP"}, "ONLINE"),
        ({"type": "HTTP", "expected_codes": "200"}, "ERROR"),
    ],
)
def test_each_type_of_monitor_says_what_it_sees(
    shop: Shop, monitor: dict[str, Any], expected: str
) -> None:
    """The servers speak no HTTP."""
    made = begin(shop, {**TCP, **monitor})
    try:
        eventually(
            lambda: set(states(shop, made).values()) == {expected},
            within_s=HANG_S,
            what="it is known",
        )
    finally:
        shop.user.cloud.load_balancer.delete_load_balancer(made.id, cascade=True)


def test_probes_take_no_address_of_the_subnet_and_leave_nothing(shop: Shop) -> None:
    balancer = begin(shop, TCP)
    eventually(lambda: shop.answers(balancer.vip_address), within_s=HANG_S, what="it answers")
    subnet = f"subnet_id={shop.user.subnet.id}"
    owners = {port.device_owner for port in shop.user.cloud.network.ports(fixed_ips=subnet)}
    assert owners == {"Octavia", "compute:nova", "network:router_interface"}
    assert stations(shop)
    done = shop.user.inside(shop.client, "ping", "-c2", "-i0.2", "-W1", balancer.vip_address)
    assert "DUP" not in done.out
    shop.user.cloud.load_balancer.delete_load_balancer(balancer.id, cascade=True)
    eventually(lambda: not stations(shop), within_s=HANG_S, what="the station is gone")
