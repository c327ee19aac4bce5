"""What a disk that cannot be mounted is taken for."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from kumoi.base.errors import Permanent, Transient
from kumoi.cloud.drivers.instance import kernel, loop, room
from kumoi.cloud.drivers.instance.lxc import disk


@pytest.mark.parametrize(
    ("number", "short", "kind", "told"),
    [
        (errno.EIO, False, Permanent, "the server's disk is damaged"),
        (errno.EUCLEAN, True, Permanent, "the server's disk is damaged"),
        (errno.EIO, True, Permanent, "mount a server's disk: the host's disk is full"),
        (errno.EAGAIN, True, Transient, "mount a server's disk"),
    ],
)
def test_a_full_host_is_told_from_a_damaged_disk(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    kind: type[Exception],
    told: str,
    *,
    short: bool,
) -> None:
    def refuse(*_args: object, **_words: object) -> None:
        raise OSError(number, os.strerror(number))

    @contextlib.contextmanager
    def attached(file: Path) -> Iterator[str]:
        yield str(file)

    monkeypatch.setattr(kernel, "mount", refuse)
    monkeypatch.setattr(loop, "attached", attached)
    monkeypatch.setattr(room, "is_short", lambda _space: short)
    with pytest.raises(kind, match=f"^{told}$"):
        disk.mount(tmp_path, tmp_path)
