"""Real servers fill the disk of their host, which is smaller than what they were promised: a file system of
its own, that nobody else has.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.system.container_host import ContainerHost, container_host, image_of, until
from tests.system.servers import CACHE, Servers

from kumoi.base import files
from kumoi.base.process import run
from kumoi.cli import status
from kumoi.hosts.install.image import DEBIAN, ensure

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

DISK_GIB = 3
FILL = "dd if=/dev/urandom of=/fill bs=1M 2>&1; sync; stat -c %s /fill"
BOUND_S = 120


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    path = ensure(DEBIAN, CACHE)
    image = image_of(hashlib.sha256(path.read_bytes()).hexdigest(), path)
    device = tmp_path / "device"
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
            made = Servers(host, image)
            yield made
            made.delete_all()
        finally:
            host.reboot(grace_s=0)
            run(["umount", host.here.agent_dir])


def is_ready(host: ContainerHost, image_id: str) -> bool:
    hello = host.control.hello
    return hello is not None and image_id in hello.ready_images


def test_a_server_has_no_space_left_before_the_host_has_none_and_writes_on_afterwards(
    servers: Servers,
) -> None:
    host = servers.host
    server = servers.new(number=5, disk_gib=DISK_GIB + 1)
    said = host.inside(
        lambda: run(
            ["lxc-attach", "-P", host.paths.servers, "-n", server.id, "--", "sh", "-c", FILL],
            check=False,
            timeout_s=BOUND_S,
        )
    )
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
