"""Where the control plane's roles listen, with one control host and with three."""

from __future__ import annotations

import pytest

from kumoi import addresses
from kumoi.config import CloudSettings, HostSettings, changed
from kumoi.control_host import ControlHost

ALONE = CloudSettings(name="t1", public_cidr="10.0.4.0/24", underlay_cidr="10.0.5.0/28")
LISTED = tuple(ControlHost(f"t1-host{n}", f"10.0.5.{n}") for n in (1, 2, 3))
CLOUD = changed(ALONE, control_hosts=LISTED)
FIRST, SECOND = (HostSettings(name=f"t1-host{n}") for n in (1, 2))


@pytest.mark.parametrize(
    ("cloud", "host", "found"),
    [
        (ALONE, FIRST, ("10.0.4.1",)),
        (CLOUD, FIRST, ("10.0.4.1", "10.0.5.1")),
        (CLOUD, SECOND, ("10.0.5.2",)),
    ],
)
def test_each_control_host_answers_at_its_own_address(
    cloud: CloudSettings, host: HostSettings, found: tuple[str, ...]
) -> None:
    assert addresses.of_apis(cloud, host) == found


def test_clients_are_referred_to_the_address_at_which_they_ask() -> None:
    assert addresses.seen_at(CLOUD, "10.0.5.2").api_url == "https://10.0.5.2:5000"
    assert addresses.seen_at(CLOUD, "10.0.4.1").api_url == "https://10.0.4.1:5000"
    behind_proxy = changed(CLOUD, api_public_url="https://cloud.example")
    assert addresses.seen_at(behind_proxy, "10.0.5.2").api_url == "https://cloud.example"


def test_a_host_asks_its_own_control_plane_first_and_then_the_others() -> None:
    urls = [f"https://10.0.5.{n}:5001" for n in (1, 2, 3)]
    assert list(addresses.host_api_urls(CLOUD, "t1-host4")) == urls
    assert list(addresses.host_api_urls(CLOUD, "t1-host2")) == [urls[1], urls[0], urls[2]]
    assert addresses.host_api_urls(ALONE, "t1-host2") == ("https://10.0.5.1:5001",)


def test_commands_ask_their_own_host() -> None:
    assert addresses.api_url(CLOUD, FIRST) == "https://10.0.4.1:5000"
    assert addresses.api_url(CLOUD, SECOND) == "https://10.0.5.2:5000"
