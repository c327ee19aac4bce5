"""The table of units as systemd's files: golden texts, which KUMOI_GOLDEN=write renews, and what
holds for all of them.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from kumoi import config
from kumoi.config import CloudSettings, first_host
from kumoi.hosts.units import systemd, table
from kumoi.hosts.units.releases import Release
from kumoi.hosts.units.table import Unit

GOLDEN = Path(__file__).parent / "golden"
CLOUD = CloudSettings(name="t1", public_cidr="10.0.4.0/24", underlay_cidr="10.0.5.0/28")
HOST = first_host(CLOUD, "/s")
RELEASE = Release("1", Path("/s/releases/1/bin/python"))


def units(cloud: CloudSettings = CLOUD) -> list[Unit]:
    return table.all_units(cloud, HOST, RELEASE, only_engines=False)


def rendered(cloud: CloudSettings = CLOUD) -> dict[str, str]:
    """By name, with a word for what changes with all that a unit is told."""
    texts = systemd.render(cloud, HOST, RELEASE, units(cloud))
    return {without_digests(name): without_digests(text) for name, text in texts.items()}


def without_digests(text: str) -> str:
    return re.sub(r"(@| )[0-9a-f]{16}\b", r"\1DIGEST", text)


@pytest.mark.parametrize("name", sorted(rendered()))
def test_a_file_is_as_it_was_reviewed(name: str) -> None:
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("KUMOI_GOLDEN") == "write":
        golden.write_text(rendered()[name])
    assert rendered()[name] == golden.read_text()


def test_there_is_a_file_for_every_unit_and_every_socket() -> None:
    reviewed = {path.name.removesuffix(".txt") for path in GOLDEN.iterdir()}
    assert reviewed == set(rendered())
    assert {f"kumoi-t1-{unit.name}@DIGEST.service" for unit in units()} < reviewed


def test_all_but_the_agent_is_held_back() -> None:
    for name, text in rendered().items():
        if "@" in name:
            is_agent = name.startswith("kumoi-t1-agent@")
            assert ("NoNewPrivileges=yes" in text) != is_agent, name
            assert ("User=" in text) != is_agent, name


def test_what_holds_its_helpers_to_less_may_do_so() -> None:
    """The inspector was refused Landlock, and every upload failed."""
    for name in ("inspector", "repositories"):
        text = rendered()[f"kumoi-t1-{name}@DIGEST.service"]
        assert "landlock_restrict_self" in text
        assert " seccomp" in text


def test_another_version_of_a_role_is_another_instance_on_the_same_sockets() -> None:
    changed = config.changed(CLOUD, token_ttl_s=7)
    one, other = (systemd.render(each, HOST, RELEASE, units(each)) for each in (CLOUD, changed))
    both = one.keys() & other.keys()
    assert "kumoi-t1-api.socket" in both
    assert all(one[name] == other[name] for name in both if name.endswith(".socket"))
    assert not [name for name in both if name.startswith("kumoi-t1-api@")]
    assert [name for name in both if name.startswith("kumoi-t1-ovs-vswitchd@")]


def test_a_word_stands_for_nothing_else_in_systemds_eyes() -> None:
    unit = Unit("x", table.UnitKind.ENGINE, ("/bin/x", 'a "b"', "100%", "$HOME", "back\\slash"))
    text = systemd.render(CLOUD, HOST, RELEASE, [unit])[systemd.service(CLOUD, HOST, unit)]
    assert r'ExecStart=/bin/x "a \"b\"" "100%%" "$$HOME" "back\\slash"' in text


def test_a_way_outside_waits_for_the_machines_addresses() -> None:
    """The edge keeps servers from each of them."""
    open_to_it = rendered(config.changed(CLOUD, outbound=True))
    assert "After=network-online.target\n" in open_to_it["kumoi-t1-boot.service"]
    assert "After=network.target\n" in rendered()["kumoi-t1-boot.service"]
