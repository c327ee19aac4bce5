"""What the pipeline and the unit that owns the repositories say to each other, over a unix socket.

One call a connection, with the descriptors that it is about: a request's body, where the answer goes.
While one release replaces another, each may meet the other's calls: an operation is never given
another meaning, and a field that is added has a default.
"""

from __future__ import annotations

import enum
import socket
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from kumoi.base.errors import Invalid, KumoiError, TooLarge, Transient
from kumoi.config import HostSettings

CALL_MAX_BYTES = 1 << 20
ANSWER_MAX_BYTES = 64 << 20  # The heads of a repository with half a million branches.
DESCRIPTORS_MAX = 2
CHUNK = 65_536
LENGTH = struct.Struct("!I")
CREDENTIALS = struct.Struct("3i")  # Of a process: its id, user and group.


class RepositoryOperation(enum.StrEnum):
    ENSURE = "ensure"
    LIST_HEADS = "list_heads"
    READ_FILE = "read_file"
    ARCHIVE = "archive"
    FETCH = "fetch"
    PUSH = "push"


WRITING = frozenset(
    {RepositoryOperation.ENSURE, RepositoryOperation.READ_FILE, RepositoryOperation.PUSH}
)
"""A read of kumoi.yaml leaves what it found beside the commit."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """`variables` are a CGI program's, of which some are taken; `rest` is the path in the repository."""

    operation: RepositoryOperation
    project_id: str
    name: str
    commit: str = ""
    rest: str = ""
    variables: Mapping[str, str] = {}


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for, or an error: one of REFUSALS."""

    value: msgspec.Raw = msgspec.Raw(b"null")
    error: str = ""
    message: str = ""
    field: str = ""


REFUSALS: dict[str, type[KumoiError]] = {"too_large": TooLarge, "transient": Transient}
INVALID = "invalid"


def socket_of(host: HostSettings) -> Path:
    """Where the unit that owns the repositories listens."""
    return host.run_dir / "repositories" / "calls.sock"


def refusal(error: KumoiError) -> Answer:
    """What is not known to the other side is tried again."""
    if isinstance(error, Invalid):
        return Answer(error=INVALID, message=error.message, field=error.field or "")
    known = (name for name, kind in REFUSALS.items() if isinstance(error, kind))
    return Answer(error=next(known, "transient"), message=error.message)


def require_answer(answer: Answer) -> msgspec.Raw:
    """Raises what the other side raised."""
    if answer.error == INVALID:
        raise Invalid(answer.message, field=answer.field or None)
    if answer.error:
        raise REFUSALS.get(answer.error, Transient)(answer.message)
    return answer.value


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
