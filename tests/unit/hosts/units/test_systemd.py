"""The table of units as systemd's files: golden texts, which KUMOI_GOLDEN=write renews, and what
holds for all of them.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from kumoi import config
from kumoi.base.process import run
from kumoi.config import CloudSettings, first_host
from kumoi.hosts.units import systemd, table
from kumoi.hosts.units.releases import Release
from kumoi.hosts.units.table import Unit

GOLDEN = Path(__file__).parent / "golden"
CLOUD = CloudSettings(name="t1", public_cidr="10.0.4.0/24", underlay_cidr="10.0.5.0/28")
HOST = first_host(CLOUD, "/s")
EXPOSURE_MAX = 2.0
NOBODYS = "Special user nobody configured"  # Who holds sockets owns nothing, and needs no user of its own.
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


def test_systemd_listens_in_the_namespace_that_the_service_runs_in() -> None:
    there = "t1-host2-control"
    moved = [replace(unit, namespace=there) if unit.name == "api" else unit for unit in units()]
    texts = systemd.render(CLOUD, HOST, RELEASE, moved)
    inside = [name for name, text in texts.items() if f"=/run/netns/{there}\n" in text]
    assert [name.rpartition(".")[2] for name in sorted(inside)] == ["socket", "service"]


def test_a_word_stands_for_nothing_else_in_systemds_eyes() -> None:
    unit = Unit("x", table.UnitKind.ENGINE, ("/bin/x", 'a "b"', "100%", "$HOME", "back\\slash"))
    text = systemd.render(CLOUD, HOST, RELEASE, [unit])[systemd.service(CLOUD, HOST, unit)]
    assert r'ExecStart=/bin/x "a \"b\"" "100%%" "$$HOME" "back\\slash"' in text


def test_a_way_outside_waits_for_the_machines_addresses() -> None:
    """The edge keeps servers from each of them."""
    agent = "kumoi-t1-agent@DIGEST.service"
    open_to_it = rendered(config.changed(CLOUD, outbound=True))
    assert "After=network-online.target\n" in open_to_it[agent]
    assert "After=network.target\n" in rendered()[agent]


def test_what_a_reboot_takes_away_is_made_before_anything_else_by_the_agents_unit() -> None:
    for name, text in rendered().items():
        makes = "kumoi.main boot" in text
        assert makes == name.startswith("kumoi-t1-agent@"), name
        assert ("Before=kumoi-t1-wires.target\n" in text) == makes, name
        if name.endswith(".socket") or ("@" in name and not makes):
            assert re.search(r"^After=kumoi-t1-wires.target\b", text, re.MULTILINE), name


@pytest.fixture(params=["all roles", "no agent"])
def installed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A directory of unit files and what starts with the machine, as `up` leaves it."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze")
    host = HOST if request.param == "all roles" else replace(HOST, roles=("network", "api"))
    wanted = table.all_units(CLOUD, host, RELEASE, only_engines=False)
    wants = tmp_path / "kumoi-t1.target.wants"
    wants.mkdir()
    for name, text in systemd.render(CLOUD, host, RELEASE, wanted).items():
        (tmp_path / name).write_text(text.replace(str(RELEASE.python), sys.executable))
        if f"WantedBy={wants.stem}\n" in text:
            (wants / name).symlink_to(tmp_path / name)
    return tmp_path


def analyzed(installed: Path, *words: str) -> str:
    """What systemd says of the files, and of no other units than its own."""
    done = run(
        ["systemd-analyze", "--no-pager", *words],
        env={"SYSTEMD_UNIT_PATH": f"{installed}:", "XDG_RUNTIME_DIR": str(installed)},
        check=False,
    )
    return done.out + done.err


def test_systemd_finds_nothing_to_say_about_the_files(installed: Path) -> None:
    """It breaks a circle in the order by leaving a unit out, and then a reboot brings half of it back."""
    said = analyzed(installed, "verify", "--man=no", str(installed / "kumoi-t1.target"))
    lines = [line for line in said.splitlines() if "kumoi-t1" in line]
    assert [line for line in lines if NOBODYS not in line] == []


def test_each_unit_but_the_agents_is_exposed_by_two_at_most(installed: Path) -> None:
    """Of ten. Only a host that has no agent has another one above it, for what an agent does first."""
    names = sorted(path.name for path in installed.glob("*.service"))
    said = analyzed(installed, "security", "--offline=true", *names)
    level = r"Overall exposure level for kumoi-t1-([\w-]+).*?: (\d+\.\d)"
    exposed = {name: float(level) for name, level in re.findall(level, said)}
    assert len(exposed) == len(names)
    assert {name for name, level in exposed.items() if level > EXPOSURE_MAX} in (
        {"agent"},
        {"boot"},
    )


def test_a_host_without_an_agent_has_a_unit_for_what_a_reboot_takes_away() -> None:
    host = replace(HOST, roles=("network", "api", "worker"))
    wanted = table.all_units(CLOUD, host, RELEASE, only_engines=False)
    texts = systemd.render(CLOUD, host, RELEASE, wanted)
    boots = [name for name, text in texts.items() if "kumoi.main boot" in text]
    assert boots == [systemd.boot(CLOUD, host)]
    assert "Before=kumoi-t1-wires.target\n" in texts[boots[0]]
    assert "WantedBy=kumoi-t1.target\n" in texts[boots[0]]
