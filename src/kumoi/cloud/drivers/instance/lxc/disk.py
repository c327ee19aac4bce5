"""A server's disk: a sparse ext4 file of the flavor's size, so that a full one hurts nobody else.

It holds the overlay's upper and work directories, ids as the server sees them. A new one is a copy
of an empty template of that size (7 ms here, mkfs takes 11 and many more writes). The journal
stays: without it the host's power failure would need a full check of every server's disk.

What has a disk's final name is whole after a power failure: its content is waited for before the
rename, and the rename before anybody is told of the server. That takes 10 to 20 ms of waiting here,
no processor, and the kernel makes one of the waits of many servers; to sync the whole host's file
system instead would wait for all that anybody writes. With the content written some time later, as
the kernel likes it, a host that lost its power within half a minute had a disk of zeros there, and
a server that its owner had been told was ACTIVE could never start again.

A loop device carries it and lets go by itself when the last mount is gone. A device that still has
the file is used again: two of them on one file would destroy it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from kumoi.base import files, process
from kumoi.base.errors import Permanent, Transient
from kumoi.base.files import Promise
from kumoi.base.ids import new_hex_id
from kumoi.cloud.drivers.instance.lxc import kernel
from kumoi.cloud.drivers.instance.lxc.paths import PART

JOURNAL_MIB = 16
RESIZE_TIMEOUT_S = 600.0
MOUNT_OPTIONS = "noinit_itable,discard"
"""A sparse file reads as zeros already: no zeroing of inode tables in the background. What is
deleted inside becomes a hole again."""

_LOOP_TRIES = 64
_LOOP_BLOCK_BYTES = 4_096
_LOOP_CONFIGURE = 0x4C0A
_LOOP_GET_STATUS64 = 0x4C05
_LOOP_CTL_GET_FREE = 0x4C82
_LO_FLAGS_AUTOCLEAR = 4
_STATUS_BYTES = 232
_CONFIG_BYTES = 304
_FLAGS_OFFSET = 52
_BLOCK_BYTES = 4_096
_BLOCK_COUNT_AT = 1_024 + 4  # In the superblock.
_E2FSCK_GOOD = (0, 1)  # Clean; and mended.
_SYS_BLOCK = Path("/sys/block")
_COPY_BYTES = 1 << 20


def ensure_template(templates: Path, disk_gib: int) -> Path:
    """An empty file system of this size."""
    path = templates / f"{disk_gib}.ext4"
    if not path.exists():
        templates.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = templates / f"{disk_gib}.{new_hex_id()}{PART}"
        with part.open("wb") as file:
            file.truncate(disk_gib << 30)
        options = "lazy_itable_init=1,lazy_journal_init=1,nodiscard"
        journal = f"size={JOURNAL_MIB}"
        process.run(["mkfs.ext4", "-q", "-F", "-m0", "-E", options, "-J", journal, part])
        files.publish(part, path, promise=Promise.NEW)
    return path


def copy_sparse(source: Path, target: Path) -> None:
    """Copy a file, holes as holes. Raises Permanent when there is no room for it."""
    try:
        with source.open("rb") as from_, target.open("wb") as to:
            size = os.fstat(from_.fileno()).st_size
            os.ftruncate(to.fileno(), size)
            for start, end in _data(from_.fileno(), size):
                _copy_range(from_.fileno(), to.fileno(), start, end)
    except OSError as cause:
        target.unlink(missing_ok=True)
        if cause.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Permanent("the host's disk is full: no room for a server's disk") from cause
        raise Transient("copy an empty disk") from cause


def keep(part: Path, final: Path) -> None:
    """Give a file whose content is on the disk its final name, and wait until it has it."""
    part.replace(final)
    files.sync(final.parent)


@contextlib.contextmanager
def attached(file: Path) -> Iterator[str]:
    """The path of a loop device that has this file, for as long as we are inside. A mount made
    inside keeps the device afterwards.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        device, path = _find(descriptor, file) or _attach(descriptor)
    except OSError as cause:
        raise Transient("attach a server's disk to a loop device") from cause
    finally:
        os.close(descriptor)
    try:
        yield path
    finally:
        os.close(device)


def mount(file: Path, target: Path) -> None:
    """Mount a disk for the calling thread. Raises Permanent when it is damaged."""
    with attached(file) as device:
        try:
            kernel.mount(device, target, kind="ext4", flags=kernel.MS_NODEV, data=MOUNT_OPTIONS)
        except OSError as cause:
            if cause.errno in (errno.EUCLEAN, errno.EINVAL, errno.EIO):
                raise Permanent("the server's disk is damaged") from cause
            raise Transient("mount a server's disk") from cause


def is_smaller(file: Path, disk_gib: int) -> bool:
    """Whether a disk that nobody uses is smaller than this."""
    with file.open("rb") as opened:
        count = int.from_bytes(os.pread(opened.fileno(), 4, _BLOCK_COUNT_AT), "little")
    return count * _BLOCK_BYTES < disk_gib << 30


def enlarge(file: Path, disk_gib: int) -> None:
    """Give a disk that nobody uses this size: a copy, so that a kill leaves it as it was. Growing
    it mounted would take a right that root in a container lacks.
    """
    part = file.with_name(file.name + PART)
    copy_sparse(file, part)
    os.truncate(part, disk_gib << 30)
    checked = process.run(["e2fsck", "-f", "-p", part], timeout_s=RESIZE_TIMEOUT_S, check=False)
    if checked.status not in _E2FSCK_GOOD:
        raise Permanent("the server's disk is damaged")
    process.run(["resize2fs", part], timeout_s=RESIZE_TIMEOUT_S)
    files.publish(part, file, promise=Promise.NEW)


def is_attached(directory: Path) -> bool:
    """Whether a loop device has a file of this directory, removed files included."""
    wanted = directory.resolve()
    for backing in _SYS_BLOCK.glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):  # It was let go of meanwhile.
            if Path(_backing(backing)).parent == wanted:
                return True
    return False


def _find(file: int, path: Path) -> tuple[int, str] | None:
    """The device that has this very file: names may lie, so the inode decides."""
    wanted = os.fstat(file)
    directory = path.parent.resolve()
    for backing in _SYS_BLOCK.glob("loop*/loop/backing_file"):
        try:
            named = _backing(backing)
        except OSError:
            continue  # It was let go of meanwhile.
        if Path(named).parent != directory:  # Renamed while attached, at most.
            continue
        device_path = f"/dev/{backing.parts[-3]}"
        device = os.open(device_path, os.O_RDWR | os.O_CLOEXEC)
        status = bytearray(_STATUS_BYTES)
        try:
            fcntl.ioctl(device, _LOOP_GET_STATUS64, status)
        except OSError:  # It was let go of meanwhile.
            os.close(device)
            continue
        number, inode = struct.unpack_from("=QQ", status)
        if (number, inode) == (wanted.st_dev, wanted.st_ino):
            return device, device_path
        os.close(device)
    return None


def _backing(path: Path) -> str:
    return path.read_text().rstrip("\n").removesuffix(" (deleted)")


def _attach(file: int) -> tuple[int, str]:
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_LOOP_TRIES):
            path = f"/dev/loop{fcntl.ioctl(control, _LOOP_CTL_GET_FREE)}"
            device = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(device, _LOOP_CONFIGURE, _configuration(file))
            except OSError as cause:
                os.close(device)
                if cause.errno != errno.EBUSY:  # Somebody else took it first.
                    raise
            else:
                return device, path
    finally:
        os.close(control)
    raise OSError(errno.EBUSY, "no free loop device")


def _configuration(file: int) -> bytes:
    """The kernel's struct loop_config: descriptor, block size, then loop_info64 with its flags."""
    data = bytearray(_CONFIG_BYTES)
    struct.pack_into("=II", data, 0, file, _LOOP_BLOCK_BYTES)
    struct.pack_into("=I", data, 8 + _FLAGS_OFFSET, _LO_FLAGS_AUTOCLEAR)
    return bytes(data)


def _data(file: int, size: int) -> Iterator[tuple[int, int]]:
    """The parts of a sparse file that hold data."""
    end = 0
    while end < size:
        try:
            start = os.lseek(file, end, os.SEEK_DATA)
        except OSError as cause:
            if cause.errno == errno.ENXIO:  # Nothing but holes from here on.
                return
            raise
        end = os.lseek(file, start, os.SEEK_HOLE)
        yield start, end


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    while start < end:
        count = min(_COPY_BYTES, end - start)
        copied = os.copy_file_range(source, target, count, start, start)
        if copied == 0:
            raise OSError(errno.EIO, "a template became shorter")
        start += copied
