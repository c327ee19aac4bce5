"""What LXC is told."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import pytest
from tests.unit.cloud.drivers.instance.instance_samples import (
    PORT,
    SERVER,
    ZONE,
    agrees,
    but,
    with_address,
)

from kumoi.base.errors import Permanent
from kumoi.cloud.drivers.instance import seed
from kumoi.cloud.drivers.instance.lxc import config, network
from kumoi.cloud.drivers.instance.lxc.idmap import of_slot
from kumoi.cloud.drivers.instance.lxc.subids import FIRST, Claim
from kumoi.cloud.hostapi.messages import Address, InstanceSpec

VERSION_1 = config.Machine(
    cgroup_parent="test.servers",
    controllers=frozenset({"memory", "cpu", "pids", "devices", "freezer"}),
    unified_controllers=frozenset(),
    swap_limited=True,
    tcp_limited=True,
    apparmor=False,
)
VERSION_2 = config.Machine(
    cgroup_parent="test.servers",
    controllers=frozenset(),
    unified_controllers=frozenset({"memory", "cpu", "pids"}),
    swap_limited=True,
    tcp_limited=False,
    apparmor=True,
)
CLAIM = Claim(FIRST)
PLACE = config.ContainerPaths(
    rootfs=Path("/mnt/root"),
    seccomp=Path("/state/seccomp"),
    unfiltered=Path("/state/servers/x/unfiltered"),
    console=Path("/state/servers/x/console.log"),
    processors=Path("/mnt/cpuinfo"),
    start_hook=network.hook(Path("/state/servers/x/network")),
    uptime_s=4_711,
)
CPUINFO = "processor\t: 0\nmodel name\t: A\n\nprocessor\t: 1\nmodel name\t: B\n\n"


def told(server: InstanceSpec, machine: config.Machine = VERSION_1) -> str:
    return config.config(server, machine, PLACE, of_slot(CLAIM, server.id_slot))


@pytest.mark.parametrize(
    ("name", "machine"),
    [("version_1", VERSION_1), ("version_2", VERSION_2)],
)
def test_the_configuration(name: str, machine: config.Machine) -> None:
    agrees(f"config_{name}", told(SERVER, machine))


def test_a_server_without_ports_has_no_network() -> None:
    assert "lxc.net.0.type = empty" in told(but(ports=[]))


def test_without_clocks_of_their_own_servers_show_the_hosts() -> None:
    place = dataclasses.replace(PLACE, uptime_s=None)
    assert "lxc.time" not in config.config(SERVER, VERSION_1, place, of_slot(CLAIM, 1))


def test_a_server_shows_as_many_processors_as_its_flavor_has() -> None:
    one = "processor\t: 0\nmodel name\t: A\n\n"
    assert config.processors(CPUINFO, 1) == one
    assert config.processors(CPUINFO, 3) == CPUINFO + one.replace(": 0", ": 2")
    assert config.processors("cpu model: Z\n", 2) == "cpu model: Z\n"


def test_memory_alone_is_limited_where_swap_cannot_be() -> None:
    alone = config.Machine(
        cgroup_parent="t",
        controllers=frozenset({"memory"}),
        unified_controllers=frozenset({"memory"}),
        swap_limited=False,
        tcp_limited=False,
        apparmor=False,
    )
    text = told(SERVER, alone)
    assert "memory.limit_in_bytes = 536870912" in text
    assert "swap" not in text
    assert "memsw" not in text


@pytest.mark.parametrize(
    ("what", "changes"),
    [
        ("host name", {"hostname": "web1\nlxc.idmap = u 0 0 65536"}),
        ("host name", {"hostname": "-web"}),
        ("characters", {"ssh_keys": ["ssh-rsa AAAA\nssh-rsa BBBB"]}),
        ("MAC", {"ports": [msgspec.structs.replace(PORT, mac="fa:16:3e\n")]}),
        ("MTU", {"ports": [msgspec.structs.replace(PORT, mtu=1)]}),
        ("interface", {"ports": [msgspec.structs.replace(PORT, name="eth0\n")]}),
        ("no address", {"ports": [with_address(Address(address="10.0.0.1", prefix=33))]}),
        ("IP address", {"ports": [with_address(Address(address="10.0.0.1\n", prefix=24))]}),
        (
            "IP address",
            {"ports": [with_address(Address(address="10.0.0.1", prefix=24, gateway="x"))]},
        ),
        ("IP address", {"ports": [with_address(Address(address=ZONE, prefix=64))]}),
        (
            "IP address",
            {"ports": [with_address(Address(address="fd00::1", prefix=64, gateway=ZONE))]},
        ),
        (
            "IP address",
            {"ports": [with_address(Address(address="10.0.0.1", prefix=24, dns=["x\ny"]))]},
        ),
        ("IP address", {"ports": [with_address(Address(address="fe80::1%\nlxc.x", prefix=64))]}),
        ("Base64", {"user_data": "%%%"}),
        ("slot", {"id_slot": 16_384}),
    ],
)
def test_what_is_wrong_never_becomes_a_line_of_configuration(
    what: str, changes: dict[str, object]
) -> None:
    with pytest.raises(Permanent, match=what):
        seed.files(but(**changes))
        told(but(**changes))
