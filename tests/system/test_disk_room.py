"""Real servers fill the disk of their host, which is smaller than what they were promised: a file system of
its own, that nobody else has.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.system.container_host import ContainerHost, container_host, image_of, until
from tests.system.servers import CACHE, Servers

from kumoi.base import files
from kumoi.base.process import Completed, run
from kumoi.cli import status
from kumoi.cloud.hostapi.messages import InstanceSpec
from kumoi.hosts.install.image import DEBIAN, ensure

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

DISK_GIB = 3
FILL = "dd if=/dev/urandom of=/fill bs=1M 2>&1; sync; stat -c %s /fill"
SOME_MIB = 100
KERNELS_MIB = 16  # ext4's own reserve, which nobody gets.
FILL_SOME = f"dd if=/dev/urandom of=/fill bs=1M count={SOME_MIB} conv=fsync 2>/dev/null"
OTHERS = "others"
BOUND_S = 120


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    path = ensure(DEBIAN, CACHE)
    image = image_of(hashlib.sha256(path.read_bytes()).hexdigest(), path)
    device = tmp_path_factory.mktemp("disk") / "device"
    with device.open("wb") as opened:
        opened.truncate(DISK_GIB << 30)
    run(["mkfs.ext4", "-q", "-m0", device])
    with container_host(path, image.sha256) as host:
        host.here.agent_dir.mkdir(parents=True)
        run(["mount", "-o", "loop", device, host.here.agent_dir])
        try:
            host.control.images = [image]
            host.start_agent()
            until(lambda: is_ready(host, image.id), bound_s=BOUND_S)
            yield Servers(host, image)
        finally:
            host.reboot(grace_s=0)
            run(["umount", host.here.agent_dir])


@pytest.fixture
def servers(place: Servers) -> Iterator[Servers]:
    """Gone when the test is."""
    yield place
    place.delete_all()
    (place.host.here.agent_dir / OTHERS).unlink(missing_ok=True)


def is_ready(host: ContainerHost, image_id: str) -> bool:
    hello = host.control.hello
    return hello is not None and image_id in hello.ready_images


def fill(host: ContainerHost, server: InstanceSpec, script: str) -> Completed:
    """What the script does inside, which takes long on a machine that does other things."""
    return host.inside(
        lambda: run(
            ["lxc-attach", "-P", host.paths.servers, "-n", server.id, "--", "sh", "-c", script],
            check=False,
            timeout_s=BOUND_S,
        )
    )


def test_a_server_has_no_space_left_before_the_host_has_none_and_writes_on_afterwards(
    servers: Servers,
) -> None:
    host = servers.host
    server = servers.new(number=5, disk_gib=DISK_GIB + 1)
    said = fill(host, server, FILL)
    assert "No space left on device" in said.out + said.err
    assert int(said.out.split()[-1]) > 500 << 20, "nobody tried"
    space = os.statvfs(host.here.agent_dir)
    reserve = space.f_blocks * space.f_frsize // files.RESERVE_FRACTION
    assert space.f_bavail * space.f_frsize > 0.8 * reserve
    assert "No space left on device" in status.nearly_full(status.disk(host.here))
    host.attach(server, "sh", "-c", "rm /fill; sync; sleep 1; fstrim / 2>/dev/null; :")
    until(
        lambda: "on" in host.attach(server, "sh", "-c", "echo on > /kept; cat /kept", check=False)
    )
    assert host.attach(server, "cat", "/kept").strip() == "on"


def test_a_server_is_deleted_on_a_disk_that_has_nothing_left_and_its_room_is_back(
    servers: Servers,
) -> None:
    host = servers.host
    server = servers.new(number=5, disk_gib=DISK_GIB + 1)
    fill(host, server, FILL_SOME)
    fill_whole(host.here.agent_dir / OTHERS)
    assert free_bytes(host) <= KERNELS_MIB << 20, "there was room"
    servers.delete_all()
    assert free_bytes(host) > SOME_MIB << 20
    (host.here.agent_dir / OTHERS).unlink()  # Without, the next would take the reserve.
    again = servers.new(number=6, disk_gib=DISK_GIB + 1)
    assert host.attach(again, "cat", "/etc/hostname").strip() == "web6"
    assert fill(host, again, FILL_SOME).status == 0


def fill_whole(path: Path) -> None:
    """What lies beside the servers takes the last block, and all of the reserve."""
    with path.open("wb") as opened:
        for size in (64 << 20, 1 << 20, 4_096):
            with contextlib.suppress(OSError):
                while True:
                    os.posix_fallocate(opened.fileno(), os.fstat(opened.fileno()).st_size, size)


def free_bytes(host: ContainerHost) -> int:
    space = os.statvfs(host.here.agent_dir)
    return space.f_bfree * space.f_frsize
