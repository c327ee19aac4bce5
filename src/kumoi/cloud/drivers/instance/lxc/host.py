"""LXC on a host: the driver that an agent opens, and what `up` and `down` do while no agent runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kumoi.cloud.drivers.instance import fence
from kumoi.cloud.drivers.instance.interface import InstanceDriver
from kumoi.cloud.drivers.instance.lxc import cgroup, growth, image, monitor, subids
from kumoi.cloud.drivers.instance.lxc.paths import Paths
from kumoi.cloud.drivers.network.interface import Switch

TOGETHER_MAX = 256


class LxcHost:
    def __init__(self, directory: Path, host_name: str) -> None:
        self._paths = Paths(directory)
        self._host_name = host_name

    @contextlib.contextmanager
    def opened(self, *, switch: Switch, host_boot: str) -> Iterator[InstanceDriver]:
        from kumoi.cloud.drivers.instance.lxc.apply import LxcDriver  # noqa: PLC0415 - agents only

        driver = LxcDriver(
            host_dir=self._paths.host_dir,
            host_name=self._host_name,
            switch=switch,
            host_boot=host_boot,
        )
        driver.prepare()
        try:
            yield driver
        finally:
            driver.close()

    def ready_images(self) -> frozenset[str]:
        return image.ready(self._paths)

    def list_running(self) -> dict[str, int]:
        return {
            server_id: running.keeper_pid
            for server_id, running in monitor.find_all(self._paths).items()
        }

    def held_disks(self) -> int:
        return growth.held(self._paths.servers)

    def stop_servers(self, *, grace_s: float) -> int:
        monitor.wait_for_strays(self._paths)
        running = monitor.find_all(self._paths)

        def end(server_id: str) -> None:
            # A frozen process gets no signal.
            cgroup.thaw_to_end(cgroup.of_server(self._host_name, server_id))
            monitor.stop(running[server_id], grace_s=grace_s)

        with ThreadPoolExecutor(TOGETHER_MAX) as threads:
            list(threads.map(end, running))
        cgroup.remove_empty(fence.of_servers(self._host_name))
        return len(running)

    def forget(self) -> None:
        subids.release(self._paths.host_dir)
