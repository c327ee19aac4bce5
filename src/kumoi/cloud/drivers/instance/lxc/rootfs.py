"""A server's root file system, mounted where only the server's own processes see it.

    overlay     lower: the image's files, mounted read-only, ids translated
                upper: the server's own disk, ids translated

The mounts are in a mount namespace of the thread that makes them and of what it starts: LXC's monitor
and the server. When those end, the kernel removes the mounts and detaches the loop device. So a kill
at any moment leaves no mount behind, and no other process of the host sees them.

Whatever files an image or a server has, the host follows no symlink out of them: they are opened with
openat2, and written to the disk itself, which has only the server's own layer.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from kumoi.base.errors import Permanent, Transient
from kumoi.base.files import is_disk_full
from kumoi.cloud.drivers.instance import kernel
from kumoi.cloud.drivers.instance.login import LoginUser
from kumoi.cloud.drivers.instance.lxc import disk, idmap, subids
from kumoi.cloud.drivers.instance.seed import LOGIN, ROOT, SeedFile

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Mounts:
    """Mount points, in the thread's own namespace: a directory that everybody may enter, for the
    server's first process, which is not the host's root, passes through it.
    """

    top: Path

    @property
    def lower(self) -> Path:
        return self.top / "lower"

    @property
    def raw(self) -> Path:
        """The disk with the ids as stored."""
        return self.top / "raw"

    @property
    def disk(self) -> Path:
        return self.top / "disk"

    @property
    def root(self) -> Path:
        return self.top / "root"

    @property
    def rescued(self) -> Mounts:
        """Those of the server that is being rescued."""
        return Mounts(self.top / "rescued")

    @property
    def processors(self) -> Path:
        """The server's /proc/cpuinfo."""
        return self.top / "cpuinfo"


def with_own_mounts(work: Callable[[], Result]) -> Result:
    """Run `work` in a thread with a mount namespace of its own, which programs it starts share."""

    def inside() -> Result:
        try:
            kernel.leave_mounts()
        except OSError as cause:
            raise Transient("make a mount namespace") from cause
        return work()

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="mounts") as thread:
        return thread.submit(inside).result()


def with_reader(host_dir: Path, work: Callable[[int], Result]) -> Result:
    """The same, with a namespace of users for programs that read there what tenants wrote."""
    users = idmap.open_namespace(idmap.of_readers(subids.claim(host_dir)))
    try:
        return with_own_mounts(lambda: work(users))
    finally:
        os.close(users)


def mounts_for(host_dir: Path) -> Mounts:
    """A mount point that does not hide the driver's own files from the thread."""
    top = Path("/media") if Path("/mnt") in host_dir.resolve().parents else Path("/mnt")
    return Mounts(top)


def make_top(mounts: Mounts) -> None:
    """An empty place for mounts."""
    try:
        kernel.mount("tmpfs", mounts.top, kind="tmpfs", data="size=1m,mode=755")
    except OSError as cause:
        raise Transient(f"mount a place for mounts at {mounts.top}") from cause


def open_disk(mounts: Mounts, file: Path) -> None:
    """Mount a server's disk with the ids as stored."""
    make_top(mounts)
    for path in (mounts.lower, mounts.raw, mounts.disk, mounts.root):
        path.mkdir(mode=0o755)
    disk.mount(file, mounts.raw)
    for name in ("upper", "work"):
        path = mounts.raw / name
        if not path.is_dir():
            path.mkdir(mode=0o755)


def sync_disk(mounts: Mounts) -> None:
    """Sync the open disk. A flush of the loop device is a flush of its file."""
    with _directory(mounts.raw) as descriptor:
        kernel.sync_file_system(descriptor)


def assemble(mounts: Mounts, image: Path, ids: idmap.IdRange) -> None:
    """Mount the whole root file system, once the disk is open."""
    namespace = idmap.open_namespace(ids)
    try:
        _translate(mounts, image, namespace)
        layers = f"lowerdir={mounts.lower},upperdir={mounts.disk}/upper,workdir={mounts.disk}/work"
        with kernel.acting_as(ids.base, ids.base):
            kernel.mount("overlay", mounts.root, kind="overlay", flags=kernel.MS_NODEV, data=layers)
    except OSError as cause:
        raise Transient("mount a server's root file system") from cause
    finally:
        os.close(namespace)


def show(mounts: Mounts, image: Path, namespace: int) -> None:
    """Mount the whole root file system for reading, for a program in this namespace of users, once the
    disk is open.
    """
    flags = kernel.MS_NODEV | kernel.MS_RDONLY
    try:
        _translate(mounts, image, namespace)
        layers = f"lowerdir={mounts.disk}/upper:{mounts.lower}"
        kernel.mount("overlay", mounts.root, kind="overlay", flags=flags, data=layers)
    except OSError as cause:
        raise Transient("mount a server's files for reading") from cause


def _translate(mounts: Mounts, image: Path, namespace: int) -> None:
    """Both layers with the ids of a namespace of users in place of those stored."""
    attributes = kernel.MOUNT_ATTR_NODEV
    read_only = attributes | kernel.MOUNT_ATTR_RDONLY
    try:
        kernel.clone_mount(image, mounts.lower, attributes=read_only, userns_fd=namespace)
    except FileNotFoundError as cause:
        raise Transient("the server's image is not on this host") from cause
    kernel.clone_mount(mounts.raw, mounts.disk, attributes=attributes, userns_fd=namespace)
    kernel.unmount(mounts.raw)


def write_files(mounts: Mounts, image: Path, files: tuple[SeedFile, ...], login: LoginUser) -> None:
    """Write files into a new server's own layer, before it ever ran."""
    try:
        with _directory(mounts.raw / "upper") as upper, _directory(image) as lower:
            _ensure_directory(upper, lower, "")
            for file in files:
                _write_file(upper, lower, file, login)
    except OSError as cause:
        if is_disk_full(cause):
            raise Permanent("the server's disk is too small for its own files") from cause
        raise Transient("write files into a new server") from cause


def _write_file(upper: int, lower: int, file: SeedFile, login: LoginUser) -> None:
    """Files that the owner names lie where the image's symlinks lead; ours at the very path."""
    path = file.path.replace(LOGIN, login.home, 1) if file.path.startswith(LOGIN) else file.path
    if file.follow:
        path = resolved(lower, path)
    parts = [part for part in path.split("/") if part]
    if ".." in parts or not parts:
        raise Permanent(f"the image names {path} as a home")
    uid, gid = (0, 0) if file.owner == ROOT else (login.uid, login.gid)
    for depth in range(1, len(parts)):
        directory = "/".join(parts[:depth])
        made = _ensure_directory(upper, lower, directory)
        if made and file.owner == LOGIN and depth == len(parts) - 1:
            _set_owner(upper, directory, uid=uid, gid=gid, mode=0o700)
    name = "/".join(parts)
    descriptor = os.open(
        name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600, dir_fd=upper
    )
    with os.fdopen(descriptor, "wb") as out:
        out.write(file.content)
        os.fchown(descriptor, uid, gid)
        os.fchmod(descriptor, file.mode)


def resolved(lower: int, path: str) -> str:
    """The path of a file below the image's root, after the image's symlinks. What the image lacks is
    as it was named. Raises Permanent for a path that is no file's.
    """
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts or ".." in parts:
        raise Permanent(f"{path} is no file's path")
    for depth in range(len(parts), -1, -1):
        try:
            known = kernel.open_inside(lower, "/".join(parts[:depth]) or ".", flags=os.O_PATH)
        except OSError as cause:
            if cause.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                continue
            raise
        try:
            found = str(Path(f"/proc/self/fd/{known}").readlink())
            is_directory = stat.S_ISDIR(os.fstat(known).st_mode)
        finally:
            os.close(known)
        if is_directory == (depth == len(parts)):
            raise Permanent(f"{path} cannot be a file: the image has something else there")
        root = str(Path(f"/proc/self/fd/{lower}").readlink())
        return "/".join([found.removeprefix(root), *parts[depth:]])
    raise Permanent(f"{path} is no file's path")


def _ensure_directory(upper: int, lower: int, directory: str) -> bool:
    """Have a directory in the server's layer, with the owner and mode of the image's; whether the
    image has none. Nobody else has written to the layer yet, so it has no symlinks.
    """
    status = _image_directory(lower, directory)
    if directory:
        try:
            os.mkdir(directory, 0o755, dir_fd=upper)
        except FileExistsError:
            return False
    if status is None:
        return True
    uid, gid, mode = status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)
    _set_owner(upper, directory or ".", uid=uid, gid=gid, mode=mode)
    return False


def _image_directory(lower: int, directory: str) -> os.stat_result | None:
    """The image's directory of that path; None where it has none, or only behind a symlink."""
    flags = os.O_PATH | os.O_DIRECTORY
    try:
        descriptor = kernel.open_inside(lower, directory or ".", flags=flags, follow=False)
    except OSError as cause:
        if cause.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return None
        raise
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def _set_owner(upper: int, path: str, *, uid: int, gid: int, mode: int) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=upper)
    try:
        os.fchown(descriptor, uid, gid)
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _directory(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
