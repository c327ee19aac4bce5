"""The unit that owns the pushed repositories: it runs git on them, for the pipeline and nobody else.

Each call has a process of its own, forked from this one, which has all that it needs in memory. The
child is held to the one repository that the call names before it reads anything of it: git, its
hooks and the parser of kumoi.yaml reach no other, no store, no key and no network, and they are
another user than the pipeline. This process itself opens no repository and reads no call.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import os
import re
import select
import socket
from pathlib import Path

import msgspec

from kumoi.base import process
from kumoi.base.errors import Invalid, KumoiError
from kumoi.engine.activation import Activation
from kumoi.hosts.units import launch, sandbox
from kumoi.pipeline import git, repository_calls
from kumoi.pipeline.repositories import Repositories, check_name
from kumoi.pipeline.repository_calls import (
    CALL_MAX_BYTES,
    WRITING,
    Answer,
    Call,
    RepositoryOperation,
    user_of_peer,
)

BACKLOG = 1_024
HELPERS_MAX = (
    64  # More than the pipeline asks for at once: a push waits for what its hook asks for.
)
PROJECT_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
CALL_WITHIN_S = 5.0
ANSWER_WITHIN_S = 30.0
GRACE_S = 5.0
DRAIN_MAX_S = 60.0
SOCKET_MODE = 0o660  # For its group, in which the pipeline is.


class RepositoryService:
    """`caller` is the user that may call."""

    def __init__(self, repositories: Repositories, path: Path, *, caller: int) -> None:
        self._repositories = repositories
        self._path = path
        self._caller = caller
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
                if user_of_peer(connection) == self._caller:
                    self._start(connection)

    def _start(self, connection: socket.socket) -> None:
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
        content, descriptors = repository_calls.receive(connection, CALL_MAX_BYTES)
        try:
            call = msgspec.json.decode(content, type=Call)
            answer = Answer(value=msgspec.Raw(self._answer(call, descriptors, connection)))
        except KumoiError as error:
            answer = repository_calls.refusal(error)
        connection.settimeout(ANSWER_WITHIN_S)
        repository_calls.send(connection, msgspec.json.encode(answer))

    def _answer(self, call: Call, descriptors: list[int], connection: socket.socket) -> bytes:
        check_name(call.name)
        if not PROJECT_ID.fullmatch(call.project_id):
            raise Invalid("there is no such project", field="project")
        path = self._repositories.path_of(call.project_id, call.name)
        if call.operation is RepositoryOperation.ENSURE:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        hold(self._repositories, path, writes=call.operation in WRITING)
        found = (call.project_id, call.name)
        match call.operation:
            case RepositoryOperation.ENSURE:
                self._repositories.ensure(*found)
            case RepositoryOperation.LIST_HEADS:
                return msgspec.json.encode(self._repositories.list_heads(*found))
            case RepositoryOperation.READ_FILE:
                return msgspec.json.encode(self._repositories.read_file(*found, call.commit))
            case RepositoryOperation.ARCHIVE:
                (out,) = descriptors
                with os.fdopen(out, "wb") as file:
                    self._repositories.archive(*found, call.commit, file)
            case RepositoryOperation.FETCH | RepositoryOperation.PUSH:
                body, out = descriptors
                with os.fdopen(body, "rb") as asked, os.fdopen(out, "wb") as file:
                    self._repositories.serve_git(
                        *found,
                        rest=call.rest,
                        variables=call.variables,
                        body=asked,
                        out=file,
                        give_up=lambda: _has_left(connection),
                    )
        return b"null"


def hold(repositories: Repositories, path: Path, *, writes: bool) -> None:
    """This process to one repository, for good."""
    os.environ.clear()
    os.environ.update({"PATH": launch.PATH, "HOME": str(path), "TMPDIR": str(path)})
    confined = git.confinement(path, writes=writes, hooks=repositories.hooks)
    launch.become(confined)
    sandbox.apply(confined, git.PROGRAM)


def _has_left(connection: socket.socket) -> bool:
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
