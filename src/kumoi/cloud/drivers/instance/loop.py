"""Loop devices: a file of the host as a block device.

The kernel detaches a device from its file when the last mount is gone. A device that still has the
file is used again: two of them on one file would destroy it. Called by drivers that mount servers'
disks; knows no driver's files.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from kumoi.base.errors import Transient

_TRIES = 64
_BLOCK_BYTES = 4_096
_CONFIGURE = 0x4C0A
_GET_STATUS64 = 0x4C05
_CTL_GET_FREE = 0x4C82
_AUTOCLEAR = 4
_STATUS_BYTES = 232
_CONFIG_BYTES = 304
_FLAGS_OFFSET = 52
_SYS_BLOCK = Path("/sys/block")


@contextlib.contextmanager
def attached(file: Path) -> Iterator[str]:
    """The path of a loop device with this file, within the context. A mount made within it keeps the
    device attached afterwards.
    """
    descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        device, path = _find_device(descriptor, file) or _attach(descriptor)
    except OSError as cause:
        raise Transient("attach a server's disk to a loop device") from cause
    finally:
        os.close(descriptor)
    try:
        yield path
    finally:
        os.close(device)


@contextlib.contextmanager
def held(name: str, below: Path) -> Iterator[str]:
    """The path of the device of that name, which stays with its file within the context. Raises OSError where
    its file is none below the directory.
    """
    path = f"/dev/{name}"
    device = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if name not in below_directory(below):
            raise OSError(errno.ENXIO, f"{name} has another file now")
        yield path
    finally:
        os.close(device)


def below_directory(directory: Path) -> dict[str, Path]:
    """The names of the devices whose files are below a directory, also of those that were removed."""
    wanted = directory.resolve()
    found = {}
    for backing in _SYS_BLOCK.glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):  # Detached meanwhile.
            file = Path(_backing(backing))
            if wanted in file.parents:
                found[backing.parts[-3]] = file
    return found


def is_attached(directory: Path) -> bool:
    """Whether a loop device has a file of this directory, even one that was removed."""
    wanted = directory.resolve()
    for backing in _SYS_BLOCK.glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):  # Detached meanwhile.
            if Path(_backing(backing)).parent == wanted:
                return True
    return False


def _find_device(file: int, path: Path) -> tuple[int, str] | None:
    """The device that has this file: by its inode, for a file's name may have changed."""
    wanted = os.fstat(file)
    directory = path.parent.resolve()
    for backing in _SYS_BLOCK.glob("loop*/loop/backing_file"):
        try:
            name = _backing(backing)
        except OSError:
            continue  # Detached meanwhile.
        if Path(name).parent != directory:  # A file is renamed within its directory only.
            continue
        device_path = f"/dev/{backing.parts[-3]}"
        device = os.open(device_path, os.O_RDWR | os.O_CLOEXEC)
        status = bytearray(_STATUS_BYTES)
        try:
            fcntl.ioctl(device, _GET_STATUS64, status)
        except OSError:  # Detached meanwhile.
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
    # struct loop_config: descriptor, block size, then struct loop_info64 with its flags.
    configuration = bytearray(_CONFIG_BYTES)
    struct.pack_into("=II", configuration, 0, file, _BLOCK_BYTES)
    struct.pack_into("=I", configuration, 8 + _FLAGS_OFFSET, _AUTOCLEAR)
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_TRIES):
            path = f"/dev/loop{fcntl.ioctl(control, _CTL_GET_FREE)}"
            device = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(device, _CONFIGURE, bytes(configuration))
            except OSError as cause:
                os.close(device)
                if cause.errno != errno.EBUSY:  # Somebody else took it first.
                    raise
            else:
                return device, path
    finally:
        os.close(control)
    raise OSError(errno.EBUSY, "no free loop device")
