from __future__ import annotations

from dataclasses import replace

import pytest

from kumoi.base.errors import Invalid
from kumoi.config import CloudSettings, parse, render
from kumoi.control_host import ControlHost

UNDERLAY = "10.2.0.0/28"
HOSTS = (
    ControlHost("a", "10.2.0.1"),
    ControlHost("b", "10.2.0.14"),
    ControlHost("c", "10.2.0.13"),
)


def written(*hosts: str) -> str:
    return f'underlay_cidr = "{UNDERLAY}"\ncontrol_hosts = [{", ".join(hosts)}]\n'


def host(name: str, address: str) -> str:
    return f'{{ name = "{name}", address = "{address}" }}'


def test_control_hosts_survive_being_written_and_read() -> None:
    cloud = CloudSettings(underlay_cidr=UNDERLAY, control_hosts=HOSTS)
    again = parse(CloudSettings, render(cloud)).require_known()
    assert again == cloud
    assert again.is_replicated


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("rack7", "is no address of IPv4"),
        ("fd00::1", "is no address of IPv4"),
        ("10.2.0.14", "is one host's own"),
        ("172.24.4.1", "is one host's own"),
    ],
)
def test_a_shared_address_is_nobodys_own(address: str, words: str) -> None:
    cloud = CloudSettings(underlay_cidr=UNDERLAY, control_hosts=HOSTS, shared_address=address)
    with pytest.raises(Invalid, match=words) as refused:
        parse(CloudSettings, render(cloud))
    assert refused.value.field == "shared_address"
    good = parse(CloudSettings, render(replace(cloud, shared_address="10.2.0.12"))).settings
    assert good.client_address == "10.2.0.12"


def test_an_address_is_shared_by_control_hosts_only() -> None:
    with pytest.raises(Invalid, match="control_hosts is empty"):
        parse(CloudSettings, 'shared_address = "10.2.0.12"')


def test_a_cloud_has_none_until_they_are_named() -> None:
    assert not parse(CloudSettings, render(CloudSettings())).settings.is_replicated


def test_what_another_release_says_of_a_control_host_stays() -> None:
    first = '{ name = "a", address = "10.2.0.1", weight = 3 }'
    text = written(first, host("b", "10.2.0.2"), host("c", "10.2.0.3"))
    found = parse(CloudSettings, text).require_known()
    assert '"weight" = 3' in render(found)
    assert parse(CloudSettings, render(found)).require_known() == found


@pytest.mark.parametrize(
    ("hosts", "words"),
    [
        ([host("a", "10.2.0.1")], "has 1 hosts, and must have 3 or 5"),
        ([host(name, f"10.2.0.{i + 1}") for i, name in enumerate("abcd")], "has 4 hosts"),
        ([host(name, f"10.2.0.{i + 1}") for i, name in enumerate("aba")], "the name a twice"),
        (
            [host("a", "10.2.0.1"), host("b", "10.2.0.2"), host("c", "10.2.0.2")],
            r"the address 10\.2\.0\.2 twice",
        ),
        (
            [host("a", "10.2.0.1"), host("b", "10.2.0.2"), host("c", "10.3.0.3")],
            r"10\.3\.0\.3, which is outside of underlay_cidr",
        ),
        (
            [host("a", "10.2.0.1"), host("b", "10.2.0.2"), host("c", "rack7")],
            "rack7, which is no address",
        ),
        (
            [host(name, f"10.2.0.{i + 2}") for i, name in enumerate("abc")],
            r"no host at 10\.2\.0\.1",
        ),
        (['{ name = "a" }'], "without a word as its address"),
        (['{ nmae = "a", address = "10.2.0.1" }'], "without a word as its name"),
        (['"a"'], "must be a list of tables, not of 'a'"),
    ],
)
def test_hosts_that_could_not_have_a_control_plane_together_are_refused(
    hosts: list[str], words: str
) -> None:
    with pytest.raises(Invalid, match=f"setting control_hosts .*{words}") as refused:
        parse(CloudSettings, written(*hosts))
    assert refused.value.field == "control_hosts"


def test_a_list_of_control_hosts_is_no_word() -> None:
    with pytest.raises(Invalid, match="control_hosts must be a list of tables"):
        parse(CloudSettings, 'control_hosts = "a,b,c"')
