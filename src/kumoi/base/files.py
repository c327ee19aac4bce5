"""A file replaced as a whole: whoever reads it finds all of the old one or all of the new one.

What a power failure may do to it is the caller's to say, since the answer costs time: each `Promise`
names what is on the disk when the call returns. Content is written beside its place and renamed. A
draft has one writer at a time; what a killed one left, the next takes away. Called wherever a file
is kept; decides nothing about what is in it.
"""

from __future__ import annotations

import enum
import os
from pathlib import Path

DRAFT_SUFFIX = ".part"
PRIVATE = 0o600
OPEN = 0o644


class Promise(enum.Enum):
    """What a file lives through, once a call that replaces it has returned."""

    KILL = enum.auto()
    """Our death at any moment. After a power failure it may be the old one, the new one or empty:
    for what is made anew then, or where a loss is noticed."""

    OLD_OR_NEW = enum.auto()
    """A power failure too: it is the old one or the new one and never half. The content is waited
    for, the name is not."""

    NEW = enum.auto()
    """A power failure too: it is the new one. Content and name are waited for."""


def draft_of(path: Path) -> Path:
    """Where a file's next content is written: beside it, so that a rename is enough."""
    return path.with_name(f".{path.name}{DRAFT_SUFFIX}")


def replace(
    path: Path,
    content: str | bytes,
    *,
    promise: Promise,
    mode: int = PRIVATE,
    owner: tuple[int, int] | None = None,
) -> None:
    """Give a file this content, mode and (user, group). Nobody reads it before it is whole, and no
    link that somebody put in the draft's place is followed. What fails leaves the old one.
    """
    draft = draft_of(path)
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            if owner is not None:
                os.fchown(descriptor, *owner)
            os.fchmod(descriptor, mode)
        publish(draft, path, promise=promise)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def publish(draft: Path, path: Path, *, promise: Promise) -> None:
    """Give a draft that somebody else filled (a program, a download) its name."""
    if promise is not Promise.KILL:
        sync(draft)
    draft.replace(path)
    if promise is Promise.NEW:
        sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file's content, or a directory's names, would survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
