"""Unpack an image's file: a tar archive or a squashfs file of a root file system.

Called by image.py. An image is not trusted, and nothing of it is read here: unpacker.py does, a program that
has no right on the host and reaches that file and the target only (reader.py). It is killed when it takes
more space than an image may or the host can spare, and it ends with whoever started it.

A squashfs file is never mounted: a malformed one then harms a program of little memory, not the kernel
that all servers share.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from kumoi.base import process
from kumoi.base.errors import Permanent, Transient
from kumoi.base.process import ProcessFailed
from kumoi.cloud.drivers.instance import reader, room
from kumoi.cloud.drivers.instance.unpacker import SQUASHFS_TOOL, Ended

TIMEOUT_S = 900.0
BYTES_MAX = 64 << 30
FILES_MAX = 4_000_000
"""What an image may unpack to. A crafted file of a few hundred KiB would fill any disk."""

PROGRAM = "kumoi.cloud.drivers.instance.unpacker"
TOO_LARGE = (
    f"the image unpacks to more than an image may: {BYTES_MAX >> 30} GiB in {FILES_MAX} files"
)
REFUSALS = {
    Ended.NO_TAR: "the image is not a tar archive of a root file system",
    Ended.NO_SQUASHFS: "the image is no squashfs file, or a damaged one",
    Ended.TOO_LARGE: TOO_LARGE,
    Ended.NO_TOOL: "the host cannot unpack squashfs images: squashfs-tools-ng is missing there",
    Ended.LEADS_OUT: "the image has a name with .. in it",
}


def formats() -> frozenset[str]:
    """The image formats that this host can unpack, in the image API's words."""
    has_squashfs = shutil.which(SQUASHFS_TOOL) is not None
    return frozenset({"root-tar", "squashfs"} if has_squashfs else {"root-tar"})


def unpack(file: Path, target: Path, *, users: int, top: Path) -> Path:
    """Runs in a thread with mounts of its own, and `top` an empty directory there; `users` is a user
    namespace for the program. Where the files are shown to it there. Raises Permanent when the file cannot be unpacked.
    """
    image, root = top / "image", top / "root"
    reader.show(file, image, users=users)
    reader.show(target, root, users=users, writable=True)
    reader.shut_in(root)
    space = SpaceTaken(target, os.statvfs(target))
    try:
        done = process.run(
            command(image, root, users=users),
            timeout_s=TIMEOUT_S,
            check=False,
            give_up=space.is_exceeded,
        )
    except ProcessFailed as cause:  # Given up, or at it for too long.
        raise Permanent(space.refusal or "the image takes too long to unpack") from cause
    if done.status == 0:
        return root
    if space.is_exceeded():
        raise Permanent(space.refusal)
    if done.status in REFUSALS:
        raise Permanent(REFUSALS[Ended(done.status)])
    raise Transient("unpack an image: what unpacks it was ended") from ProcessFailed(
        f"status {done.status}: {done.err[-process.OUTPUT_SHOWN_MAX :]}", completed=done
    )


def command(image: Path, root: Path, *, users: int) -> list[str]:
    """What becomes of it, it is held to itself (unpacker.py)."""
    confined = reader.rights(reads=(image,), writes=(root,), capabilities=reader.WRITES)
    given = {"file": str(image), "target": str(root), "bytes_max": BYTES_MAX}
    return reader.command(PROGRAM, confined, users=users, **given)


@dataclass(slots=True)
class SpaceTaken:
    """The space that an unpacking takes of its file system; what others write there meanwhile counts
    as well. `refusal` says why it must end.
    """

    target: Path
    before: os.statvfs_result
    refusal: str = ""

    def is_exceeded(self) -> bool:
        now = os.statvfs(self.target)
        taken_bytes = (self.before.f_bfree - now.f_bfree) * now.f_frsize
        if taken_bytes > BYTES_MAX or self.before.f_ffree - now.f_ffree > FILES_MAX:
            self.refusal = TOO_LARGE
        elif room.is_short(now):
            self.refusal = "the host's disk is full: the image does not fit"
        return bool(self.refusal)
