"""What of a server's disk is there after its host lost its power: all of it, once it is built. And
what a host does that has no room for another: it says so at once.

A copy of a block device holds what was written to it and nothing that only the kernel's memory had,
as the device of a host does that lost its power at that moment. Needs root, and no cloud.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import msgspec
import pytest
import sqlalchemy as sa
from tests.security.in_process import InProcessCloud, in_process_cloud
from tests.system.container_host import until
from tests.system.live import eventually

from kumoi.base import files
from kumoi.base.errors import Permanent, StoreFull, TooLarge
from kumoi.base.ids import new_id
from kumoi.base.process import run
from kumoi.cli import status
from kumoi.cloud.agent.disk_room import DiskRoom
from kumoi.cloud.drivers.image.files import Draft, ImageFiles
from kumoi.cloud.drivers.instance import record
from kumoi.cloud.drivers.instance.lxc import disk, enlarge, rootfs, subids
from kumoi.cloud.drivers.instance.lxc.apply import LxcDriver
from kumoi.cloud.drivers.instance.lxc.host import LxcHost
from kumoi.cloud.drivers.instance.lxc.paths import Paths
from kumoi.cloud.drivers.network.fake import FakeSwitch
from kumoi.cloud.hostapi.messages import ImageContent, InstanceSpec, Power
from kumoi.engine.db import Database

pytestmark = [pytest.mark.system, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

IMAGE = ImageContent(id="i", sha256="ab" * 32, disk_format="root-tar")
LEFT_BYTES = 2 << 20
UNMOUNTED_WITHIN_S = 20.0
KEY = "ssh-ed25519 AAAA me@here"


@contextlib.contextmanager
def mounted(file: Path, where: Path) -> Iterator[Path]:
    where.mkdir()
    run(["mount", "-o", "loop", file, where])
    try:
        yield where
    finally:
        eventually(
            lambda: run(["umount", where], check=False).status == 0,
            within_s=UNMOUNTED_WITHIN_S,
            what="nobody has a file there",
        )


@pytest.fixture
def device(tmp_path: Path) -> Path:
    file = tmp_path / "device"
    with file.open("wb") as opened:
        opened.truncate(1 << 30)
    run(["mkfs.ext4", "-q", "-m0", file])
    return file


@pytest.fixture
def host_dir(device: Path, tmp_path: Path) -> Iterator[Path]:
    """A host's directory on a device of its own, with an image that is there for good."""
    with mounted(device, tmp_path / "host") as where:
        paths = Paths(where)
        paths.servers.mkdir()
        (paths.rootfs(IMAGE.sha256) / "etc").mkdir(parents=True)
        (paths.rootfs(IMAGE.sha256) / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
        run(["sync", "--file-system", where])
        yield where
        subids.release(where)


@contextlib.contextmanager
def nearly_full(where: Path, *, left_bytes: int = LEFT_BYTES) -> Iterator[None]:
    """Room for a new disk's first blocks, and for none that a server writes afterwards."""
    space, filling = os.statvfs(where), where / "filling"
    with filling.open("wb") as file:
        free_bytes = space.f_bavail * space.f_frsize
        os.posix_fallocate(file.fileno(), 0, free_bytes - left_bytes)
    try:
        yield
    finally:
        filling.unlink()


@contextlib.contextmanager
def without_power(device: Path, tmp_path: Path) -> Iterator[Paths]:
    """The host's directory as it would be found after a power failure now."""
    copy = tmp_path / "found"
    run(["cp", "--sparse=always", device, copy])
    with mounted(copy, tmp_path / "after") as where:
        yield Paths(where)


def built(driver: LxcDriver) -> InstanceSpec:
    server = InstanceSpec(
        id=new_id(),
        generation=1,
        power=Power.RUNNING,
        hostname="web1",
        disk_gib=1,
        image=IMAGE,
        ssh_keys=[KEY],
    )
    driver.ensure_built(server)
    return server


def test_a_disk_that_was_built_is_whole_after_a_power_failure(
    host_dir: Path, device: Path, tmp_path: Path
) -> None:
    driver = LxcDriver(
        host_dir=host_dir, host_name="kumoi-test", switch=FakeSwitch(), host_boot="1"
    )
    try:
        server = built(driver)
        with without_power(device, tmp_path) as found:
            file = found.disk(server.id, 0)
            with mounted(file, tmp_path / "disk") as own:
                assert (own / "upper/etc/hostname").read_text() == "web1\n"
                assert (own / "upper/root/.ssh/authorized_keys").read_text() == f"{KEY}\n"
            assert run(["e2fsck", "-f", "-n", file]).status == 0
            empty = found.templates / "1.ext4"
            assert run(["e2fsck", "-f", "-n", empty]).status == 0
    finally:
        driver.close()


def test_a_disk_that_grew_is_whole_after_a_power_failure(
    host_dir: Path, device: Path, tmp_path: Path
) -> None:
    driver = LxcDriver(
        host_dir=host_dir, host_name="kumoi-test", switch=FakeSwitch(), host_boot="1"
    )
    try:
        server = built(driver)
        enlarge.enlarge(host_dir, Paths(host_dir).disk(server.id, 0), 2)
        with without_power(device, tmp_path) as found:
            file = found.disk(server.id, 0)
            assert not disk.is_smaller(file, 2)
            with mounted(file, tmp_path / "disk") as own:
                assert (own / "upper/etc/hostname").read_text() == "web1\n"
    finally:
        driver.close()


def test_a_disk_that_is_damaged_is_not_enlarged_and_stays_as_it_is(host_dir: Path) -> None:
    file = host_dir / "disk.ext4"
    disk.ensure_template(host_dir / "templates", 1).rename(file)
    with file.open("r+b") as opened:
        opened.seek(1024)
        opened.write(bytes(1024))  # The superblock.
    damaged = file.stat()
    with pytest.raises(Permanent, match="damaged"):
        enlarge.enlarge(host_dir, file, 2)
    assert (file.stat().st_ino, file.stat().st_size) == (damaged.st_ino, damaged.st_size)
    assert not file.with_name(f"{file.name}.part").exists()


def test_a_host_with_hardly_any_room_left_begins_no_disk_and_says_why(host_dir: Path) -> None:
    driver = LxcDriver(
        host_dir=host_dir, host_name="kumoi-test", switch=FakeSwitch(), host_boot="1"
    )
    try:
        server, paths = built(driver), Paths(host_dir)
        with nearly_full(host_dir):
            with pytest.raises(Permanent, match="make a server's disk: the host's disk is full"):
                built(driver)
            assert list(paths.servers.glob("*/disk.*")) == [paths.disk(server.id, 0)]
            larger = msgspec.structs.replace(server, disk_gib=2)
            with pytest.raises(Permanent, match="disk larger: the host's disk is full"):
                driver.ensure_running(larger)
            assert not disk.is_smaller(paths.disk(server.id, 0), 1)
        built(driver)
    finally:
        driver.close()


def test_a_rebuild_that_a_full_host_refuses_leaves_the_disk_that_was(
    host_dir: Path, tmp_path: Path
) -> None:
    driver = LxcDriver(
        host_dir=host_dir, host_name="kumoi-test", switch=FakeSwitch(), host_boot="1"
    )
    try:
        server, paths = built(driver), Paths(host_dir)
        with mounted(paths.disk(server.id, 0), tmp_path / "written") as own:
            (own / "upper/data").write_text("years of work\n")
        other = msgspec.structs.replace(IMAGE, id="other", sha256="cd" * 32)
        (paths.rootfs(other.sha256) / "etc").mkdir(parents=True)
        (paths.rootfs(other.sha256) / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
        rebuilt = msgspec.structs.replace(server, build=1, image=other)
        with nearly_full(host_dir):
            with pytest.raises(Permanent, match="make a server's disk: the host's disk is full"):
                driver.ensure_built(rebuilt)
            seen = driver.observe(server.id)
            assert seen is not None
            assert seen.build == 0
            with mounted(paths.disk(server.id, 0), tmp_path / "disk") as own:
                assert (own / "upper/data").read_text() == "years of work\n"
            assert not driver.delete_image(IMAGE.sha256)
        driver.ensure_built(rebuilt)
        assert list(paths.servers.glob("*/disk.*")) == [paths.disk(server.id, 1)]
        assert not driver.delete_image(other.sha256)
        assert driver.delete_image(IMAGE.sha256)
    finally:
        driver.close()


def test_a_disk_whose_making_failed_half_way_costs_nothing(
    host_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = LxcDriver(
        host_dir=host_dir, host_name="kumoi-test", switch=FakeSwitch(), host_boot="1"
    )
    try:
        server, paths = built(driver), Paths(host_dir)
        monkeypatch.setattr(rootfs, "sync_disk", _no_room)
        with pytest.raises(Permanent, match="the host's disk is full"):
            driver.ensure_built(msgspec.structs.replace(server, build=1))
        assert list(paths.servers.glob("*/disk.*")) == [paths.disk(server.id, 0)]
        assert record.read(paths.record(server.id)).image_of(0) == IMAGE.sha256
    finally:
        driver.close()


def _no_room(mounts: rootfs.Mounts) -> None:
    raise OSError(errno.ENOSPC, f"no room at {mounts.raw}")


MIB = 1 << 20


def test_uploads_leave_the_store_its_reserve_and_go_on_when_there_is_room(
    host_dir: Path,
) -> None:
    images, store = ImageFiles(host_dir / "images"), database(host_dir)
    try:
        with images.draft(1 << 40) as draft:
            with pytest.raises(TooLarge, match="not enough disk space"):
                fill(draft)
            for number in range(100):  # While whoever uploads still holds all that it got.
                write(store, f"{number}" * 100)
        with images.draft(1 << 40) as draft:
            for _ in range(64):
                draft.write(bytes(MIB))
            assert draft.finish().size == 64 * MIB
    finally:
        store.close()


def test_an_image_is_deleted_while_the_reserve_is_all_that_is_left(host_dir: Path) -> None:
    size, reserve = 20 * MIB, os.statvfs(host_dir).f_blocks * 4096 // files.RESERVE_FRACTION
    new = {"disk_format": "raw", "container_format": "bare"}
    with in_process_cloud(host_dir / "cloud", f"sqlite:///{host_dir}/cloud.db") as cloud:
        first, second = (
            str(cloud.ask("POST", "/image/v2/images", new).json()["id"]) for _ in range(2)
        )

        def upload(image_id: str) -> int:
            path = f"/image/v2/images/{image_id}/file"
            sent = {"Content-Type": "application/octet-stream"}
            return cloud.ask("PUT", path, os.urandom(size), **sent).status_code

        assert upload(first) == 204
        with nearly_full(host_dir, left_bytes=reserve // 2):
            before = os.statvfs(host_dir).f_bavail * 4096
            assert upload(second) == 413
            assert cloud.ask("DELETE", f"/image/v2/images/{first}").status_code == 204
            assert os.statvfs(host_dir).f_bavail * 4096 > before + size // 2
        assert upload(second) == 204


def test_a_server_is_deleted_by_the_api_from_the_reserve_and_where_nothing_is_left_it_says_so(
    host_dir: Path,
) -> None:
    """Refused, nothing is lost, and it is done when there is room."""
    reserve = os.statvfs(host_dir).f_blocks * 4096 // files.RESERVE_FRACTION
    with in_process_cloud(host_dir / "cloud", f"sqlite:///{host_dir}/cloud.db") as cloud:
        cloud.add_host()
        servers = [new_server(cloud) for _ in range(3)]
        with nearly_full(host_dir, left_bytes=reserve // 2):
            assert cloud.ask("DELETE", servers[0]).status_code == 204
        with nearly_full(host_dir, left_bytes=1 << 18):
            refused = refused_network(cloud)
            late = cloud.ask("DELETE", servers[1])  # It takes less, for which there may be room.
            for answer in (refused, late):
                if answer.status_code != 204:
                    assert answer.status_code == 503
                    assert "The disk of this cloud's store is full" in answer.text
            assert refused.status_code == 503
            assert cloud.ask("GET", servers[1]).status_code == 200
        assert cloud.ask("DELETE", servers[1]).status_code == 204
        assert cloud.ask("DELETE", servers[2]).status_code == 204


def refused_network(cloud: InProcessCloud) -> httpx.Response:
    """The answer to the first for which there is no room."""
    network = {"network": {"name": "n" * 255, "description": "d" * 255}}
    for _ in range(5_000):
        answer = cloud.ask("POST", "/network/v2.0/networks", network)
        if answer.status_code != 201:
            return answer
    raise AssertionError("there was room for all")


def new_server(cloud: InProcessCloud) -> str:
    """Its path."""
    flavor = {"name": new_id(), "ram": 1, "vcpus": 1, "disk": 1}
    flavor_id = cloud.ask("POST", "/compute/v2.1/flavors", {"flavor": flavor}).json()["flavor"][
        "id"
    ]
    new = {"disk_format": "raw", "container_format": "bare"}
    image = cloud.ask("POST", "/image/v2/images", new).json()["id"]
    sent = {"Content-Type": "application/octet-stream"}
    cloud.ask("PUT", f"/image/v2/images/{image}/file", b"content", **sent)
    server = {"name": "s", "flavorRef": flavor_id, "imageRef": image, "networks": "none"}
    answer = cloud.ask("POST", "/compute/v2.1/servers", {"server": server})
    assert answer.status_code == 202, answer.text
    return f"/compute/v2.1/servers/{answer.json()['server']['id']}"


def test_a_store_without_room_says_so_loses_nothing_and_goes_on(host_dir: Path) -> None:
    store = database(host_dir)
    try:
        write(store, "before")
        with nearly_full(host_dir, left_bytes=1 << 18):
            with pytest.raises(StoreFull):
                for _ in range(1_000):
                    write(store, os.urandom(20_000).hex())
            with store.read() as connection:
                assert kept(connection)[0] == "before"
            before = len(kept_in(store))
        write(store, "after")
        assert len(kept_in(store)) == before + 1
    finally:
        store.close()


def driver_disk(driver: LxcDriver, host_dir: Path) -> Path:
    return Paths(host_dir).disk(built(driver).id, 0)


def write_until_full(where: Path) -> int:
    """How many bytes fit. Raises OSError when it ends by anything but ENOSPC."""
    with (where / "fill").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(os.urandom(MIB))
        except OSError as cause:
            if cause.errno != errno.ENOSPC:
                raise
            os.fsync(file.fileno())
            return file.tell()


def new_network(cloud: InProcessCloud) -> str:
    answer = cloud.ask("POST", "/network/v2.0/networks", {"network": {"name": "n" * 255}})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["network"]["id"])


@contextlib.contextmanager
def looks(room: DiskRoom) -> Iterator[None]:
    """As an agent's, but more often."""
    ended = threading.Event()

    def go_on() -> None:
        while not ended.wait(0.05):
            room.round()

    with ThreadPoolExecutor(1) as thread:
        room.round()
        running = thread.submit(go_on)
        try:
            yield
        finally:
            ended.set()
            running.result()


def test_servers_that_fill_the_hosts_disk_have_no_space_left_and_the_cloud_goes_on(
    host_dir: Path, tmp_path: Path
) -> None:
    """Two with disks that are together larger than the host's. The kernel gives what is in a disk's file to
    its own file system only, so a mount of it here is the server's.
    """
    driver = LxcDriver(
        host_dir=host_dir, host_name="kumoi-test", switch=FakeSwitch(), host_boot="1"
    )
    room, here = DiskRoom(host_dir, [driver]), LxcHost(host_dir, "kumoi-test")
    try:
        one, two = (driver_disk(driver, host_dir) for _ in range(2))
        with (
            in_process_cloud(host_dir / "cloud", f"sqlite:///{host_dir}/cloud.db") as cloud,
            mounted(one, tmp_path / "one") as first,
            mounted(two, tmp_path / "two") as second,
            looks(room),
        ):
            written = [write_until_full(where) for where in (first, second)]
            assert sum(written) > 300 << 20, "nobody tried"
            run(["sync", "--file-system", first, second])
            free = sum(os.statvfs(where).f_bfree * 4096 for where in (first, second))
            assert free > 500 << 20, "each filled its own disk"
            reserve = os.statvfs(host_dir).f_blocks * 4096 // files.RESERVE_FRACTION
            space = os.statvfs(host_dir)
            assert space.f_bavail * space.f_frsize > 0.8 * reserve
            assert here.held_disks() == 2
            assert "No space left on device" in status.nearly_full(
                {"left_bytes": 0, "servers_held": here.held_disks()}
            )
            keys = [new_network(cloud) for _ in range(50)]
            for key in keys:
                assert cloud.ask("DELETE", f"/network/v2.0/networks/{key}").status_code == 204

            (first / "fill").unlink()
            run(["sync", "--file-system", first])
            run(["fstrim", first])
            until(lambda: os.statvfs(second).f_bavail * 4096 > 20 * MIB)
            (second / "more").write_bytes(bytes(10 * MIB))
            run(["sync", "--file-system", second])
            assert (second / "fill").stat().st_size == written[1]
    finally:
        driver.close()


def database(where: Path) -> Database:
    wake_dir = where / "wake"
    wake_dir.mkdir()
    store = Database(f"sqlite:///{where}/store.db", wake_dir=wake_dir)
    with store.write() as connection:
        connection.execute(sa.text("CREATE TABLE kept (value TEXT NOT NULL)"))
    return store


def write(store: Database, value: str) -> None:
    with store.write() as connection:
        connection.execute(sa.text("INSERT INTO kept VALUES (:value)"), {"value": value})


def kept(connection: sa.Connection) -> list[str]:
    return list(connection.execute(sa.text("SELECT value FROM kept ORDER BY rowid")).scalars())


def kept_in(store: Database) -> list[str]:
    with store.read() as connection:
        return kept(connection)


def fill(draft: Draft) -> None:
    while True:
        draft.write(os.urandom(MIB))
