"""What LXC is told, and what is done for a server. Golden text; KUMOI_GOLDEN=write renews it."""

from __future__ import annotations

import base64
import dataclasses
import os
from pathlib import Path

import msgspec
import pytest

from kumoi.base.errors import Permanent
from kumoi.cloud.drivers.instance.lxc import network, plan
from kumoi.cloud.drivers.instance.lxc.idmap import of_slot
from kumoi.cloud.hostapi.messages import Address, Image, Port, Power, Route, Server

GOLDEN = Path(__file__).parent / "golden"
ID = "6f04a590-e910-4720-a682-6d5d9a87d591"
PORT_ID = "fb0e9e14-e016-43ac-a2bd-fb160025e286"
SECOND_ID = "0f3a2d1c-1111-4222-8333-444455556666"
PORT = Port(
    id=PORT_ID,
    mac="FA:16:3E:00:00:01",
    mtu=1442,
    name="eth0",
    addresses=[
        Address(
            address="10.202.0.5",
            prefix=24,
            gateway="10.202.0.1",
            dns=["10.202.0.2", "10.202.0.3"],
            routes=[Route(destination="10.203.0.0/16", nexthop="10.202.0.9")],
        ),
        Address(address="fd00:202::5", prefix=64, gateway="fd00:202::1", dns=["10.202.0.2"]),
    ],
)
SECOND = Port(
    id=SECOND_ID,
    mac="fa:16:3e:00:00:02",
    mtu=1442,
    name="eth1",
    addresses=[Address(address="10.202.1.5", prefix=24, gateway="10.202.1.1")],
)
SERVER = Server(
    id=ID,
    generation=1,
    power=Power.RUNNING,
    name="Web 1",
    hostname="web1.example",
    vcpus=2,
    ram_mib=512,
    disk_gib=10,
    image=Image(id="i", sha256="ab" * 32, size=1, disk_format="root-tar"),
    id_slot=3,
    ports=[PORT, SECOND],
    ssh_keys=["ssh-ed25519 AAAA me@here"],
    metadata={"role": "web"},
)
VERSION_1 = plan.Machine(
    cgroup_parent="test.servers",
    controllers=frozenset({"memory", "cpu", "pids", "devices", "freezer"}),
    unified_controllers=frozenset(),
    swap_limited=True,
    apparmor=False,
)
VERSION_2 = plan.Machine(
    cgroup_parent="test.servers",
    controllers=frozenset(),
    unified_controllers=frozenset({"memory", "cpu", "pids"}),
    swap_limited=True,
    apparmor=True,
)
BARE = plan.Machine(
    cgroup_parent="test.servers",
    controllers=frozenset(),
    unified_controllers=frozenset(),
    swap_limited=False,
    apparmor=False,
)
PLACE = plan.Place(
    rootfs=Path("/mnt/root"),
    console=Path("/state/servers/x/console.log"),
    processors=Path("/mnt/cpuinfo"),
    start_hook=network.hook(Path("/state/servers/x/network")),
    uptime_s=4_711,
)
ZONE = "fe80::1%x\nlxc.hook.pre-start = id"
CPUINFO = "processor\t: 0\nmodel name\t: A\n\nprocessor\t: 1\nmodel name\t: B\n\n"


def but(**changes: object) -> Server:
    return msgspec.structs.replace(SERVER, **changes)


def _with(address: Address) -> Port:
    return msgspec.structs.replace(PORT, addresses=[address])


def config(server: Server, machine: plan.Machine = VERSION_1) -> str:
    return plan.config(server, machine, PLACE, of_slot(server.id_slot))


def agrees(name: str, text: str) -> None:
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("KUMOI_GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text()


def shown(files: tuple[plan.File, ...]) -> str:
    return "".join(f"{file}\n{file.content.decode()}\n" for file in files)


@pytest.mark.parametrize(
    ("name", "machine"),
    [("version_1", VERSION_1), ("version_2", VERSION_2), ("no_controllers", BARE)],
)
def test_the_configuration(name: str, machine: plan.Machine) -> None:
    agrees(f"config_{name}", config(SERVER, machine))


def test_a_server_without_ports_has_no_network() -> None:
    assert "lxc.net.0.type = empty" in config(but(ports=[]))


def test_without_clocks_of_their_own_servers_show_the_hosts() -> None:
    place = dataclasses.replace(PLACE, uptime_s=None)
    assert "lxc.time" not in plan.config(SERVER, VERSION_1, place, of_slot(1))


def test_a_server_shows_as_many_processors_as_its_flavor_has() -> None:
    one = "processor\t: 0\nmodel name\t: A\n\n"
    assert plan.processors(CPUINFO, 1) == one
    assert plan.processors(CPUINFO, 3) == CPUINFO + one.replace(": 0", ": 2")
    assert plan.processors("cpu model: Z\n", 2) == "cpu model: Z\n"


def test_memory_alone_is_limited_where_swap_cannot_be() -> None:
    alone = plan.Machine(
        cgroup_parent="t",
        controllers=frozenset({"memory"}),
        unified_controllers=frozenset({"memory"}),
        swap_limited=False,
        apparmor=False,
    )
    text = config(SERVER, alone)
    assert "memory.limit_in_bytes = 536870912" in text
    assert "swap" not in text
    assert "memsw" not in text


def test_the_files_of_a_new_server() -> None:
    agrees("files", shown(plan.files(SERVER)))


def test_the_files_with_user_data() -> None:
    user_data = base64.b64encode(b"#cloud-config\n").decode()
    agrees("files_user_data", shown(plan.files(but(user_data=user_data, hostname="web1"))))


def test_without_keys_and_name_servers_there_are_no_files_for_them() -> None:
    paths = [file.path for file in plan.files(but(ssh_keys=[], ports=[]))]
    assert paths == ["/etc/hostname", "/etc/hosts", "/etc/machine-id"]


def test_a_server_without_a_host_name_gets_one() -> None:
    assert plan.hostname(but(hostname="")) == "server-6f04a590"


def test_the_first_start() -> None:
    actions = [
        *plan.building(SERVER, disks=[]),
        *plan.plugging(plan.links(SERVER), links=[], plugged={}),
    ]
    agrees("first_start", "".join(f"{action}\n" for action in actions))


def test_a_rebuild_drops_the_disks_of_other_builds_first() -> None:
    actions = [str(action).partition(":")[0] for action in plan.building(but(build=2), [0, 1])]
    assert actions == [
        "drop the disk of build 0",
        "drop the disk of build 1",
        "make the disk of build 2",
    ]


def test_what_is_built_and_plugged_is_left_alone() -> None:
    links = plan.links(SERVER)
    plugged = {link.name: link.port_id for link in links}
    assert plan.building(SERVER, [0]) == []
    assert plan.plugging(links, links=list(plugged), plugged=plugged) == []


def test_ports_that_changed_are_unplugged_dropped_made_and_plugged() -> None:
    links = plan.links(SERVER)
    actions = plan.plugging(
        links, links=["kold000000000", links[0].name], plugged={"kold000000000": "old"}
    )
    agrees("plugging", "".join(f"{action}\n" for action in actions))


def test_a_link_plugged_as_another_port_is_plugged_again() -> None:
    link = plan.links(but(ports=[PORT]))[0]
    actions = plan.plugging([link], links=[link.name], plugged={link.name: "another"})
    assert [str(action) for action in actions] == [
        f"unplug {link.name}",
        f"plug {link.name} as port {PORT_ID}",
    ]


def test_a_start_adds_what_lxc_has_no_word_for() -> None:
    assert network.at_start(SERVER) == "route replace 10.203.0.0/16 via 10.202.0.9\n"
    assert network.at_start(but(ports=[SECOND])) == ""


def test_a_change_takes_back_all_that_was_given_since_the_start_and_gives_the_rest_anew() -> None:
    moved = Address(address="10.204.0.7", prefix=16, gateway="10.204.0.1")
    given = [*plan.wires(SERVER), "address 10.202.0.6/24 dev eth0"]
    changed = but(ports=[_with(moved), SECOND])
    assert network.change(changed, given).splitlines() == [
        "address delete 10.202.0.6/24 dev eth0",
        "route delete 10.203.0.0/16 via 10.202.0.9",
        "route delete default via fd00:202::1 dev eth0",
        "route delete default via 10.202.0.1 dev eth0",
        "address delete fd00:202::5/64 dev eth0",
        "address delete 10.202.0.5/24 dev eth0",
        "address replace 10.204.0.7/16 dev eth0",
        "address replace 10.202.1.5/24 dev eth1",
        "route replace default via 10.204.0.1 dev eth0",
    ]


def test_link_names_fit_the_kernel() -> None:
    link = plan.links(SERVER)[0]
    assert (link.name, link.peer) == ("kfb0e9e14e016", "pfb0e9e14e016")


@pytest.mark.parametrize(
    ("what", "changes"),
    [
        ("host name", {"hostname": "web1\nlxc.idmap = u 0 0 65536"}),
        ("host name", {"hostname": "-web"}),
        ("characters", {"ssh_keys": ["ssh-rsa AAAA\nssh-rsa BBBB"]}),
        ("MAC", {"ports": [msgspec.structs.replace(PORT, mac="fa:16:3e\n")]}),
        ("MTU", {"ports": [msgspec.structs.replace(PORT, mtu=1)]}),
        ("interface", {"ports": [msgspec.structs.replace(PORT, name="eth0\n")]}),
        ("no address", {"ports": [_with(Address(address="10.0.0.1", prefix=33))]}),
        ("IP address", {"ports": [_with(Address(address="10.0.0.1\n", prefix=24))]}),
        ("IP address", {"ports": [_with(Address(address="10.0.0.1", prefix=24, gateway="x"))]}),
        ("IP address", {"ports": [_with(Address(address=ZONE, prefix=64))]}),
        ("IP address", {"ports": [_with(Address(address="fd00::1", prefix=64, gateway=ZONE))]}),
        ("IP address", {"ports": [_with(Address(address="10.0.0.1", prefix=24, dns=["x\ny"]))]}),
        ("IP address", {"ports": [_with(Address(address="fe80::1%\nlxc.x", prefix=64))]}),
        ("Base64", {"user_data": "%%%"}),
        ("slot", {"id_slot": 16_384}),
    ],
)
def test_what_is_wrong_never_becomes_a_line_of_configuration(
    what: str, changes: dict[str, object]
) -> None:
    with pytest.raises(Permanent, match=what):
        plan.files(but(**changes))
        config(but(**changes))


def test_a_wrong_route_is_refused() -> None:
    wrong = Address(address="10.0.0.1", prefix=24, routes=[Route(destination="x", nexthop="y")])
    with pytest.raises(Permanent, match="network"):
        plan.wires(but(ports=[msgspec.structs.replace(PORT, addresses=[wrong])]))


@pytest.mark.parametrize("changes", [{"image": None}, {"disk_gib": 0}])
def test_what_cannot_be_built_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(Permanent):
        plan.building(but(**changes), [])
