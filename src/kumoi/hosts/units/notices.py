"""The datagram socket at which units report that they are ready, by systemd's sd_notify(3).

The kernel names the sender of each notice, so that no process can report for another unit.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from pathlib import Path
from typing import Self

_CREDENTIALS = struct.Struct("3i")  # Process, user, group: unix(7).
_NOTICE_MAX_BYTES = 4_096
SOCKET_MODE = 0o666


class Notices:
    """The socket exists inside the `with` block."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)

    def __enter__(self) -> Self:
        self._path.unlink(missing_ok=True)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(str(self._path))
        self._path.chmod(SOCKET_MODE)
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def ready(self) -> set[int]:
        """The processes that have sent READY=1 since the last call."""
        ready: set[int] = set()
        with contextlib.suppress(BlockingIOError):
            while True:
                text, extra, _, _ = self._socket.recvmsg(
                    _NOTICE_MAX_BYTES, socket.CMSG_SPACE(_CREDENTIALS.size)
                )
                for level, kind, content in extra:
                    is_credentials = (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS)
                    if is_credentials and b"READY=1" in text.splitlines():
                        ready.add(_CREDENTIALS.unpack(content[: _CREDENTIALS.size])[0])
        return ready
