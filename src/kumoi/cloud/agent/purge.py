"""Take away what a host's servers have on this machine, with no agent running.

Called by `kumoi down`. Works on what is there, half-made things included. Without `data` the disks
and what is wanted stay, and the servers that ran come back when the agent starts again: they ended
with the virtual host, as with a machine that was turned off.
"""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kumoi.cloud.drivers.instance.lxc import idmap, link
from kumoi.cloud.drivers.instance.lxc.apply import LxcDriver
from kumoi.cloud.drivers.network.interface import Switch
from kumoi.config import Settings

GRACE_S = 5.0
TOGETHER_MAX = 8
NAMESPACES = Path("/run/netns")


def purge(settings: Settings, *, data: bool) -> None:
    """Stop every server of this cloud on this machine; with `data`, delete everything of them."""
    if not (settings.host_dir / "servers").is_dir():
        _delete_files(settings, data=data)
        return
    driver = LxcDriver(
        host_dir=settings.host_dir, cloud=settings.name, switch=_NoSwitch(), host_boot=""
    )
    namespace = NAMESPACES / settings.host_name
    if namespace.exists():
        link.in_namespace(namespace, lambda: _stop_all(driver, data=data))
    else:
        _stop_all(driver, data=data)
    driver.close()
    _delete_files(settings, data=data)


def _stop_all(driver: LxcDriver, *, data: bool) -> None:
    """In the host's network namespace, which threads started here inherit."""
    servers = sorted(driver.list_instances())

    def end(server_id: str) -> None:
        if data:
            driver.delete_instance(server_id)
        else:
            driver.ensure_stopped(server_id, grace_s=GRACE_S)

    with ThreadPoolExecutor(TOGETHER_MAX) as threads:
        list(threads.map(end, servers))
    driver.forget_starts()
    driver.sweep(frozenset)


def _delete_files(settings: Settings, *, data: bool) -> None:
    if data:
        shutil.rmtree(settings.host_dir, ignore_errors=True)
        idmap.remove_grant()


class _NoSwitch:
    """Stands for a switch that is gone, or will be in a moment: it has no ports."""

    def ensure_ports(self, ports: object) -> None: ...

    def delete_ports(self, names: object) -> None: ...

    def list_ports(self) -> dict[str, str]:
        return {}


_: type[Switch] = _NoSwitch
