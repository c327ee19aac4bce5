"""Calls from one process of ours to another of the same host, over a unix socket: one a connection, with
the descriptors that it is about.

call_service.py answers them. While one release replaces another, each may meet the other's calls: an
operation is never given another meaning, and a field that is added has a default.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from kumoi.base.errors import Invalid, KumoiError, TooLarge, Transient

CALL_MAX_BYTES = 1 << 20
ANSWER_MAX_BYTES = 64 << 20  # The heads of a repository with half a million branches.
CONNECT_WITHIN_S = 10.0  # Who answers may just be starting again.
CONNECT_AGAIN_S = 0.02
DESCRIPTORS_MAX = 2
CHUNK = 65_536
LENGTH = struct.Struct("!I")
CREDENTIALS = struct.Struct("3i")  # Of a process: its id, user and group.
INVALID = "invalid"
REFUSALS: dict[str, type[KumoiError]] = {"too_large": TooLarge, "transient": Transient}


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for, or an error: INVALID or one of REFUSALS."""

    value: msgspec.Raw = msgspec.Raw(b"null")
    error: str = ""
    message: str = ""
    field: str = ""


def ask(
    path: Path, content: bytes, descriptors: Sequence[int], *, about: str, within_s: float
) -> msgspec.Raw:
    """The answer of who listens there. Raises what it raised, and Transient when it does not answer."""
    try:
        with _connected(path, within_s) as connection:
            send(connection, content, descriptors)
            answered, _ = receive(connection, ANSWER_MAX_BYTES)
    except OSError as cause:
        raise Transient(f"{about} could not be asked for: try again") from cause
    answer = msgspec.json.decode(answered, type=Answer)
    if answer.error == INVALID:
        raise Invalid(answer.message, field=answer.field or None)
    if answer.error:
        raise REFUSALS.get(answer.error, Transient)(answer.message)
    return answer.value


def refusal(error: KumoiError) -> Answer:
    """What the other side has no word for is tried again."""
    if isinstance(error, Invalid):
        return Answer(error=INVALID, message=error.message, field=error.field or "")
    known = (name for name, kind in REFUSALS.items() if isinstance(error, kind))
    return Answer(error=next(known, "transient"), message=error.message)


def send(connection: socket.socket, content: bytes, descriptors: Sequence[int] = ()) -> None:
    socket.send_fds(connection, [LENGTH.pack(len(content))], descriptors)
    connection.sendall(content)


def receive(connection: socket.socket, most_bytes: int) -> tuple[bytes, list[int]]:
    """One message, with its descriptors. Raises OSError when it is cut off, or larger than that."""
    head, descriptors, _, _ = socket.recv_fds(connection, LENGTH.size, DESCRIPTORS_MAX)
    if len(head) < LENGTH.size:
        raise ConnectionResetError("the other side ended")
    (left,) = LENGTH.unpack(head)
    if left > most_bytes:
        raise ConnectionAbortedError(f"a message of {left} bytes")
    content = bytearray()
    while len(content) < left:
        part = connection.recv(min(CHUNK, left - len(content)))
        if not part:
            raise ConnectionResetError("the other side ended")
        content += part
    return bytes(content), descriptors


def user_of_peer(connection: socket.socket) -> int:
    """Of the process that connected, or that is connected to."""
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    _, uid, _ = CREDENTIALS.unpack(told)
    return int(uid)


def _connected(path: Path, within_s: float) -> socket.socket:
    deadline = time.monotonic() + CONNECT_WITHIN_S
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(within_s)
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            connection.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(CONNECT_AGAIN_S)
        except OSError:
            connection.close()
            raise
        else:
            return connection
