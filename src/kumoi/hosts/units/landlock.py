"""Landlock: from now on this process, and what it starts, reaches the named paths and no others.

The kernel's interface by its calls, since no library of Debian's has it. Called by sandbox.py; see
landlock(7). Access that a kernel does not know yet is left out: the newest that it has is used.
"""

from __future__ import annotations

import ctypes
import enum
import errno
import os
import stat
from collections.abc import Mapping

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
CREATE_RULESET_VERSION = 1
RULE_PATH_BENEATH = 1
REFER_ABI, TRUNCATE_ABI, NET_ABI, DEVICE_ABI, SCOPE_ABI = 2, 3, 4, 5, 6
SCOPE_SOCKETS = 0b01  # Abstract sockets reach whom we start, and nobody else;
SCOPE_ALL = 0b11  # signals too.


class Access(enum.IntFlag):
    """What may be done with what lies at a path, or below it."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15

    @property
    def of_file(self) -> Access:
        """What of it makes sense for something that is no directory."""
        return self & (
            Access.EXECUTE
            | Access.WRITE_FILE
            | Access.READ_FILE
            | Access.TRUNCATE
            | Access.IOCTL_DEV
        )


READ = Access.READ_FILE | Access.READ_DIR
WRITE = (
    READ
    | Access.WRITE_FILE
    | Access.REMOVE_DIR
    | Access.REMOVE_FILE
    | Access.MAKE_DIR
    | Access.MAKE_REG
    | Access.MAKE_SOCK
    | Access.MAKE_FIFO
    | Access.MAKE_SYM
    | Access.REFER
    | Access.TRUNCATE
)
DEVICE = Access.READ_FILE | Access.WRITE_FILE | Access.TRUNCATE | Access.IOCTL_DEV


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def version() -> int:
    """Of the kernel's Landlock; 0 when it has none, or has it switched off. Its first version is none:
    it forbids every rename from one directory to another, which git does at each push.
    """
    number = int(_libc().syscall(CREATE_RULESET, None, ctypes.c_size_t(0), CREATE_RULESET_VERSION))
    if number >= 0:
        return number if number >= REFER_ABI else 0
    if ctypes.get_errno() in (errno.ENOSYS, errno.EOPNOTSUPP):
        return 0
    raise _failure("ask for Landlock's version")


def known(abi: int) -> Access:
    """All that this version can hold back."""
    newest = {TRUNCATE_ABI: Access.TRUNCATE, DEVICE_ABI: Access.IOCTL_DEV}
    found = ~Access(0)
    for since, access in newest.items():
        if abi < since:
            found &= ~access
    return found


def restrict(paths: Mapping[str, Access], abi: int, *, scopes: int = SCOPE_ALL) -> None:
    """Once: what is held back cannot be had again. Paths that are not there, or that this user does not
    reach, give nothing. Raises OSError, and then nothing is held back.
    """
    handled = known(abi)
    attributes = _Ruleset(int(handled), 0, scopes if abi >= SCOPE_ABI else 0)
    size = 24 if abi >= SCOPE_ABI else 16 if abi >= NET_ABI else 8
    ruleset = _libc().syscall(
        CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(size), ctypes.c_uint32(0)
    )
    if ruleset < 0:
        raise _failure("make a ruleset of Landlock")
    try:
        for path, access in paths.items():
            _allow(ruleset, path, access & handled)
        if _libc().syscall(RESTRICT_SELF, ruleset, ctypes.c_uint32(0)) != 0:
            raise _failure("hold this process to Landlock")
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, access: Access) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return
    try:
        is_directory = stat.S_ISDIR(os.fstat(handle).st_mode)
        rule = _PathBeneath(int(access if is_directory else access.of_file), handle)
        added = _libc().syscall(
            ADD_RULE, ruleset, RULE_PATH_BENEATH, ctypes.byref(rule), ctypes.c_uint32(0)
        )
        if added != 0:
            raise _failure(f"allow {path} by Landlock")
    finally:
        os.close(handle)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _failure(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")
