"""What the LXC driver keeps beside a server, and its small rules that need no container."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Collection, Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests import deep

from kumoi.base import trees
from kumoi.base.errors import Permanent, Transient
from kumoi.cloud.drivers.instance import groups_below, kernel, record, room, sparse, unpack
from kumoi.cloud.drivers.instance.lxc import cgroup, idmap, image
from kumoi.cloud.drivers.instance.lxc.paths import Paths
from kumoi.cloud.drivers.instance.lxc.subids import COUNT, FIRST, Claim
from kumoi.cloud.drivers.instance.record import InstanceRecord
from kumoi.cloud.drivers.instance.switchboard import Switchboard
from kumoi.cloud.drivers.network.fake import FakeSwitch

CLAIM = Claim(FIRST + COUNT)


def test_a_record_that_cannot_be_read_counts_as_none(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    assert record.read(path) == InstanceRecord()
    record.write(path, InstanceRecord(started_generation=3))
    assert record.read(path).started_generation == 3
    path.write_bytes(b"")
    assert record.read(path) == InstanceRecord()


def test_a_record_is_written_over_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "record.json"
    record.write(path, InstanceRecord(started_generation=3, links={"k0": "port"}))

    def full(self: Path, target: Path) -> Path:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(Path, "replace", full)
    record.write(path, InstanceRecord(started_generation=4))
    assert record.read(path) == InstanceRecord(started_generation=4)
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(OSError, match="no room"):
        record.write(tmp_path / "another.json", InstanceRecord())


def test_servers_share_no_user_ids_and_none_has_those_of_readers() -> None:
    first, second = idmap.of_slot(CLAIM, 0), idmap.of_slot(CLAIM, 1)
    assert first.base == CLAIM.base
    assert first.base + first.count == second.base
    last = idmap.of_slot(CLAIM, idmap.SLOTS - 1)
    readers = idmap.of_readers(CLAIM)
    assert last.base + last.count == readers.base
    assert readers.base + readers.count == CLAIM.base + COUNT


def test_there_is_no_slot_beyond_the_last() -> None:
    for slot in (-1, idmap.SLOTS):
        with pytest.raises(Permanent):
            idmap.of_slot(CLAIM, slot)


def test_a_sparse_copy_is_the_same_and_takes_no_more_room(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    with source.open("wb") as file:
        file.truncate(1 << 30)
        file.seek(5 << 20)
        file.write(b"data")
    sparse.copy(source, target)
    assert target.stat().st_size == 1 << 30
    assert target.stat().st_blocks * 512 < 1 << 20
    with target.open("rb") as file:
        file.seek(5 << 20)
        assert file.read(4) == b"data"


@pytest.mark.parametrize(
    ("left", "why"),
    [
        ({}, ""),
        ({"f_bfree": 990_000, "f_ffree": 5_000_000}, ""),
        ({"f_bfree": 1_000_000 - (unpack.BYTES_MAX >> 20) - 1}, "more than an image may"),
        ({"f_ffree": 6_000_000 - unpack.FILES_MAX - 1}, "more than an image may"),
        ({"f_bavail": (room.FREE_BYTES_MIN >> 20) - 1}, "disk is full"),
        ({"f_favail": room.FREE_FILES_MIN - 1}, "disk is full"),
        ({"f_favail": 0, "f_files": 0}, ""),
    ],
)
def test_an_image_takes_no_more_room_than_it_may_and_the_host_can_spare(
    left: dict[str, int], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = SimpleNamespace(
        f_frsize=1 << 20, f_bfree=1_000_000, f_bavail=1_000_000,
        f_files=8_000_000, f_ffree=6_000_000, f_favail=6_000_000,
    )  # fmt: skip
    now = SimpleNamespace(**{**vars(before), **left})
    monkeypatch.setattr(os, "statvfs", lambda _: now)
    taken = unpack.SpaceTaken(Path("/"), before)  # type: ignore[arg-type]
    assert taken.is_exceeded() == bool(why)
    assert why in taken.refusal


def test_only_whole_images_are_ready(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    (paths.images / "aa").mkdir(parents=True)
    (paths.images / "bb.0123.part").mkdir()
    assert image.ready(paths) == {"aa"}
    image.sweep(paths)
    assert [path.name for path in paths.images.iterdir()] == ["aa"]


def test_an_image_that_a_power_failure_may_have_spoilt_is_none(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    for name, boot in (("aa", kernel.BOOT_ID.read_text()), ("bb", "another"), ("cc", "")):
        (paths.images / name).mkdir(parents=True)
        (paths.images / name / image.UNSETTLED).write_text(boot)
    assert image.ready(paths) == {"aa"}
    image.settle(paths)
    assert not (paths.images / "aa" / image.UNSETTLED).exists()
    image.sweep(paths)
    assert [path.name for path in paths.images.iterdir()] == ["aa"]


def test_controllers_are_found_in_both_versions(tmp_path: Path) -> None:
    for name in ("memory", "devices"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cgroup.procs").touch()
    (tmp_path / "memory/memory.memsw.limit_in_bytes").touch()
    machine = cgroup.machine("t", root=tmp_path)
    assert not machine.tcp_limited
    (tmp_path / "memory/memory.kmem.tcp.limit_in_bytes").touch()
    assert cgroup.machine("t", root=tmp_path).tcp_limited
    assert (set(machine.controllers), machine.swap_limited) == ({"memory", "devices"}, True)
    (tmp_path / "cgroup.controllers").write_text("cpu pids\n")
    assert cgroup.machine("t", root=tmp_path).unified_controllers == {"cpu", "pids"}


def test_a_machine_that_keeps_no_server_from_its_devices_gets_none(tmp_path: Path) -> None:
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory/cgroup.procs").touch()
    with pytest.raises(Permanent, match="keeps servers from its devices"):
        cgroup.machine("t", root=tmp_path)


def test_groups_are_removed_however_deep_a_server_made_them(tmp_path: Path) -> None:
    """Its deletion failed for good, and so did `down`."""
    group = tmp_path / "pids/g"
    group.mkdir(parents=True)
    (group / "cgroup.procs").touch()
    os.close(deep.make(group))
    assert sum(1 for _ in groups_below.walk(group)) == deep.LEVELS
    try:
        cgroup.remove_empty("g", root=tmp_path)
        assert [path.name for path in group.iterdir()] == ["cgroup.procs"]
    finally:
        trees.remove(group)


def test_what_a_server_froze_is_thawed_before_its_end(tmp_path: Path) -> None:
    """In version 1 it does not even die."""
    frozen = [tmp_path / "freezer/g", tmp_path / "freezer/g/a", tmp_path / "freezer/g/a/b"]
    for group in frozen:
        group.mkdir(parents=True)
        (group / "freezer.state").write_text("FROZEN\n")
    cgroup.thaw_to_end("g", root=tmp_path)
    assert {(group / "freezer.state").read_text().strip() for group in frozen} == {"THAWED"}


class SlowSwitch(FakeSwitch):
    """Waits at the first call until it may go on, and counts."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.may_go_on = threading.Event(), threading.Event()
        self.calls: list[int] = []

    def ensure_ports(self, ports: Mapping[str, str]) -> None:
        self.begun.set()
        self.may_go_on.wait(5)
        self.calls.append(len(ports))
        super().ensure_ports(ports)

    def delete_ports(self, names: Collection[str]) -> None:
        super().delete_ports(names)


def test_changes_of_the_switch_that_wait_together_are_made_together() -> None:
    switch = SlowSwitch()
    board = Switchboard(switch)
    threads = [
        threading.Thread(target=board.change, kwargs={"ensured": {f"k{n}": str(n)}, "deleted": ()})
        for n in range(10)
    ]
    threads[0].start()
    assert switch.begun.wait(5)
    for thread in threads[1:]:
        thread.start()
    while len(board._waiting) < 9:
        threads[1].join(0.001)
    switch.may_go_on.set()
    for thread in threads:
        thread.join(5)
    assert switch.calls == [1, 9]
    assert len(board.list_ports()) == 10


def test_a_failure_of_the_switch_is_raised_by_each_change() -> None:
    switch = FakeSwitch()
    switch.failures.fail_next()
    with pytest.raises(Transient):
        Switchboard(switch).change(ensured={"k1": "1"}, deleted=())
