from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from kumoi.base.errors import Invalid
from kumoi.config import (
    CLOUD_FILE,
    CloudSettings,
    HostSettings,
    first_host,
    is_first,
    parse,
    read,
    render,
    write,
)
from kumoi.control_host import ControlHost

OF_ANOTHER_RELEASE = """\
name = "c1"
image_mirrors = ["https://a", "https://b"]
quota = { servers = 3, "of whom" = "all", since = 2026-11-28T10:00:00Z, share = 0.5 }
written_by_up = ["name", "image_mirrors", "quota"]
"""


def test_settings_survive_being_written_and_read() -> None:
    cloud = CloudSettings(name="x1", region='a "quoted" \\ place\n', api_port=7000, outbound=True)
    assert parse(CloudSettings, render(cloud)).require_known() == cloud
    host = HostSettings(name="rack2", state_dir="/a \x7f b")
    again = parse(HostSettings, render(host)).require_known()
    assert again == host
    assert repr(again) == repr(host)  # By this a role sees that it must be started anew.


def test_a_mistyped_setting_is_named_with_the_nearest_that_there_is() -> None:
    found = parse(CloudSettings, render(CloudSettings()) + "tokn_ttl_s = 7\n")
    with pytest.raises(Invalid, match="no setting tokn_ttl_s: did you mean token_ttl_s"):
        found.require_known()


def test_a_role_reads_what_another_release_wrote() -> None:
    found = parse(CloudSettings, OF_ANOTHER_RELEASE)
    assert found.settings == CloudSettings(name="c1")
    assert set(found.unknown) == {"image_mirrors", "quota"}
    assert found.require_known() == found.settings


def test_a_role_that_only_another_release_has_is_its_own_affair() -> None:
    text = 'roles = ["agent", "balancer"]'
    with pytest.raises(Invalid, match=r"no setting roles\.balancer"):
        parse(HostSettings, text).require_known()
    found = parse(HostSettings, f'{text}\nwritten_by_up = ["roles", "roles.balancer"]')
    assert found.unknown_names == ["roles.balancer"]
    assert found.require_known().roles == ("agent", "balancer")


def test_a_list_of_anything_but_words_is_named() -> None:
    for value in ('"agent"', "[1]", '["agent", true]'):
        with pytest.raises(Invalid, match="roles must be a list of words"):
            parse(HostSettings, f"roles = {value}")


def test_what_another_release_wrote_stays_when_it_is_written_back(tmp_path: Path) -> None:
    (tmp_path / CLOUD_FILE).write_text(OF_ANOTHER_RELEASE)
    before = read(CloudSettings, tmp_path)
    for name in ("c1", "c2"):
        write(CloudSettings(name=name), tmp_path)
        after = read(CloudSettings, tmp_path)
        assert after.unknown == before.unknown
        assert after.require_known() == CloudSettings(name=name)


def test_a_setting_of_the_wrong_type_is_named_to_roles_and_people(tmp_path: Path) -> None:
    for text in ('api_port = "5000"', "api_port = true", "api_port = 5000.0"):
        (tmp_path / CLOUD_FILE).write_text(text)
        with pytest.raises(Invalid, match=r"cloud\.toml: setting api_port must be int"):
            read(CloudSettings, tmp_path)


def test_what_is_not_toml_is_refused() -> None:
    with pytest.raises(Invalid, match="not TOML"):
        parse(HostSettings, "=")


def test_every_setting_says_what_it_means() -> None:
    every = [*fields(CloudSettings), *fields(HostSettings)]
    assert all(len(item.metadata["meaning"]) > 10 for item in every)


def test_addresses_follow_from_the_ranges() -> None:
    cloud = CloudSettings(public_cidr="10.1.0.0/24", underlay_cidr="10.2.0.0/28", name="t")
    assert cloud.api_url == "https://10.1.0.1:5000"
    assert cloud.host_api_url == "https://10.2.0.1:5001"
    assert cloud.edge_address == "10.1.0.2"
    assert cloud.edge_name == "t-edge"
    host = first_host(cloud, "/s")
    assert (host.name, host.underlay_address) == ("t-host1", "10.2.0.2")


def test_the_host_with_the_apis_is_the_first_of_a_cloud_without_control_hosts() -> None:
    cloud = CloudSettings(name="t1")
    first = first_host(cloud, "/s")
    joined = HostSettings(name="t1-host2", roles=("agent",))
    assert [is_first(cloud, host) for host in (first, joined)] == [True, False]


def test_of_control_hosts_with_the_same_roles_one_is_the_first() -> None:
    names = ("t1-host3", "t1-host1", "t1-host2")
    listed = tuple(map(ControlHost, names, ("10.0.5.13", "10.0.5.1", "10.0.5.14")))
    cloud = CloudSettings(name="t1", underlay_cidr="10.0.5.0/28", control_hosts=listed)
    hosts = [HostSettings(name=name) for name in (*names, "t1-host4")]
    assert [is_first(cloud, host) for host in hosts] == [False, True, False, False]
