"""The files with which a new server starts: its names, its keys, cloud-init's seed. Pure.

Shared by the drivers: LXC writes them into the server's own layer, another driver may write them to a
config drive. Text from outside is checked here again before it becomes part of a file, so that it
cannot add lines.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass

from kumoi.base.errors import Permanent
from kumoi.cloud.drivers.instance import wire
from kumoi.cloud.hostapi.messages import InjectedFile, InstanceSpec

ROOT = "root"
LOGIN = "~"
"""Owners of files. A path that begins with `~` is in the home of the image's login user."""

_HOSTNAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
_HOSTNAME_MAX = 253
_KERNEL_NAME_MAX = 64
_NOCLOUD = "/var/lib/cloud/seed/nocloud"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedFile:
    """A file of a new server. `owner` is ROOT or LOGIN. With `follow` it lies where the image's
    symlinks lead.
    """

    path: str
    content: bytes
    mode: int = 0o644
    owner: str = ROOT
    follow: bool = False

    def __str__(self) -> str:
        return f"write {self.path} ({len(self.content)} bytes, {self.mode:o}, {self.owner})"


def hostname(server: InstanceSpec) -> str:
    """The server's host name. Raises Permanent when it is none."""
    name = server.hostname or f"server-{server.id[:8]}"
    if len(name) > _HOSTNAME_MAX or not _HOSTNAME.fullmatch(name.lower()):
        raise Permanent(f"{name!r} is no host name")
    return name


def kernel_name(server: InstanceSpec) -> str:
    """What the server's kernel is called: the host name, or of a longer one than kernels take the first
    label; the whole is in `/etc/hosts`.
    """
    name = hostname(server)
    return name if len(name) <= _KERNEL_NAME_MAX else name.partition(".")[0]


def files(server: InstanceSpec) -> tuple[SeedFile, ...]:
    """Files to write before a new server's first process runs."""
    host = hostname(server)
    short = host.partition(".")[0]
    names = host if short == host else f"{host} {short}"
    hosts = (
        f"127.0.0.1 localhost\n127.0.1.1 {names}\n::1 localhost ip6-localhost ip6-loopback\n"
        "ff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n"
    )
    wanted = [
        SeedFile(path="/etc/hostname", content=f"{kernel_name(server)}\n".encode()),
        SeedFile(path="/etc/hosts", content=hosts.encode()),
        SeedFile(path="/etc/machine-id", content=(server.id.replace("-", "") + "\n").encode()),
    ]
    if dns := wire.name_servers(wire.of(server)):
        resolv = "".join(f"nameserver {address}\n" for address in dns)
        wanted.append(SeedFile(path="/etc/resolv.conf", content=resolv.encode()))
    if server.ssh_keys:
        keys = [key.strip() for key in server.ssh_keys]
        if not all(key.isprintable() for key in keys):
            raise Permanent("the SSH key has characters that do not print")
        path, lines = f"{LOGIN}/.ssh/authorized_keys", "".join(f"{key}\n" for key in keys)
        wanted.append(SeedFile(path=path, content=lines.encode(), mode=0o600, owner=LOGIN))
    return (*wanted, *nocloud(server), *(_injected(file) for file in server.files))


def _injected(file: InjectedFile) -> SeedFile:
    try:
        content = base64.b64decode(file.contents, validate=True)
    except binascii.Error as cause:
        raise Permanent("the content of a file is not Base64") from cause
    if not file.path or not file.path.isprintable():
        raise Permanent("the path of a file has characters that do not print")
    return SeedFile(path=f"/{file.path.lstrip('/')}", content=content, follow=True)


def nocloud(server: InstanceSpec) -> tuple[SeedFile, ...]:
    """cloud-init's NoCloud seed, if the server has user data. It leaves the network alone."""
    if not server.user_data:
        return ()
    try:
        user_data = base64.b64decode(server.user_data, validate=True)
    except binascii.Error as cause:
        raise Permanent("the user data is not Base64") from cause
    meta_data = {
        "instance-id": f"{server.id}-{server.build}",
        "local-hostname": hostname(server),
        "public-keys": list(server.ssh_keys),
        "meta": dict(sorted(server.metadata.items())),
    }
    meta_text = json.dumps(meta_data) + "\n"
    settings = "datasource_list: [NoCloud]\nnetwork: {config: disabled}\n"
    return (
        SeedFile(path=f"{_NOCLOUD}/meta-data", content=meta_text.encode(), mode=0o600),
        SeedFile(path=f"{_NOCLOUD}/user-data", content=user_data, mode=0o600),
        SeedFile(path="/etc/cloud/cloud.cfg.d/99-kumoi.cfg", content=settings.encode()),
    )
