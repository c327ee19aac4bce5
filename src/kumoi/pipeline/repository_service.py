"""The unit that owns the pushed repositories: it runs git on them, for the pipeline and nobody else.

Each call has a process of its own (engine/call_service.py), which is held to the one repository that the
call names before it reads anything of it: git, its hooks and the parser of kumoi.yaml reach no other, no
store, no key and no network, and they are another user than the pipeline.
"""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import msgspec

from kumoi.base import log
from kumoi.base.errors import Invalid, Transient
from kumoi.base.process import ProcessFailed
from kumoi.engine.call_service import has_left
from kumoi.hosts.units import launch, sandbox
from kumoi.pipeline import git, repository_copy
from kumoi.pipeline.repositories import Repositories, check_name
from kumoi.pipeline.repository_calls import OF_COPIES, WRITING, Call, RepositoryOperation

GIT_ENDED = "git ended before it was done: try again, and push less at once where it happens again"
PROJECT_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def answer(
    repositories: Repositories, content: bytes, descriptors: list[int], connection: socket.socket
) -> bytes:
    """One call, in a process of its own, which is held to the call's repository for good."""
    call = msgspec.json.decode(content, type=Call)
    if call.operation is RepositoryOperation.LIST_COPIES:
        return msgspec.json.encode(repository_copy.notes(repositories))
    check_name(call.name)
    if not PROJECT_ID.fullmatch(call.project_id):
        raise Invalid("there is no such project", field="project")
    path = repositories.path_of(call.project_id, call.name)
    if call.operation is RepositoryOperation.NOTE:
        is_here = repositories.find(call.project_id, call.name) is not None
        return msgspec.json.encode(repository_copy.read_note(path) if is_here else None)
    if call.operation is RepositoryOperation.REMOVE:
        if not call.id or repository_copy.read_note(path).id in ("", call.id):
            repositories.remove(call.project_id, call.name)
        return b"null"
    if call.operation is RepositoryOperation.TAKE:
        repository_copy.prepare(repositories, call.project_id, call.name, call.id)
    if call.operation is RepositoryOperation.ENSURE:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    hold(repositories, path, writes=call.operation in WRITING)
    try:
        if call.operation in OF_COPIES:
            return msgspec.json.encode(_copy(repositories, path, call, descriptors))
        return msgspec.json.encode(_work(repositories, path, call, descriptors, connection))
    except ProcessFailed as cause:  # Its words are of this machine: a command line, and paths.
        log.failure("git.failed", cause, repository=call.name, project=call.project_id)
        raise Transient(GIT_ENDED) from cause


def _work(
    repositories: Repositories,
    path: Path,
    call: Call,
    descriptors: list[int],
    connection: socket.socket,
) -> object:
    """What the pipeline asks for."""
    found = (call.project_id, call.name)
    match call.operation:
        case RepositoryOperation.ENSURE | RepositoryOperation.SWEEP as operation:
            is_sweep = operation is RepositoryOperation.SWEEP
            (repositories.sweep if is_sweep else repositories.ensure)(*found)
        case RepositoryOperation.LIST_HEADS:
            return repositories.list_heads(*found)
        case RepositoryOperation.READ_FILE:
            return repositories.read_file(*found, call.commit)
        case RepositoryOperation.ARCHIVE:
            (out,) = descriptors
            with os.fdopen(out, "wb") as file:
                repositories.archive(*found, call.commit, file)
        case RepositoryOperation.CHANGES:
            return repositories.changes(*found, call.since, call.commit)
        case RepositoryOperation.FETCH | RepositoryOperation.PUSH:
            body, out = descriptors
            change = repository_copy.noted_change(path, call.id, call.number)
            with os.fdopen(body, "rb") as asked, os.fdopen(out, "wb") as file, change:
                repositories.serve_git(
                    *found,
                    rest=call.rest,
                    variables=call.variables,
                    body=asked,
                    out=file,
                    give_up=lambda: has_left(connection),
                )
    return None


def _copy(repositories: Repositories, path: Path, call: Call, descriptors: list[int]) -> object:
    """What the unit asks for that keeps copies."""
    match call.operation:
        case RepositoryOperation.HAVES:
            return repository_copy.haves(path)
        case RepositoryOperation.PACK:
            asked_for, out = descriptors
            with os.fdopen(asked_for, "rb") as asked, os.fdopen(out, "wb") as file:
                repository_copy.pack(path, asked.read().decode().split(), file)
        case RepositoryOperation.TAKE:
            (packed,) = descriptors
            repositories.ensure(call.project_id, call.name)
            return repository_copy.take(path, call.id, packed)
    return None


def hold(repositories: Repositories, path: Path, *, writes: bool) -> None:
    """This process to one repository, for good."""
    os.environ.clear()
    os.environ.update({"PATH": launch.PATH, "HOME": str(path), "TMPDIR": str(path)})
    confined = git.confinement(path, writes=writes, hooks=repositories.hooks)
    launch.become(confined)
    sandbox.apply(confined, git.PROGRAM)
