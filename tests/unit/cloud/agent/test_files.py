"""What is wanted, kept on the host."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import msgspec
import pytest

from kumoi.cloud.agent.files import ThingFiles
from kumoi.cloud.agent.hearing import WantedThing
from kumoi.cloud.agent.inventory import allocation, ram_mib, take
from kumoi.cloud.agent.serve import identify_boot
from kumoi.cloud.hostapi.hello import Allocation
from kumoi.cloud.hostapi.offer import Offer
from kumoi.cloud.hostapi.things import Thing, ThingKey, Unreadable, raw, read_all
from kumoi.config import HostSettings

ID = "6f04a590-e910-4720-a682-6d5d9a87d591"
KEY = ThingKey("server", ID)
THING = Thing(kind="server", id=ID, generation=7, spec=msgspec.Raw(b'{ "power": "running" }'))
KEPT = WantedThing(thing=THING, raw=bytes(raw(THING)), fault="no room")


def test_what_is_saved_is_there_after_a_restart(tmp_path: Path) -> None:
    ThingFiles(tmp_path).save(KEPT)
    assert ThingFiles(tmp_path).load() == {KEY: KEPT}


def test_a_thing_stays_byte_for_byte_and_words_of_another_release_stay(tmp_path: Path) -> None:
    words = b'{ "kind": "server", "id":"%s", "generation": 7, "lane": [1],  "spec": {"a" : 1} }'
    thing = words % ID.encode()
    file = tmp_path / "server" / f"{ID}.json"
    file.parent.mkdir()
    file.write_bytes(b'{"since": "N+1", "thing": ' + thing + b', "fault": ""}')
    files = ThingFiles(tmp_path)
    known = files.load()[KEY]
    files.save(dataclasses.replace(known, fault="no room"))
    assert thing in file.read_bytes()
    assert b'"since":"N+1"' in file.read_bytes()
    assert files.load()[KEY] == dataclasses.replace(known, fault="no room")


def test_a_thing_that_cannot_be_read_is_kept_all_the_same(tmp_path: Path) -> None:
    words = b'{"kind":"server","id":"%s","generation":"eleven"}' % ID.encode()
    ((_, thing),) = read_all([msgspec.Raw(words)])
    assert isinstance(thing, Unreadable)
    ThingFiles(tmp_path).save(WantedThing(thing=thing, raw=words))
    known = ThingFiles(tmp_path).load()[KEY]
    assert (known.raw, known.thing) == (words, thing)


def test_what_is_forgotten_is_gone(tmp_path: Path) -> None:
    state = ThingFiles(tmp_path)
    state.save(KEPT)
    state.forget(KEY)
    state.forget(KEY)
    assert state.load() == {}


def test_a_spoilt_file_does_not_stop_the_agent(tmp_path: Path) -> None:
    state = ThingFiles(tmp_path)
    state.save(KEPT)
    (tmp_path / "server" / "other.json").write_bytes(b"")
    assert state.load() == {KEY: KEPT}


def test_an_id_never_becomes_a_path(tmp_path: Path) -> None:
    with pytest.raises(ValueError):
        ThingFiles(tmp_path).forget(ThingKey("server", "../../etc/passwd"))
    with pytest.raises(ValueError):
        ThingFiles(tmp_path).forget(ThingKey("..", ID))


def test_the_boot_stays_the_same_while_machine_and_virtual_host_are_up(tmp_path: Path) -> None:
    host, boot_id = HostSettings(state_dir=str(tmp_path)), tmp_path / "boot_id"
    boot_id.write_text("one\n")
    first = identify_boot(host, boot_id=boot_id)
    assert identify_boot(host, boot_id=boot_id) == first


def test_another_boot_of_the_machine_is_another_boot(tmp_path: Path) -> None:
    host, boot_id = HostSettings(state_dir=str(tmp_path)), tmp_path / "boot_id"
    boot_id.write_text("one\n")
    first = identify_boot(host, boot_id=boot_id)
    boot_id.write_text("two\n")
    assert identify_boot(host, boot_id=boot_id) != first


def test_down_and_up_is_another_boot(tmp_path: Path) -> None:
    host, boot_id = HostSettings(state_dir=str(tmp_path)), tmp_path / "boot_id"
    boot_id.write_text("one\n")
    first = identify_boot(host, boot_id=boot_id)
    (host.run_dir / "host-boot").unlink()
    assert identify_boot(host, boot_id=boot_id) != first


def test_the_inventory_says_what_the_host_has(tmp_path: Path) -> None:
    taken = take(
        epoch="e",
        hostname="h",
        address="10.0.0.2",
        host_dir=tmp_path,
        offers={"lxc": Offer(formats=["root-tar"])},
        ready_images={"b", "a"},
        allocation=Allocation(ram_ratio=1.5),
    )
    assert taken.allocation == Allocation(ram_ratio=1.5)
    assert taken.address == "10.0.0.2"
    assert (taken.hostname, taken.drivers, taken.ready_images) == ("h", ["lxc"], ("a", "b"))
    assert taken.vcpus >= 1
    assert taken.ram_mib > 0
    assert taken.disk_gib > 0


def test_what_else_lies_on_the_disk_is_promised_to_no_server(tmp_path: Path) -> None:
    host = HostSettings(
        state_dir=str(tmp_path), ram_allocation_ratio=1.5, disk_allocation_ratio=1.0
    )
    host.agent_dir.mkdir()
    disk = os.statvfs(tmp_path)
    taken = (disk.f_blocks - disk.f_bavail) * disk.f_frsize
    all_servers = allocation(host, servers_bytes=taken)
    assert all_servers.disk_reserved_gib <= 2, "the reserve, and what was written meanwhile"
    assert (all_servers.ram_ratio, all_servers.ram_reserved_mib) == (1.5, 1_024)
    none = allocation(host, servers_bytes=0)
    assert abs(none.disk_reserved_gib - 1 - taken / (1 << 30)) <= 2


def test_a_meminfo_without_a_total_counts_as_none() -> None:
    assert ram_mib("MemTotal:  2048 kB\n") == 2
    assert ram_mib("nothing\n") == 0
