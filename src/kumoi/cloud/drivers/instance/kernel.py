"""The kernel calls that Python lacks: mounts, namespaces, paths resolved inside a root.

Called by drivers of servers. A call that fails raises OSError with the kernel's number; the caller says
what that means. Nothing is decided and nothing kept here.

The calls above number 424 have the same number on every architecture.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""The identity of this boot of the machine."""

CLONE_NEWNS = 0x0002_0000
CLONE_NEWNET = 0x4000_0000

MS_RDONLY = 1
MS_NODEV = 4
MS_BIND = 4_096
MS_REC = 16_384
MS_PRIVATE = 1 << 18
MNT_DETACH = 2

MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_IDMAP = 0x0010_0000

_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_OPEN_TREE_CLONE = 1
_OPEN_TREE_CLOEXEC = os.O_CLOEXEC
_MOVE_MOUNT_F_EMPTY_PATH = 4
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_IN_ROOT = 0x10

_SYS_OPEN_TREE = 428
_SYS_MOVE_MOUNT = 429
_SYS_OPENAT2 = 437
_SYS_PIDFD_GETFD = 438
_SYS_MOUNT_SETATTR = 442

_CAPABILITY_VERSION_3 = 0x2008_0522
_CAPABILITY_WORDS = 2

_FS_IOC_GETFLAGS = 0x8008_6601
_FS_IOC_SETFLAGS = 0x4008_6602
_FS_TOPDIR = 0x0002_0000
_UNKNOWN_FLAG = {errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL}  # The file system has no such thing.

_OPENAT2_TRIES = 16  # RESOLVE_IN_ROOT may ask to try again while something is being renamed.

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _MountAttributes(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilityWord(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def leave_mounts() -> None:
    """Give the calling thread mounts of its own, which nobody else sees.

    Programs it starts inherit them, and they end with the last of these. Only for a thread that
    ends soon after: it cannot go back.
    """
    _check(_libc.unshare(CLONE_NEWNS), "unshare")
    mount("none", "/", flags=MS_REC | MS_PRIVATE)


def leave_network() -> None:
    """Give the calling thread a network namespace of its own, empty."""
    _check(_libc.unshare(CLONE_NEWNET), "unshare")


def enter_network(fd: int) -> None:
    """Move the calling thread, and those it will start, into a network namespace."""
    _check(_libc.setns(fd, CLONE_NEWNET), "setns")


def mount(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    kind: str = "none",
    flags: int = 0,
    data: str = "",
) -> None:
    result = _libc.mount(
        os.fsencode(source), os.fsencode(target), kind.encode(), flags, data.encode()
    )
    _check(result, f"mount {target}")


def unmount(target: str | os.PathLike[str], *, flags: int = 0) -> None:
    _check(_libc.umount2(os.fsencode(target), flags), f"unmount {target}")


def clone_mount(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    attributes: int = 0,
    userns_fd: int | None = None,
) -> None:
    """Mount what is at `source` at `target` as well, with other attributes; with `userns_fd` as an
    idmapped mount, by the id map of that user namespace.
    """
    tree = _check(
        _libc.syscall(
            _SYS_OPEN_TREE,
            _AT_FDCWD,
            os.fsencode(source),
            _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC,
        ),
        f"open_tree {source}",
    )
    try:
        mapped = MOUNT_ATTR_IDMAP if userns_fd is not None else 0
        _set_attributes(
            tree, b"", flags=_AT_EMPTY_PATH, added=attributes | mapped, userns_fd=userns_fd or 0
        )
        result = _libc.syscall(
            _SYS_MOVE_MOUNT,
            tree,
            b"",
            _AT_FDCWD,
            os.fsencode(target),
            _MOVE_MOUNT_F_EMPTY_PATH,
        )
        _check(result, f"move_mount {target}")
    finally:
        os.close(tree)


def forbid_writing(path: str | os.PathLike[str]) -> None:
    """Make every mount at and below `path` read-only, as the calling thread sees it."""
    _set_attributes(_AT_FDCWD, os.fsencode(path), flags=_AT_RECURSIVE, added=MOUNT_ATTR_RDONLY)


def allow_writing(path: str | os.PathLike[str]) -> None:
    """Make the mount at `path` writable again."""
    _set_attributes(_AT_FDCWD, os.fsencode(path), flags=0, cleared=MOUNT_ATTR_RDONLY)


def open_inside(root: int, path: str | bytes, *, flags: int, follow: bool = True) -> int:
    """Open a path as a process with `root` as its root directory would: no symlink leads out.

    With `follow` false, a symlink anywhere on the way is an error (ELOOP).
    """
    resolve = _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS
    if not follow:
        resolve |= _RESOLVE_NO_SYMLINKS
    how = _OpenHow(flags | os.O_CLOEXEC, 0, resolve)
    for _ in range(_OPENAT2_TRIES):
        fd: int = _libc.syscall(
            _SYS_OPENAT2, root, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how)
        )
        if fd >= 0 or ctypes.get_errno() != errno.EAGAIN:
            break
    return _check(fd, f"openat2 {path!r}")


def take_descriptor(pid: int, descriptor: int) -> int:
    """Another process's open file, as a descriptor of ours."""
    process = os.pidfd_open(pid)
    try:
        return _check(_libc.syscall(_SYS_PIDFD_GETFD, process, descriptor, 0), "pidfd_getfd")
    finally:
        os.close(process)


def spread_entries(directory: Path) -> None:
    """Let ext4 place each directory made in this one by itself, and not beside the others. Another file
    system does as it does.
    """
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        (flags,) = struct.unpack("l", fcntl.ioctl(fd, _FS_IOC_GETFLAGS, bytes(8)))
        if not flags & _FS_TOPDIR:
            fcntl.ioctl(fd, _FS_IOC_SETFLAGS, struct.pack("l", flags | _FS_TOPDIR))
    except OSError as cause:
        if cause.errno not in _UNKNOWN_FLAG:
            raise
    finally:
        os.close(fd)


def sync_file_system(fd: int) -> None:
    """Wait until all that was written to the file system of this descriptor is on its disk."""
    _check(_libc.syncfs(fd), "syncfs")


@contextlib.contextmanager
def acting_as(uid: int, gid: int) -> Iterator[None]:
    """Create files as this user in the calling thread, with all of root's capabilities.

    An overlay creates its own files as the user who mounted it: on an idmapped layer this must be a
    mapped user, or the overlay silently becomes read-only.
    """
    _libc.setfsgid(gid)
    _libc.setfsuid(uid)
    try:
        _raise_capabilities()
        yield
    finally:
        _libc.setfsuid(0)
        _libc.setfsgid(0)


def _raise_capabilities() -> None:
    """Make all permitted capabilities effective: leaving user 0 drops those about files."""
    header = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
    words = (_CapabilityWord * _CAPABILITY_WORDS)()
    _check(_libc.capget(ctypes.byref(header), words), "capget")
    for word in words:
        word.effective = word.permitted
    _check(_libc.capset(ctypes.byref(header), words), "capset")


def _set_attributes(
    directory: int,
    path: bytes,
    *,
    flags: int,
    added: int = 0,
    cleared: int = 0,
    userns_fd: int = 0,
) -> None:
    attributes = _MountAttributes(added, cleared, 0, userns_fd)
    result = _libc.syscall(
        _SYS_MOUNT_SETATTR,
        directory,
        path,
        flags,
        ctypes.byref(attributes),
        ctypes.sizeof(attributes),
    )
    _check(result, f"mount_setattr {path.decode(errors='replace')}")


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
