"""Images as this driver uses them: unpacked once per content, for all servers made from it.

The files keep the image's own ids; the directory above is only root's, so that nobody on the host can
run an image's setuid programs. unpack.py unpacks a file.

A power failure must not leave empty files under an image's final name. A sync takes as long as the
machine has anything to write (28 s right after an installation), so an image is used at once and has a
mark until it is synced: one with the mark of an earlier boot is no image.

ext4 without a journal looks at each file that was deleted nearby in the last minutes before it makes
another. So images lie apart: where an image, or anything, was deleted, none is unpacked.
"""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

import msgspec

from kumoi.base import files, process, trees
from kumoi.base.errors import Permanent, Transient
from kumoi.base.files import Promise
from kumoi.base.ids import new_hex_id
from kumoi.base.process import ProcessFailed
from kumoi.cloud.drivers.instance import kernel, login, reader, unpack
from kumoi.cloud.drivers.instance.login import LoginUser
from kumoi.cloud.drivers.instance.lxc import rootfs
from kumoi.cloud.drivers.instance.lxc.paths import PART, Paths
from kumoi.cloud.hostapi.messages import ImageContent
from kumoi.hosts.units.confinement import launched

PACK_TIMEOUT_S = 900.0
UNSETTLED = "unsettled"
LOGIN = "login"

_OWN = ("./dev/*", "./etc/ssh/ssh_host_*", "./var/lib/cloud/*", "./proc/*", "./sys/*", "./run/*")
_TAR_CHANGED = 1  # A file changed while it was read: a running server's do.
_INITS = ("sbin/init", "usr/sbin/init", "usr/lib/systemd/systemd")


def ready(paths: Paths) -> frozenset[str]:
    """Content hashes of the images unpacked here."""
    if not paths.images.is_dir():
        return frozenset()
    return frozenset(
        entry.name
        for entry in paths.images.iterdir()
        if entry.is_dir() and "." not in entry.name and not _is_lost(entry)
    )


def ensure(paths: Paths, image: ImageContent, file: Path) -> None:
    """Unpack an image, unless it is there. Raises Permanent when no server could start from it."""
    if paths.rootfs(image.sha256).is_dir():
        return
    paths.images.mkdir(parents=True, exist_ok=True)
    paths.images.chmod(0o700)
    kernel.spread_entries(paths.images)
    part = paths.images / f"{image.sha256}.{new_hex_id()}{PART}"
    try:
        (part / "rootfs").mkdir(parents=True)
        login_user = _unpack(paths, file, part / "rootfs")
        _require_bootable(part / "rootfs")
        _keep_login(part, login_user)
        files.replace(part / UNSETTLED, kernel.BOOT_ID.read_text(), promise=Promise.OLD_OR_NEW)
        part.rename(paths.images / image.sha256)
    except OSError as cause:
        if cause.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return  # Another thread was faster.
        raise Transient("unpack an image") from cause
    finally:
        _remove(part)


def _unpack(paths: Paths, file: Path, target: Path) -> LoginUser:
    """Who logs in there."""
    mounts = rootfs.mounts_for(paths.host_dir)

    def inside(users: int) -> LoginUser:
        rootfs.make_top(mounts)
        root = unpack.unpack(file, target, users=users, top=mounts.top)
        return login.read(root, users=users)

    return rootfs.with_reader(paths.host_dir, inside)


def login_of(paths: Paths, sha256: str) -> LoginUser:
    """Who logs in to an image that is here. One that an earlier release unpacked is read once more."""
    directory = paths.images / sha256
    with contextlib.suppress(FileNotFoundError):
        return login.parse((directory / LOGIN).read_text())
    mounts = rootfs.mounts_for(paths.host_dir)

    def inside(users: int) -> LoginUser:
        rootfs.make_top(mounts)
        root = mounts.top / "root"
        reader.show(paths.rootfs(sha256), root, users=users)
        reader.shut_in()
        return login.read(root, users=users)

    if not paths.rootfs(sha256).is_dir():
        raise Transient("the server's image is not on this host")
    found = rootfs.with_reader(paths.host_dir, inside)
    with contextlib.suppress(OSError):  # Another thread keeps it, or the next server's does.
        _keep_login(directory, found)
    return found


def _keep_login(directory: Path, found: LoginUser) -> None:
    text = msgspec.json.encode(found).decode()
    files.replace(directory / LOGIN, text, promise=Promise.OLD_OR_NEW)


def delete(paths: Paths, sha256: str) -> None:
    """Remove an unpacked image; it is never there in part."""
    part = paths.images / f"{sha256}.{new_hex_id()}{PART}"
    try:
        (paths.images / sha256).rename(part)
    except FileNotFoundError:
        return
    _remove(part)


def write(paths: Paths, base: Path, disk_file: Path, target: Path) -> None:
    """Write a server's files as an image, whether it runs or not. Without the files that are its own:
    its host keys and its seed; each new server gets names of its own anyway.
    """
    mounts = rootfs.mounts_for(paths.host_dir)
    argv = [
        "/usr/bin/tar", "--create", "--use-compress-program=zstd -1", "--numeric-owner",
        "--xattrs", "--xattrs-include=security.capability", "--one-file-system",
        "--sparse", *(f"--exclude={path}" for path in _OWN),
        "--file=-", f"--directory={mounts.root}", ".",
    ]  # fmt: skip
    rights = reader.rights(reads=(mounts.root,), capabilities=reader.READS)

    def inside(users: int) -> None:
        rootfs.open_disk(mounts, disk_file)
        rootfs.show(mounts, base, users)
        done = process.run(
            launched(rights, argv, users=reader.path_of(users)),
            stdout=file,
            timeout_s=PACK_TIMEOUT_S,
            check=False,
        )
        if done.status not in (0, _TAR_CHANGED):
            raise Transient("write a server's files as an image") from ProcessFailed(
                f"tar ended with status {done.status}", completed=done
            )

    with target.open("wb") as file:
        rootfs.with_reader(paths.host_dir, inside)


def settle(paths: Paths) -> None:
    """Sync unpacked images and remove their marks. Servers do not wait for it: it takes as long as
    everything that was written on the host lately.
    """
    marks = [mark for mark in paths.images.glob(f"*/{UNSETTLED}") if not _is_lost(mark.parent)]
    if marks:
        descriptor = os.open(paths.images, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            kernel.sync_file_system(descriptor)
        finally:
            os.close(descriptor)
    for mark in marks:
        mark.unlink(missing_ok=True)


def sweep(paths: Paths) -> None:
    """Remove incomplete images, and those that a power failure may have damaged. Only while nothing
    is being unpacked.
    """
    lost = [mark.parent for mark in paths.images.glob(f"*/{UNSETTLED}") if _is_lost(mark.parent)]
    for directory in (*paths.images.glob(f"*{PART}"), *lost):
        if directory.is_dir():
            _remove(directory)


def _remove(directory: Path) -> None:
    """What cannot be removed now goes when the agent begins. It is as deep as whoever made it likes."""
    with contextlib.suppress(Transient):
        trees.remove(directory)


def _require_bootable(root: Path) -> None:
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for path in _INITS:
            with contextlib.suppress(OSError):
                os.close(kernel.open_inside(descriptor, path, flags=os.O_PATH))
                break
        else:
            raise Permanent("the image has no /sbin/init to start")
    finally:
        os.close(descriptor)


def _is_lost(directory: Path) -> bool:
    """Whether it was not synced before the machine booted last: its files may be empty."""
    mark = directory / UNSETTLED
    try:
        return mark.read_text() != kernel.BOOT_ID.read_text()
    except FileNotFoundError:
        return False
