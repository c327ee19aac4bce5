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
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.system.container_host import ROOT

from kumoi.base.errors import Permanent, Transient
from kumoi.base.process import run
from kumoi.cloud.drivers.instance import reader, unpack
from kumoi.cloud.drivers.instance.login import LoginUser
from kumoi.cloud.drivers.instance.lxc import idmap, image, rootfs, subids
from kumoi.cloud.drivers.instance.lxc.paths import Paths
from kumoi.cloud.hostapi.messages import ImageContent
from kumoi.hosts.units.confinement import launched

pytestmark = [pytest.mark.system, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

SHA256 = "ab" * 32
BOUND_S = 60.0
CAPABILITY = struct.pack("<5I", 0x0200_0001, 1 << 13, 0, 0, 0)  # cap_net_raw, as setcap writes it.


@pytest.fixture(autouse=True)
def ids_given_back(tmp_path: Path) -> Iterator[None]:
    """What reads an image has ids of the host's range."""
    yield
    _until(lambda: subids.release(tmp_path / "host"))


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


def test_where_files_were_deleted_no_image_is_unpacked(tmp_path: Path, tree: Path) -> None:
    """ext4 without a journal takes 1 to 2 ms for a file there."""
    if run(["stat", "--file-system", "--format=%T", tmp_path]).out.strip() != "ext2/ext3":
        pytest.skip("another file system than ext4")
    paths = Paths(tmp_path / "host")
    ensure(paths, _tarred(tree))
    (shown,) = run(["lsattr", "-d", paths.images]).out.splitlines()
    assert "T" in shown.split()[0]


def test_who_logs_in_is_read_once_also_of_an_image_of_an_earlier_release(
    tmp_path: Path, tree: Path
) -> None:
    """By a program that is nobody, from a file that only the image's root may read."""
    (tree / "etc/passwd").write_text("debian:x:1001:1002::/home/debian:/bin/sh\n")
    (tree / "etc/passwd").chmod(0o600)
    paths, user = Paths(tmp_path / "host"), LoginUser(1001, 1002, "/home/debian")
    ensure(paths, _tarred(tree))
    kept = paths.images / SHA256 / "login"
    for _ in range(2):
        assert image.login_of(paths, SHA256) == user
        kept.unlink()
    (paths.rootfs(SHA256) / "etc/passwd").unlink()
    with pytest.raises(Permanent, match="no /etc/passwd"):
        image.login_of(paths, SHA256)


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
    for name in ("cat", "unshare"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "squashfs-tools-ng is missing" in refusal(tmp_path, file)


BEGIN = """
import sys
from pathlib import Path
from kumoi.cloud.drivers.instance.lxc import image
from kumoi.cloud.drivers.instance.lxc.paths import Paths
from kumoi.cloud.hostapi.messages import ImageContent
wanted = ImageContent(id="i", sha256=sys.argv[1], disk_format="raw")
image.ensure(Paths(Path(sys.argv[2])), wanted, Path(sys.argv[3]))
"""


@pytest.fixture
def long(tree: Path) -> Path:
    """A tree that takes a while to unpack."""
    for number in range(400):
        (tree / f"etc/{number}").write_bytes(os.urandom(60_000))
    return tree


@pytest.mark.parametrize("kind", ["tar", "squashfs"])
@pytest.mark.parametrize("step", ["*.part", "*.part/rootfs/etc", "*.part/rootfs/etc/99"])
@pytest.mark.parametrize("first", [signal.SIGCONT, signal.SIGSTOP])
def test_of_an_unpacking_whose_agent_was_killed_nothing_is_left(
    tmp_path: Path, long: Path, kind: str, step: str, first: signal.Signals
) -> None:
    """Also where the programs had been stopped, and could do nothing about it."""
    file = squashed(long) if kind == "squashfs" else _tarred(long)
    paths = Paths(tmp_path / "host")
    with subprocess.Popen(
        [sys.executable, "-c", BEGIN, SHA256, str(paths.host_dir), str(file)],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    ) as agent:
        _until(lambda: any(paths.images.glob(step)))
        for pid in _readers(paths):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, first)
        agent.send_signal(signal.SIGKILL)
    _until(lambda: not _readers(paths))
    assert not paths.rootfs(SHA256).exists()
    image.sweep(paths)
    assert list(paths.images.iterdir()) == []
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()


@pytest.mark.parametrize("kind", ["tar", "squashfs"])
@pytest.mark.parametrize("which", [0, -1], ids=["first", "last"])
def test_what_unpacks_is_nobody_on_the_host_and_its_death_says_nothing_of_the_image(
    tmp_path: Path, long: Path, kind: str, which: int
) -> None:
    file = squashed(long) if kind == "squashfs" else _tarred(long)
    paths = Paths(tmp_path / "host")
    with ThreadPoolExecutor(1) as thread:
        unpacking = thread.submit(ensure, paths, file)
        _until(lambda: len(_readers(paths)) == 2)
        pids = _readers(paths)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        assert {_status(pid, "CapEff") for pid in pids} == {"000000008000001b"}
        assert {_status(pid, "NoNewPrivs") for pid in pids} == {"1"}
        ours = Path("/proc/self/ns/user").readlink()
        assert ours not in {Path(f"/proc/{pid}/ns/user").readlink() for pid in pids}
        os.kill(pids[which], signal.SIGKILL)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        with pytest.raises(Transient):
            unpacking.result()
    _until(lambda: not _readers(paths))
    assert list(paths.images.iterdir()) == []
    assert (ensure(paths, file) / "etc/passwd").exists()


def _readers(paths: Paths) -> list[int]:
    """What reads an image for this host, by its user, which nobody else has."""
    wanted = idmap.of_readers(subids.claim(paths.host_dir)).base
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if path.stat().st_uid == wanted:
                found.append(int(path.name))
    return sorted(found)


def _status(pid: int, name: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"{name}:"))


def _until(level: Callable[[], object]) -> None:
    deadline = time.monotonic() + BOUND_S
    while not level():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_hostile_image_writes_nothing_outside_itself(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    for number, hostile in enumerate([
        [_entry("etc", tarfile.SYMTYPE, str(outside)), _entry("etc/planted", content=b"x")],
        [_entry("home", tarfile.SYMTYPE, f"../../../../..{outside}"), _entry("home/planted")],
        [_entry(f"../../../..{outside}/planted")],
        [_entry(f"{outside}/planted")],
        [_entry("there", tarfile.LNKTYPE, f"{outside}/secret")],
        [_entry("there", tarfile.LNKTYPE, f"../../../../..{outside}/secret")],
        [_entry("a", tarfile.SYMTYPE, str(outside)), _entry("b", tarfile.LNKTYPE, "a/secret")],
        [_entry("a", tarfile.SYMTYPE, str(outside)), _entry("a/planted", tarfile.DIRTYPE)],
        [_entry("a", tarfile.SYMTYPE, f"{outside}/secret"), _entry("a", content=b"x")],
    ]):  # fmt: skip
        paths = Paths(tmp_path / "host")
        with contextlib.suppress(Permanent):
            ensure(paths, _archive(tmp_path / f"{number}.tar", *hostile))
        assert [path.name for path in outside.iterdir()] == ["secret"], hostile
        assert (outside / "secret").read_text() == "secret"
        assert (outside / "secret").stat().st_nlink == 1
        image.delete(paths, SHA256)


def test_what_no_image_may_have_is_left_out_of_it(tmp_path: Path) -> None:
    """Devices, whiteouts, attributes of overlayfs, owners that no server has."""
    root = ensure(
        Paths(tmp_path / "host"),
        _archive(
            tmp_path / "odd.tar",
            _entry("disk", tarfile.BLKTYPE, numbers=(254, 0)),
            _entry("whiteout", tarfile.CHRTYPE, numbers=(0, 0)),
            _entry("again", tarfile.LNKTYPE, "disk"),
            _entry("dev/kmsg", tarfile.CHRTYPE, numbers=(1, 11)),
            _entry("pipe", tarfile.FIFOTYPE),
            _entry("opaque", tarfile.DIRTYPE, attribute="trusted.overlay.opaque"),
            _entry("root", content=b"x", mode=0o6755),
            _entry("stranger", content=b"x", mode=0o4755, owner=70_000),
            _entry("stranger2", content=b"x", mode=0o4755, owner=1 << 40),
            _entry("twice", content=b"first"),
            _entry("twice", content=b"second"),
        ),
    )
    names = {path.name for path in root.iterdir()} - {"etc", "sbin"}
    assert names == {"pipe", "opaque", "root", "stranger", "stranger2", "twice"}
    assert [
        os.listxattr(path, follow_symlinks=False) for path in root.rglob("*") if os.listxattr(path)
    ] == []
    assert ((root / "root").stat().st_uid, oct((root / "root").stat().st_mode)) == (0, "0o106755")
    assert {(root / name).stat().st_uid for name in ("stranger", "stranger2")} == {65_534}
    assert (root / "twice").read_bytes() == b"second"


def test_of_a_sparse_giant_only_what_it_has_takes_room(tmp_path: Path, tree: Path) -> None:
    with (tree / "giant").open("wb") as giant:
        giant.truncate(1 << 40)
        giant.seek(5 << 30)
        giant.write(b"data")
    for kind in ("gnu", "posix"):
        file = tree.with_suffix(f".{kind}")
        run(
            [
                "tar",
                "--create",
                "--sparse",
                f"--format={kind}",
                f"--file={file}",
                f"--directory={tree}",
                ".",
            ]
        )
        paths = Paths(tmp_path / "host")
        root = ensure(paths, file)
        assert (root / "giant").stat().st_size == 1 << 40
        assert (root / "giant").stat().st_blocks * 512 < 1 << 20
        with (root / "giant").open("rb") as opened:
            opened.seek(5 << 30)
            assert opened.read(5) == b"data\0"
        image.delete(paths, SHA256)


def test_a_file_that_says_it_is_larger_than_any_disk_is_no_image(tmp_path: Path) -> None:
    file = tmp_path / "huge.tar"
    member = tarfile.TarInfo("huge")
    member.size = 1 << 62
    file.write_bytes(member.tobuf(tarfile.GNU_FORMAT))
    assert refusal(tmp_path, file) == "the image is not a tar archive of a root file system"


def test_a_name_that_goes_on_for_ever_is_no_image(tmp_path: Path) -> None:
    file = tmp_path / "endless.tar"
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1
    file.write_bytes((header.tobuf(tarfile.GNU_FORMAT) + bytes(512)) * 2_000)
    assert refusal(tmp_path, file) == "the image is not a tar archive of a root file system"


@pytest.mark.parametrize("option", ["--no-auto-compress", "--zstd", "--gzip", "--xz"])
def test_a_damaged_tar_archive_is_no_image(tmp_path: Path, tree: Path, option: str) -> None:
    (tree / "filling").write_text("".join(f"{number}\n" for number in range(100_000)))
    file = tree.with_suffix(".tar")
    run(["tar", "--create", option, f"--file={file}", f"--directory={tree}", "."])
    whole = file.read_bytes()
    second_header = 512 if option.startswith("--no") else len(whole) // 2
    for spoilt in (
        whole[: len(whole) // 2],
        whole[:second_header] + b"\xff" * 16 + whole[second_header + 16 :],
    ):
        file.write_bytes(spoilt)
        assert refusal(tmp_path, file) == "the image is not a tar archive of a root file system"


Entry = tuple[tarfile.TarInfo, bytes]


def _entry(
    name: str,
    kind: bytes = tarfile.REGTYPE,
    link: str = "",
    *,
    content: bytes = b"",
    mode: int = 0o644,
    owner: int = 0,
    numbers: tuple[int, int] = (0, 0),
    attribute: str = "",
) -> Entry:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.mode, member.uid, member.size = (
        kind,
        link,
        mode,
        owner,
        len(content),
    )
    member.devmajor, member.devminor = numbers
    if attribute:
        member.pax_headers = {f"SCHILY.xattr.{attribute}": "y"}
    return member, content


def _archive(file: Path, *entries: Entry) -> Path:
    """A tar archive of these and the least that passes for a root file system."""
    least = [
        _entry("sbin/init", content=b"#!"),
        _entry("etc/passwd", content=b"root:x:0:0::/root:/bin/sh\n"),
    ]
    with tarfile.open(file, "w", format=tarfile.PAX_FORMAT) as archive:
        for member, content in (*least, *entries):
            archive.addfile(member, io.BytesIO(content))
    return file


ATTEMPTS = """
    import os, socket, subprocess, sys

    target, outside, file, agent = sys.argv[1:]
    ways = {
        "write the target": lambda: open(f"{target}/mine", "w").close(),
        "give it away": lambda: os.chown(f"{target}/mine", 1_234, 0),
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
    file.touch(mode=0o600)
    mounts = rootfs.mounts_for(tmp_path)
    shown, root = mounts.top / "image", mounts.top / "root"
    rights = reader.rights(reads=(shown,), writes=(root,), capabilities=reader.WRITES)
    words = ["-I", "-c", textwrap.dedent(ATTEMPTS), root, outside, shown, os.getpid()]
    ids = idmap.of_readers(subids.claim(tmp_path / "host"))
    users = idmap.open_namespace(ids)

    def inside() -> str:
        rootfs.make_top(mounts)
        reader.show(file, shown, users=users)
        reader.show(target, root, users=users, writable=True)
        reader.shut_in(root)
        argv = ["/usr/bin/python3", *map(str, words)]
        return run(launched(rights, argv, users=reader.path_of(users))).out

    done = ast.literal_eval(rootfs.with_own_mounts(inside))
    os.close(users)
    assert done == ["write the target", "give it away", "read the file"]
    assert (target / "mine").stat().st_uid == 1_234


def test_a_squashfs_file_with_names_that_lead_out_writes_nothing_outside_itself(
    tmp_path: Path, tree: Path
) -> None:
    (tree / "QQ/planted").mkdir(parents=True)
    file = squashed(tree, "-noI", "-noD", "-noF", "-noX")
    data = file.read_bytes()
    assert data.count(b"QQ") == 1
    file.write_bytes(data.replace(b"QQ", b".."))
    ensure(Paths(tmp_path / "host"), file)
    assert list(tmp_path.rglob("planted")) == [tree / "QQ/planted"]
