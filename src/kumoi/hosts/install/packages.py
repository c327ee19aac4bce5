"""Installs the packages of Debian that a host needs, without starting their services.

A cloud runs its own Open vSwitch and OVN in its own namespace, and the machine's must not appear
beside them. Called by `up` and `test`, and by the launcher before our Python environment exists, so
this imports the standard library only.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from kumoi.base import files, process
from kumoi.base.errors import Permanent

NEEDED = (
    "debian-archive-keyring",
    "e2fsprogs",
    "ethtool",
    "git",
    "haproxy",
    "iproute2",
    "libjemalloc2",  # The switch's allocator: 0.9 MB.
    "libseccomp2",
    "lxc",
    "mmdebstrap",
    "nftables",
    "openssh-client",
    "openvswitch-switch",
    "ovn-central",
    "ovn-host",
    "procps",
    "squashfs-tools-ng",  # Reads squashfs images: 0.3 MB, and the kernel need not trust them.
    "uidmap",
    "zstd",
)
# Where there are several: 24, 6 and 60 MB.
FOR_CONTROL_HOSTS = ("etcd-server", "keepalived", "postgresql-15")
FOR_TESTS = ("iputils-ping", "postgresql", "squashfs-tools", "udhcpc")
FOR_SYSTEM_TESTS = (
    "chromium-headless-shell",  # Opens the report's page. Of 100 MB; with a screen it would be 124.
    "libnss3-tools",  # Tells it of the cloud's authority: 1 MB.
)
LISTS = Path("/var/lib/apt/lists")
LOCK = Path("/var/lib/dpkg")  # A directory can be locked too, and no file is left of it.
POLICY = Path("/usr/sbin/policy-rc.d")
POLICY_TEXT = "#!/bin/sh\n# Made by kumoi while it installs packages: their services do not start.\nexit 101\n"
SYSTEMD = Path("/run/systemd/system")
INSTALL_TIMEOUT_S = 900.0
UPDATE_TIMEOUT_S = 300.0
UNATTENDED = {"DEBIAN_FRONTEND": "noninteractive"}


def missing(wanted: Iterable[str]) -> list[str]:
    return sorted(set(wanted) - _installed())


def ensure(wanted: Iterable[str]) -> list[str]:
    """Install the missing packages; their names. Raises Permanent when that is not possible."""
    absent = missing(wanted)
    if not absent:
        return []
    if os.geteuid() != 0:
        raise Permanent(f"packages are missing: sudo apt-get install {' '.join(absent)}")
    with files.locked(LOCK):  # Of ours, one. dpkg's own locks keep others out.
        absent = missing(absent)
        if absent:
            _ensure(absent)
        return absent


def _ensure(absent: list[str]) -> None:
    before = _installed()
    fresh = not any(LISTS.glob("*_Packages*"))
    try:
        with _no_service_starts():
            if fresh or not _was_installed(absent):
                # The lists may be older than what the mirror still has.
                process.run(["apt-get", "-q", "update"], timeout_s=UPDATE_TIMEOUT_S, env=UNATTENDED)
                _install(absent)
    except process.ProcessFailed as cause:
        names = " ".join(absent)
        raise Permanent(
            f"packages could not be installed; is there a network? Try: apt-get update && "
            f"apt-get install {names}"
        ) from cause
    _disable_services(_installed() - before)


def _was_installed(names: list[str]) -> bool:
    try:
        _install(names)
    except process.ProcessFailed:
        return False
    return True


def _installed() -> set[str]:
    listed = process.run(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Package}\n"])
    rows = (line.split() for line in listed.out.splitlines())
    return {name for status, name in rows if status == "installed"}


def _install(names: list[str]) -> None:
    process.run(
        ["apt-get", "-qy", "install", "--no-install-recommends", *names],
        timeout_s=INSTALL_TIMEOUT_S,
        env=UNATTENDED,
    )


@contextlib.contextmanager
def _no_service_starts() -> Iterator[None]:
    """Debian's policy-rc.d forbids it meanwhile. A policy that the machine has already stays."""
    ours = not POLICY.exists() or POLICY.read_text() == POLICY_TEXT
    if ours:
        POLICY.write_text(POLICY_TEXT)
        POLICY.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            POLICY.unlink(missing_ok=True)


def _disable_services(packages: Iterable[str]) -> None:
    """Keep the packages' services from starting at the next boot, too."""
    if not SYSTEMD.exists():
        return
    for package in sorted(packages):
        files = process.run(["dpkg-query", "-L", package]).out.splitlines()
        units = [Path(file).name for file in files if "/systemd/system/" in file]
        units = [unit for unit in units if unit.endswith((".service", ".timer", ".socket"))]
        for unit in units:
            process.run(["systemctl", "disable", unit], check=False)
