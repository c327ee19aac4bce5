"""A process that answers calls (calls.py), each in a process of its own that is forked from it.

The child has all that it needs in memory, and holds itself to what the call is about before it reads
anything that a tenant sent. This process itself reads no call and opens nothing that one is about.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import os
import select
import socket
from collections.abc import Callable, Collection
from pathlib import Path

import msgspec

from kumoi.base import process
from kumoi.base.errors import KumoiError
from kumoi.engine import calls
from kumoi.engine.activation import Activation

BACKLOG = 1_024
HELPERS_MAX = 64  # More than who calls asks for at once: a push waits for what its hook asks for.
CALL_WITHIN_S = 5.0
ANSWER_WITHIN_S = 30.0
GRACE_S = 5.0
DRAIN_MAX_S = 60.0
SOCKET_MODE = 0o660  # For its group, in which the caller is.

AnswerCall = Callable[[bytes, list[int], socket.socket], bytes]
"""From a call, its descriptors and who waits to the answer in JSON. Raises KumoiError."""


class CallService:
    """`callers` are the users that may call; `answer` runs in the child, and `prepare` in this process before it has
    the first.
    """

    def __init__(
        self,
        answer: AnswerCall,
        path: Path,
        *,
        callers: Collection[int],
        prepare: Callable[[], object] | None = None,
    ) -> None:
        self._answer = answer
        self._prepare = prepare
        self._path = path
        self._callers = callers
        self._helpers: dict[int, int] = {}  # By process, what tells its end.
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._listener: socket.socket | None = None

    async def run(self, activation: Activation) -> None:
        """Until cancelled. Takes the path over from a process that is being replaced."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o711)
        self._listener = _listen(self._path)
        gc.freeze()  # What is here now is shared with every helper.
        asyncio.get_running_loop().add_reader(self._listener, self._accept_all)
        activation.on_drain.append(self._drain)
        activation.tell_ready()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self._leave(within_s=GRACE_S)

    async def _drain(self) -> None:
        await self._leave(within_s=DRAIN_MAX_S)

    async def _leave(self, *, within_s: float) -> None:
        """Who has connected is answered."""
        if self._listener is not None:
            self._accept_all()
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._is_idle.wait()

    def _accept_all(self) -> None:
        listener = self._listener
        while listener is not None:
            if len(self._helpers) >= HELPERS_MAX:
                asyncio.get_running_loop().remove_reader(listener)
                return
            try:
                connection, _ = listener.accept()
            except BlockingIOError:
                return
            with connection:
                if calls.user_of_peer(connection) in self._callers:
                    self._start(connection)

    def _start(self, connection: socket.socket) -> None:
        if self._prepare is not None:
            self._prepare()
            self._prepare = None
            gc.freeze()
        pid = process.fork(functools.partial(self._help_alone, connection))
        handle = os.pidfd_open(pid)
        self._helpers[pid] = handle
        self._is_idle.clear()
        asyncio.get_running_loop().add_reader(handle, self._note_end, pid)

    def _note_end(self, pid: int) -> None:
        loop = asyncio.get_running_loop()
        handle = self._helpers.pop(pid)
        loop.remove_reader(handle)
        os.close(handle)
        os.waitpid(pid, 0)
        if not self._helpers:
            self._is_idle.set()
        if self._listener is not None and len(self._helpers) == HELPERS_MAX - 1:
            loop.add_reader(self._listener, self._accept_all)

    # In a process of its own from here on.

    def _help_alone(self, connection: socket.socket) -> None:
        if self._listener is not None:
            self._listener.close()
        self._help(connection)

    def _help(self, connection: socket.socket) -> None:
        connection.settimeout(CALL_WITHIN_S)
        content, descriptors = calls.receive(connection, calls.CALL_MAX_BYTES)
        try:
            answer = calls.Answer(value=msgspec.Raw(self._answer(content, descriptors, connection)))
        except KumoiError as error:
            answer = calls.refusal(error)
        connection.settimeout(ANSWER_WITHIN_S)
        calls.send(connection, msgspec.json.encode(answer))


def has_left(connection: socket.socket) -> bool:
    """Whether nobody waits for the answer any more."""
    poll = select.poll()
    poll.register(connection, select.POLLHUP)
    return bool(poll.poll(0))


def _listen(path: Path) -> socket.socket:
    """In one step, so that whoever connects meanwhile reaches this process or the one before."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    listener.bind(str(draft))
    draft.chmod(SOCKET_MODE)
    listener.listen(BACKLOG)
    draft.rename(path)
    return listener
