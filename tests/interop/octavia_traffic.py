"""What Octavia's own tests of traffic are told of a cloud, and what they need on it. Called by `run.py`.

The plugin brings a program in Go, which is built here, and takes servers for cirros. So the image is ours with
what the tests type into it: `screen`; `/proc/sys/vm/overcommit_memory`, which no container may write, as a file
that it may; and an `ip` that adds an address that is there already.
"""

from __future__ import annotations

import io
import shutil
import tarfile
import tempfile
from importlib import resources
from pathlib import Path

from openstack.connection import Connection

from kumoi.base import process
from kumoi.base.errors import Invalid
from kumoi.hosts.first_use.first_run import ensure_image
from kumoi.hosts.install import image, packages
from tests.interop import octavia

REGEX = r"octavia_tempest_plugin\.tests\.(barbican_)?scenario\."
"""The tests that run when nothing else is asked for."""

RECIPE = image.Recipe("debian-12-tempest", ("screen",), base=image.DEBIAN, hidden=True)
PROGRAMS = {"go": "golang-go", "zstd": "zstd", "scp": "openssh-client"}
SERVER = Path(tempfile.gettempdir()) / "octavia-test-server"
UNIT = "etc/systemd/system/overcommit.service"
FILES = {
    UNIT: (
        0o644,
        """[Unit]
DefaultDependencies=no
Before=ssh.service
[Service]
Type=oneshot
ExecStart=cp /proc/sys/vm/overcommit_memory /run
ExecStart=mount --bind /run/overcommit_memory /proc/sys/vm/overcommit_memory
""",
    ),
    "usr/local/sbin/ip": (
        0o755,
        """#!/bin/sh
[ "$1 $2" = "address add" ] && shift 2 && set -- address replace "$@"
exec /usr/sbin/ip "$@"
""",
    ),
}
LINKS = {"etc/systemd/system/multi-user.target.wants/overcommit.service": f"/{UNIT}"}

SAME_SHARES = "        self.assertEqual(1, len(set(response_counts.values())))\n"
"""The line of its `check_members_balanced` after that which wants as many members to have answered as there are."""

NOT_OFFERED = {
    **octavia.NOT_OFFERED,
    r"mixed_ipv4_ipv6_members": "members of the other IP version than the address: nothing here"
    " translates between them, so they get nothing",
    r"test_ipv6_traffic_ops": "IPv6 from outside: no external network has it; and members in IPv6"
    " networks without a router, where a balancer of Octavia's has a port",
}


def settings(admin: Connection) -> octavia.SettingsText:
    told = octavia.settings(admin)
    told["compute"] = {"image_ref": _ensure_image(admin)}
    told["load_balancer"] |= {"test_server_path": str(_ensure_server())}
    return told


def without_shares(workspace: Path) -> Path:
    """Where Octavia's plugin is once more, in which each member has to answer, as often as it may. Raises Invalid where
    it is another plugin than this was made for.
    """
    changed = workspace / "without-shares"
    shutil.rmtree(changed, ignore_errors=True)
    with resources.as_file(resources.files("octavia_tempest_plugin")) as package:
        shutil.copytree(package, changed / package.name)
    file = changed / "octavia_tempest_plugin/tests/validators.py"
    text = file.read_text()
    if text.count(SAME_SHARES) != 1:
        raise Invalid("the plugin compares members' shares elsewhere", field="--without-shares")
    file.write_text(text.replace(SAME_SHARES, ""))
    return changed


def _ensure_server() -> Path:
    """The program that answers in servers, built where it is not there yet."""
    packages.ensure(package for program, package in PROGRAMS.items() if not shutil.which(program))
    source = resources.files("octavia_tempest_plugin") / "contrib/test_server/test_server.go"
    if not SERVER.exists():
        with resources.as_file(source) as path:
            words = ["go", "build", "-ldflags", "-s -w", "-o", str(SERVER), str(path)]
            process.run(words, env={"CGO_ENABLED": "0", "GO111MODULE": "off"}, timeout_s=300)
    return SERVER


def _ensure_image(admin: Connection) -> str:
    """The id of the image, which everybody may use and nobody's list has."""
    with tempfile.TemporaryDirectory() as here:
        plain, packed = Path(here, "image.tar"), Path(here, "image.tar.zst")
        built = image.ensure(RECIPE, image.cache_dir())
        process.run(["zstd", "--quiet", "--decompress", built, "-o", plain], timeout_s=60)
        with tarfile.open(plain, "a") as archive:
            for name, (mode, text) in FILES.items():
                member = tarfile.TarInfo(f"./{name}")
                member.mode, member.size = mode, len(text)
                archive.addfile(member, io.BytesIO(text.encode()))
            for name, target in LINKS.items():
                member = tarfile.TarInfo(f"./{name}")
                member.type, member.linkname = tarfile.SYMTYPE, target
                archive.addfile(member)
        process.run(["zstd", "--quiet", plain, "-o", packed], timeout_s=60)
        ensure_image(admin, RECIPE, packed)
    found = admin.image.images(name=RECIPE.name, is_hidden=True)
    return str(next(one for one in found if one.status == "active").id)
