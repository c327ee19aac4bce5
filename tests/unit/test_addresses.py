"""Where the control plane's roles listen, with one control host and with three."""

from __future__ import annotations

import pytest

from kumoi import addresses
from kumoi.config import CloudSettings, HostSettings, changed
from kumoi.control_host import ControlHost

ALONE = CloudSettings(name="t1", public_cidr="10.0.4.0/24", underlay_cidr="10.0.5.0/28")
LISTED = tuple(ControlHost(f"t1-host{n}", f"10.0.5.{n}") for n in (1, 2, 3))
CLOUD = changed(ALONE, control_hosts=LISTED)
SHARED = changed(CLOUD, shared_address="10.0.5.9")
FIRST, SECOND = (HostSettings(name=f"t1-host{n}") for n in (1, 2))


@pytest.mark.parametrize(
    ("cloud", "host", "found"),
    [
        (ALONE, FIRST, ("10.0.4.1",)),
        (CLOUD, FIRST, ("10.0.4.1", "10.0.5.1")),
        (CLOUD, SECOND, ("10.0.5.2",)),
        (SHARED, FIRST, ("10.0.4.1", "10.0.5.1", "10.0.5.9")),
        (SHARED, SECOND, ("10.0.5.2", "10.0.5.9")),
    ],
)
def test_each_control_host_answers_at_its_own_address(
    cloud: CloudSettings, host: HostSettings, found: tuple[str, ...]
) -> None:
    assert addresses.of_apis(cloud, host) == found


def test_clients_are_referred_to_the_address_at_which_they_ask() -> None:
    assert addresses.seen_at(CLOUD, "10.0.5.2").api_url == "https://10.0.5.2:5000"
    assert addresses.seen_at(CLOUD, "10.0.4.1").api_url == "https://10.0.4.1:5000"
    assert addresses.seen_at(SHARED, "10.0.5.9").api_url == "https://10.0.5.9:5000"
    assert addresses.seen_at(SHARED, "10.0.4.1").api_url == "https://10.0.4.1:5000"
    assert addresses.seen_at(SHARED, "10.0.5.2").api_url == "https://10.0.5.2:5000"
    behind_proxy = changed(CLOUD, api_public_url="https://cloud.example")
    assert addresses.seen_at(behind_proxy, "10.0.5.2").api_url == "https://cloud.example"


def test_a_host_asks_its_own_control_plane_first_and_then_the_others() -> None:
    urls = [f"https://10.0.5.{n}:5001" for n in (1, 2, 3)]
    assert list(addresses.host_api_urls(CLOUD, "t1-host4")) == urls
    assert list(addresses.host_api_urls(CLOUD, "t1-host2")) == [urls[1], urls[0], urls[2]]
    assert addresses.host_api_urls(ALONE, "t1-host2") == ("https://10.0.5.1:5001",)


def test_clients_are_sent_to_the_address_that_moves_and_may_ask_each_host_at_its_own() -> None:
    assert SHARED.api_url == addresses.api_url(SHARED, FIRST) == "https://10.0.5.9:5000"
    assert addresses.api_url(SHARED, SECOND) == "https://10.0.5.2:5000"
    assert "10.0.5.9" in SHARED.own_addresses
    assert SHARED.pipeline_url == "https://10.0.5.9:5002"
    for host, own in ((FIRST, "10.0.4.1"), (SECOND, "10.0.5.2")):
        its = addresses.of_pipeline(SHARED, host)
        assert addresses.of_pipelines(its, host) == (own, "10.0.5.9")
        assert its.pipeline_url == "https://10.0.5.9:5002"
        assert addresses.pipeline_seen_at(its, own).pipeline_url == f"https://{own}:5002"
        assert addresses.pipeline_seen_at(its, "10.0.5.9").pipeline_url == its.pipeline_url
        assert its.keystone_url == f"https://{own}:5000/identity"
        assert addresses.pipeline_urls(its) == addresses.pipeline_urls(CLOUD)


def test_commands_ask_their_own_host() -> None:
    assert addresses.api_url(CLOUD, FIRST) == "https://10.0.4.1:5000"
    assert addresses.api_url(CLOUD, SECOND) == "https://10.0.5.2:5000"


@pytest.mark.parametrize(
    ("cloud", "host", "listens", "url", "identity"),
    [
        (ALONE, FIRST, "10.0.4.1", "https://10.0.4.1:5002", "https://10.0.4.1:5000/identity"),
        (CLOUD, FIRST, "10.0.4.1", "https://10.0.4.1:5002", "https://10.0.4.1:5000/identity"),
        (CLOUD, SECOND, "10.0.5.2", "https://10.0.5.2:5002", "https://10.0.5.2:5000/identity"),
    ],
)
def test_each_control_hosts_pipeline_answers_for_itself_and_asks_its_own_api(
    cloud: CloudSettings, host: HostSettings, listens: str, url: str, identity: str
) -> None:
    its = addresses.of_pipeline(cloud, host)
    assert addresses.of_pipelines(cloud, host) == (its.pipeline_listens_at,) == (listens,)
    assert (its.pipeline_url, its.keystone_url) == (url, identity)


def test_what_is_set_for_pipelines_is_for_all_of_them() -> None:
    behind_proxy = changed(
        CLOUD, pipeline_public_url="https://git.example", identity_url="https://keystone.example"
    )
    its = addresses.of_pipeline(behind_proxy, SECOND)
    assert (its.pipeline_url, its.keystone_url) == (
        "https://git.example",
        "https://keystone.example",
    )
    assert addresses.pipeline_urls(its) == ("https://git.example",)


def test_runners_of_all_pipelines_are_told_the_same() -> None:
    urls = tuple(f"https://{each}:5002" for each in ("10.0.4.1", "10.0.5.2", "10.0.5.3"))
    for host in (FIRST, SECOND):
        assert addresses.pipeline_urls(addresses.of_pipeline(CLOUD, host)) == urls
    assert addresses.pipeline_urls(ALONE) == urls[:1]
