"""The program that unpacks an image. unpack.py starts it as root; it becomes nobody before it reads.

It is root of a user namespace, whose ids nobody else on the host has, with rights about the owners and
modes of files there. It reaches the image's file and the target, no socket and no other process, and
makes no device. Within the target a name or a symlink of the image leads nowhere else.

Both kinds of image are a stream of tar members here: squashfs-tools-ng makes one of a squashfs file, which
the kernel would have to be trusted with. This program starts others to decompress, and writes the
files itself: what a program of another's would stop at is left out. Those are devices, what lies in
/dev, and attributes but file capabilities, as overlayfs has attributes of its own. Owners that no
server has become `nobody`, whom a server sees in their place. Blocks of zeros become holes.
"""

from __future__ import annotations

import contextlib
import enum
import fcntl
import os
import shutil
import stat
import struct
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Self, TypeVar, cast

from kumoi.base import process
from kumoi.base.process import ProcessFailed
from kumoi.cloud.drivers.instance import kernel, reader

SQUASHFS, SQUASHFS_TOOL = b"hsqs", "sqfs2tar"
XZ_MEMORY_BYTES = 256 << 20  # A file may ask for 4 GiB; the best compression asks for 65 MiB.
COMPRESSIONS = {
    b"\x28\xb5\x2f\xfd": ("/usr/bin/zstd", "-dc"),
    b"\x1f\x8b": ("/bin/gzip", "-dc"),
    b"\xfd7zXZ\x00": ("/usr/bin/xz", "-dc", f"--memlimit-decompress={XZ_MEMORY_BYTES}"),
}
MAGIC_BYTES = 8
CHUNK_BYTES = 1 << 16
ZEROS = bytes(CHUNK_BYTES)
BUFFER_BYTES = 1 << 20
CAPABILITY = "security.capability"
CAPABILITY_FIELD = f"SCHILY.xattr.{CAPABILITY}"
DAMAGED = (
    tarfile.TarError, OSError, EOFError, ValueError, TypeError, LookupError, ArithmeticError,
    RecursionError, struct.error,
)  # fmt: skip
"""What a hostile image makes of its reader."""
UID_MAX, NOBODY = 65_535, 65_534
TIME_MAX_S = 1 << 33
Made = TypeVar("Made")


class Ended(enum.IntEnum):
    """How this program ends; unpack.py has the words. Any other status is no answer about the image."""

    NO_TAR = 3
    NO_SQUASHFS = 4
    TOO_LARGE = 5
    NO_TOOL = 6
    LEADS_OUT = 7
    KILLED = 8  # A program that it started was.


class Refused(Exception):
    def __init__(self, why: Ended) -> None:
        super().__init__(why)
        self.why = why


def main(argv: Sequence[str]) -> int:
    given = reader.begin(argv[0])
    file, target = Path(given["file"]), Path(given["target"])
    damaged = Ended.NO_TAR
    try:
        with file.open("rb") as opened:
            magic = opened.read(MAGIC_BYTES)
        if magic.startswith(SQUASHFS):
            damaged = Ended.NO_SQUASHFS
        with _members(file, magic) as stream:
            Tree(target, stream, bytes_max=given["bytes_max"]).write()
    except Refused as refused:
        return refused.why
    except ProcessFailed as failed:
        return Ended.KILLED if failed.is_killed else damaged
    except (*DAMAGED, MemoryError):
        return damaged
    return 0


@contextlib.contextmanager
def _members(file: Path, magic: bytes) -> Iterator[IO[bytes]]:
    """The file as a tar stream. Raises ProcessFailed when it is damaged."""
    with file.open("rb") as opened:
        if magic.startswith(SQUASHFS):
            tool = shutil.which(SQUASHFS_TOOL)
            if tool is None:
                raise Refused(Ended.NO_TOOL)
            argv: tuple[str, ...] = (tool, "--root-becomes", ".", str(file))
        else:
            found = (words for start, words in COMPRESSIONS.items() if magic.startswith(start))
            argv = next(found, ())
        if not argv:
            yield opened
            return
        with process.printed(argv, stdin=opened) as stream:
            fcntl.fcntl(stream, fcntl.F_SETPIPE_SZ, BUFFER_BYTES)
            yield stream


class Member(tarfile.TarInfo):
    """A header that cannot be read is an error and not the end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as cause:
            if any(buf):
                raise tarfile.ReadError("a header is damaged") from cause
            raise


class Forward:
    """A stream as tarfile reads a file, which only ever goes forward. Raises Refused when it has more
    than `bytes_max`.
    """

    def __init__(self, stream: IO[bytes], bytes_max: int) -> None:
        self._stream = stream
        self._bytes_max = bytes_max
        self._at = 0

    def tell(self) -> int:
        return self._at

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._at += len(data)
        if self._at > self._bytes_max:
            raise Refused(Ended.TOO_LARGE)
        return data

    def seek(self, position: int) -> None:
        while self._at < position:
            if not self.read(min(CHUNK_BYTES, position - self._at)):
                return


class Tree:
    """The files of a stream of members, below `target`. Directories get their owners, modes and times
    last, for what is written into them changes these.
    """

    def __init__(self, target: Path, stream: IO[bytes], *, bytes_max: int) -> None:
        self._root = os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._stream = Forward(stream, bytes_max)
        self._parent, self._parent_name = -1, b""
        self._directories: list[tuple[bytes, Member]] = []
        self._left_out: set[bytes] = set()

    def write(self) -> None:
        archive = tarfile.TarFile(
            fileobj=cast("IO[bytes]", self._stream), tarinfo=Member, encoding="utf-8"
        )
        while (member := archive.next()) is not None:
            self._write(cast("Member", member), parts_of(member.name))
            cast("Any", archive).members.clear()  # It would keep all.
        for name, directory in reversed(self._directories):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # It was replaced.
                handle = self._open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
                _give(handle, directory)
                os.close(handle)

    def _write(self, member: Member, parts: list[bytes]) -> None:
        if member.isblk() or member.ischr() or (len(parts) > 1 and parts[0] == b"dev"):
            self._left_out.add(b"/".join(parts))
        elif member.isdir():
            self._make_directory(member, parts)
        elif not parts:
            raise tarfile.ReadError("a file has no name")
        elif member.islnk():
            self._link(parts, parts_of(member.linkname))
        elif member.issym():
            target = member.linkname.encode(errors="surrogateescape")
            self._place(parts, lambda name, parent: os.symlink(target, name, dir_fd=parent))
            self._give_name(member, parts)
        elif member.isfifo():
            self._place(parts, lambda name, parent: os.mkfifo(name, 0o600, dir_fd=parent))
            self._give_name(member, parts)
            os.chmod(parts[-1], stat.S_IMODE(member.mode), dir_fd=self._parent_of(parts))
        elif member.isreg():
            self._make_file(member, parts)
        else:
            raise tarfile.ReadError("a member is of no known kind")

    def _make_file(self, member: Member, parts: list[bytes]) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        handle = self._place(parts, lambda name, parent: os.open(name, flags, 0o600, dir_fd=parent))
        try:
            self._stream.seek(member.offset_data)
            pieces = cast("list[tuple[int, int]] | None", member.sparse) or [(0, member.size)]
            for offset, count in pieces:
                self._fill(handle, offset, count)
            os.ftruncate(handle, member.size)
            _give(handle, member)
        finally:
            os.close(handle)

    def _fill(self, handle: int, offset: int, count: int) -> None:
        os.lseek(handle, offset, os.SEEK_SET)
        while count > 0:
            chunk = self._stream.read(min(CHUNK_BYTES, count))
            if not chunk:
                raise EOFError
            count -= len(chunk)
            if chunk == ZEROS:
                os.lseek(handle, CHUNK_BYTES, os.SEEK_CUR)
                continue
            while chunk:
                chunk = chunk[os.write(handle, chunk) :]

    def _make_directory(self, member: Member, parts: list[bytes]) -> None:
        def make(name: bytes, parent: int) -> None:
            try:
                os.mkdir(name, 0o755, dir_fd=parent)
            except FileExistsError:
                if not stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode):
                    raise

        if parts:
            self._place(parts, make)
        self._directories.append((b"/".join(parts), member))

    def _link(self, parts: list[bytes], source: list[bytes]) -> None:
        if b"/".join(source) in self._left_out:
            return
        there = self._open(b"/".join(source[:-1]), os.O_PATH | os.O_DIRECTORY)
        try:
            self._place(
                parts,
                lambda name, parent: os.link(
                    source[-1], name, src_dir_fd=there, dst_dir_fd=parent, follow_symlinks=False
                ),
            )
        finally:
            os.close(there)

    def _place(self, parts: list[bytes], make: Callable[[bytes, int], Made]) -> Made:
        """Make something of that name in its directory, in place of what is there: of two members of
        one name the later counts.
        """
        parent, name = self._parent_of(parts), parts[-1]
        try:
            return make(name, parent)
        except FileExistsError:
            try:
                os.unlink(name, dir_fd=parent)
            except IsADirectoryError:
                os.rmdir(name, dir_fd=parent)
            self._forget_parent()
            return make(name, self._parent_of(parts))

    def _parent_of(self, parts: list[bytes]) -> int:
        """Its directory; the last one stays open, for most members are in the same as the one before."""
        name = b"/".join(parts[:-1])
        if self._parent < 0 or name != self._parent_name:
            self._forget_parent()
            self._parent, self._parent_name = self._ensure(parts[:-1]), name
        return self._parent

    def _forget_parent(self) -> None:
        if self._parent >= 0:
            os.close(self._parent)
            self._parent = -1

    def _ensure(self, parts: list[bytes]) -> int:
        """A directory, made with those above it where the image does not name them."""
        try:
            return self._open(b"/".join(parts), os.O_PATH | os.O_DIRECTORY)
        except FileNotFoundError:
            above = self._ensure(parts[:-1])
            with contextlib.suppress(FileExistsError):
                os.mkdir(parts[-1], 0o755, dir_fd=above)
            os.close(above)
        return self._open(b"/".join(parts), os.O_PATH | os.O_DIRECTORY)

    def _open(self, name: bytes, flags: int) -> int:
        """As if the target were the root directory: no symlink leads out of it."""
        return kernel.open_inside(self._root, name or b".", flags=flags)

    def _give_name(self, member: Member, parts: list[bytes]) -> None:
        parent, name = self._parent_of(parts), parts[-1]
        os.chown(name, *owner_of(member), dir_fd=parent, follow_symlinks=False)
        os.utime(name, ns=times_of(member), dir_fd=parent, follow_symlinks=False)


def parts_of(name: str) -> list[bytes]:
    """A path below the root directory. Raises Refused for one that leads out of it."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise Refused(Ended.LEADS_OUT)
    return [part.encode(errors="surrogateescape") for part in parts]


def owner_of(member: tarfile.TarInfo) -> tuple[int, int]:
    uid, gid = (number if 0 <= number <= UID_MAX else NOBODY for number in (member.uid, member.gid))
    return uid, gid


def times_of(member: tarfile.TarInfo) -> tuple[int, int]:
    moment_ns = int(min(max(member.mtime, 0), TIME_MAX_S) * 1e9)
    return moment_ns, moment_ns


def _give(handle: int, member: tarfile.TarInfo) -> None:
    """In this order: a new owner takes away the set-user bit and capabilities."""
    os.fchown(handle, *owner_of(member))
    os.fchmod(handle, stat.S_IMODE(member.mode))
    capability = member.pax_headers.get(CAPABILITY_FIELD)
    if capability is not None and member.isreg():
        with contextlib.suppress(OSError):  # One that counts for nobody here.
            os.setxattr(handle, CAPABILITY, capability.encode(errors="surrogateescape"))
    os.utime(handle, ns=times_of(member))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
