"""What a reboot of the machine takes away, made again: links, namespaces, directories, databases.

`up` calls this, and where systemd keeps the units, so does the agent's before it starts the agent. All of it
may be repeated while the cloud is up.
"""

from __future__ import annotations

import stat
from pathlib import Path

from kumoi import members
from kumoi.base import namespace
from kumoi.config import CloudSettings, HostSettings, Role
from kumoi.hosts.units import ownership, rights, running, table
from kumoi.hosts.wires import keepalived, links, shared_address, virtual

OPEN_DEVICE = 0o666


def ensure(cloud: CloudSettings, host: HostSettings) -> None:
    """Everything, before anything runs."""
    make_directories(host)
    ensure_links(cloud, host)
    ensure_files(cloud, host)


def make_directories(host: HostSettings) -> None:
    for path in (host.state, host.run_dir, host.log_dir, host.wake_dir):
        path.mkdir(parents=True, exist_ok=True)
    host.state.chmod(0o755)  # Everybody may read the authority's certificate below it.
    host.run_dir.chmod(0o711)  # Roles get to their sockets, and see no names.
    host.log_dir.chmod(0o700)


def ensure_links(cloud: CloudSettings, host: HostSettings) -> bool:
    """Whether what still runs of the host lives in a namespace that is no more. Where that is the host's own, its
    servers are to be started again.
    """
    made = virtual.ensure_links(cloud, host)
    if made:
        table.boot_file(host).unlink(missing_ok=True)
    has_new_control = virtual.ensure_control(cloud, host)
    if members.shares_address(cloud, host):
        shared_address.refuse_nobody(cloud, namespace=host.control_namespace)
    return made or (has_new_control and _runs_astray(host))


def _runs_astray(host: HostSettings) -> bool:
    """Whether a unit is in a network namespace that has lost its name."""
    names = filter(None, (host.name, host.control_namespace))
    homes = {links.OWN_NAMESPACE.stat().st_ino}
    homes |= {table.namespace_path(name).stat().st_ino for name in names}
    return any(
        namespace.of_process(unit.pid) not in homes for unit in running.found(host.state_dir)
    )


def ensure_files(cloud: CloudSettings, host: HostSettings) -> None:
    """What engines open when they start."""
    make_directories(host)
    virtual.ensure_databases(cloud, host, only_missing=bool(running.found(host.state_dir)))
    if members.shares_address(cloud, host):
        keepalived.ensure_file(cloud, host)
    ownership.own_databases(cloud, host)
    if Role.AGENT in host.roles:
        open_device(rights.TUN)


def open_device(path: Path) -> None:
    """Let the switch's user open it. udev does so on any machine (mode 0666: the kernel asks for a capability
    when a link is made); on one without udev it is root's alone.
    """
    if path.exists() and stat.S_IMODE(path.stat().st_mode) != OPEN_DEVICE:
        path.chmod(OPEN_DEVICE)
