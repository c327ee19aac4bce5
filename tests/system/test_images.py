"""What becomes of an image's file on a host: unpacked as it should be, or refused and nothing left.

Real programs and mounts in directories of the tests' own; needs root, and no cloud.
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.system.container_host import ROOT

from kumoi.base.errors import Permanent
from kumoi.base.process import run
from kumoi.cloud.drivers.instance import unpack
from kumoi.cloud.drivers.instance.lxc import image, rootfs
from kumoi.cloud.drivers.instance.lxc.paths import Paths
from kumoi.cloud.hostapi.messages import ImageContent
from kumoi.hosts.units.confinement import launched

pytestmark = [pytest.mark.system, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

SHA256 = "ab" * 32
BOUND_S = 20.0
CAPABILITY = struct.pack("<5I", 0x0200_0001, 1 << 13, 0, 0, 0)  # cap_net_raw, as setcap writes it.


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The least that passes for a root file system."""
    root = tmp_path / "tree"
    (root / "sbin").mkdir(parents=True)
    (root / "etc").mkdir()
    (root / "sbin/init").write_bytes(b"#!/bin/sh\n")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    return root


def squashed(tree: Path, *options: str) -> Path:
    """A squashfs file of a tree."""
    file = tree.with_suffix(".squashfs")
    run(["mksquashfs", tree, file, "-quiet", "-no-progress", "-noappend", *options])
    return file


def ensure(paths: Paths, file: Path) -> Path:
    """The image's files."""
    wanted = ImageContent(id="i", sha256=SHA256, disk_format="raw")
    image.ensure(paths, wanted, file)
    return paths.rootfs(SHA256)


def refusal(tmp_path: Path, file: Path) -> str:
    """Why it is no image; nothing of it is left."""
    paths = Paths(tmp_path / "host")
    with pytest.raises(Permanent) as refused:
        ensure(paths, file)
    assert list(paths.images.iterdir()) == []
    return refused.value.message


@pytest.mark.parametrize("compression", ["gzip", "xz", "zstd", "lz4"])
def test_a_squashfs_file_becomes_its_files_with_owners_modes_and_capabilities(
    tmp_path: Path, tree: Path, compression: str
) -> None:
    (tree / "bin").symlink_to("sbin")
    os.chown(tree / "etc/passwd", 0, 42)
    (tree / "sbin/init").chmod(0o4755)
    os.link(tree / "sbin/init", tree / "sbin/telinit")
    os.setxattr(tree / "sbin/init", "security.capability", CAPABILITY)
    with (tree / "sparse").open("wb") as sparse:
        sparse.truncate(64 << 20)
    root = ensure(Paths(tmp_path / "host"), squashed(tree, "-comp", compression))
    passwd, init = (root / "etc/passwd").stat(), (root / "sbin/init").stat()
    assert (passwd.st_uid, passwd.st_gid) == (0, 42)
    assert (oct(init.st_mode), init.st_nlink) == ("0o104755", 2)
    assert os.getxattr(root / "sbin/init", "security.capability") == CAPABILITY
    assert (root / "bin").readlink() == Path("sbin")
    assert (root / "sparse").stat().st_blocks * 512 < 1 << 20


def test_of_a_squashfs_file_no_device_and_no_other_attribute_stays(
    tmp_path: Path, tree: Path
) -> None:
    os.mknod(tree / "disk", 0o60666, os.makedev(254, 0))
    os.mknod(tree / "etc/kmsg", 0o20666, os.makedev(1, 11))
    for name in ("trusted.overlay.opaque", "user.overlay.opaque", "security.ima"):
        os.setxattr(tree / "etc", name, b"y")
    root = ensure(Paths(tmp_path / "host"), squashed(tree))
    assert sorted(path.name for path in root.rglob("*")) == ["etc", "init", "passwd", "sbin"]
    assert os.listxattr(root / "etc") == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:96] + bytes(200) + data[296:],
        lambda data: data[:4] + b"\xff" * 92 + data[96:],
        lambda data: data[:60] + os.urandom(36) + data[96:],
    ],
    ids=["cut off", "content", "header", "tables"],
)
def test_a_damaged_squashfs_file_is_no_image(
    tmp_path: Path, tree: Path, spoil: Callable[[bytes], bytes]
) -> None:
    (tree / "filling").write_text("".join(f"{number}\n" for number in range(100_000)))
    file = squashed(tree)
    file.write_bytes(spoil(file.read_bytes()))
    assert refusal(tmp_path, file) == "the image is no squashfs file, or a damaged one"


def test_a_squashfs_file_of_something_else_is_no_image(tmp_path: Path, tree: Path) -> None:
    shutil.rmtree(tree / "sbin")
    assert refusal(tmp_path, squashed(tree)) == "the image has no /sbin/init to start"


@pytest.mark.parametrize("kind", ["tar", "squashfs"])
def test_an_image_that_unpacks_to_more_than_it_may_is_ended(
    tmp_path: Path, tree: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tree / "bomb").open("wb") as bomb:
        for _ in range(512):
            bomb.write(b"x" * (1 << 20))
    file = squashed(tree, "-comp", "zstd") if kind == "squashfs" else _tarred(tree)
    (tree / "bomb").unlink()
    assert file.stat().st_size < 1 << 20
    monkeypatch.setattr(unpack, "BYTES_MAX", 100 << 20)
    assert "more than an image may" in refusal(tmp_path, file)


def _tarred(tree: Path) -> Path:
    file = tree.with_suffix(".tar.zst")
    run(["tar", "--create", "--zstd", f"--file={file}", f"--directory={tree}", "."])
    return file


def test_a_host_without_the_tool_says_so(
    tmp_path: Path, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = squashed(tree)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "squashfs-tools is missing" in refusal(tmp_path, file)


BEGIN = """
import sys
from pathlib import Path
from kumoi.cloud.drivers.instance.lxc import image
from kumoi.cloud.drivers.instance.lxc.paths import Paths
from kumoi.cloud.hostapi.messages import ImageContent
wanted = ImageContent(id="i", sha256=sys.argv[1], disk_format="raw")
image.ensure(Paths(Path(sys.argv[2])), wanted, Path(sys.argv[3]))
"""


@pytest.mark.parametrize("kind", ["tar", "squashfs"])
def test_of_an_unpacking_that_was_killed_nothing_is_left(
    tmp_path: Path, tree: Path, kind: str
) -> None:
    for number in range(4_000):
        (tree / f"etc/{number}").write_bytes(b"x" * 5_000)
    file = squashed(tree) if kind == "squashfs" else _tarred(tree)
    paths = Paths(tmp_path / "host")
    with subprocess.Popen(
        [sys.executable, "-c", BEGIN, SHA256, str(paths.host_dir), str(file)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    ) as agent:
        _until(lambda: any(paths.images.glob("*.part/rootfs/etc/*")))
        agent.send_signal(signal.SIGKILL)
    _until(lambda: not _working_on(file))
    assert not paths.rootfs(SHA256).exists()
    image.sweep(paths)
    assert list(paths.images.iterdir()) == []
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()


def _working_on(file: Path) -> list[str]:
    """Processes that have the file in their arguments."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(file) in path.read_text(errors="replace"):
                found.append(path.parent.name)
    return found


def _until(level: Callable[[], object]) -> None:
    deadline = time.monotonic() + BOUND_S
    while not level():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_hostile_image_writes_nothing_outside_itself(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    file = tmp_path / "hostile.tar"
    with tarfile.open(file, "w") as archive:
        for name, target in (("etc", str(outside)), ("home", f"../../../../..{outside}")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
        _add(archive, "etc/planted", b"x")
        _add(archive, f"../../../..{outside}/planted", b"x")
        _add(archive, f"{outside}/planted", b"x")
        _add(archive, "sbin/init", b"#!/bin/sh\n")
        node = tarfile.TarInfo("disk")
        node.type, node.devmajor, node.devminor = tarfile.BLKTYPE, 254, 0
        archive.addfile(node)
    paths = Paths(tmp_path / "host")
    with contextlib.suppress(Permanent):
        ensure(paths, file)
    assert list(outside.iterdir()) == []
    nodes = [path for path in paths.host_dir.rglob("*") if path.is_block_device()]
    assert nodes == []


ATTEMPTS = """
    import os, socket, subprocess, sys

    target, outside, file, agent = sys.argv[1:]
    ways = {
        "write the target": lambda: open(f"{target}/mine", "w").close(),
        "read the file": lambda: open(file).read(),
        "write outside": lambda: open(f"{outside}/planted", "w").close(),
        "read outside": lambda: open(f"{outside}/there").read(),
        "read shadow": lambda: open("/etc/shadow").read(),
        "open a device": lambda: (os.mknod(f"{target}/d", 0o20666, os.makedev(1, 11)),
                                  open(f"{target}/d").close()),
        "signal the agent": lambda: os.kill(int(agent), 0),
        "socket": lambda: socket.socket(socket.AF_UNIX),
        "mount": lambda: subprocess.run(["mount", "-t", "tmpfs", "x", target], check=True),
        "unshare": lambda: subprocess.run(["unshare", "--mount", "true"], check=True),
    }
    done = []
    for name, way in ways.items():
        try:
            way()
        except (OSError, subprocess.CalledProcessError):
            continue
        done.append(name)
    print(done)
"""


def test_what_unpacks_an_image_reaches_the_file_and_the_target_only(tmp_path: Path) -> None:
    """Whatever an image makes of the program: here another one stands in its place."""
    target, outside, file = tmp_path / "target", tmp_path / "outside", tmp_path / "file"
    target.mkdir()
    outside.mkdir()
    (outside / "there").touch()
    file.touch()
    row = unpack.helper(file, target, unpack.ATTRIBUTES)
    words = ["-I", "-c", textwrap.dedent(ATTEMPTS), target, outside, file, os.getpid()]

    def inside() -> str:
        unpack.shut_in(target)
        return run(launched(row, ["/usr/bin/python3", *map(str, words)])).out

    assert ast.literal_eval(rootfs.with_own_mounts(inside)) == ["write the target", "read the file"]


def test_a_squashfs_file_with_names_that_lead_out_writes_nothing_outside_itself(
    tmp_path: Path, tree: Path
) -> None:
    (tree / "QQ/planted").mkdir(parents=True)
    file = squashed(tree, "-noI", "-noD", "-noF", "-noX")
    data = file.read_bytes()
    assert data.count(b"QQ") == 1
    file.write_bytes(data.replace(b"QQ", b".."))
    assert "damaged" in refusal(tmp_path, file)
    assert list(tmp_path.rglob("planted")) == [tree / "QQ/planted"]


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))
