"""Git over HTTPS: `/git/<project>/<repository>.git`, spoken by git's own http-backend.

A caller's rights are checked here, by a login at the cloud's identity service. The first request of
a push makes the repository, the second the pusher's delegation to the pipeline. Bodies are spooled to disk
both ways, so that a push costs no memory. A refusal is one line that git shows: git accepts it only
with status 200, as an ERR packet in place of the list of branches.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import IO

from anyio import to_thread

from kumoi.base import files, log
from kumoi.base.errors import (
    Conflict,
    Forbidden,
    Invalid,
    KumoiError,
    NotFound,
    OverQuota,
    StoreFull,
    TooLarge,
    Transient,
    Unauthenticated,
)
from kumoi.base.ids import new_id
from kumoi.base.text import printable
from kumoi.engine import audit
from kumoi.engine.http import limits as http_limits
from kumoi.engine.http.request import Reply
from kumoi.pipeline import limits, push_packets
from kumoi.pipeline.api import push_progress
from kumoi.pipeline.api.request import Pipeline, Request, file_parts
from kumoi.pipeline.identity import GitLogin, ProjectCaller
from kumoi.pipeline.repositories import BODY_MAX_BYTES, check_name
from kumoi.pipeline.repository_calls import CopyNote
from kumoi.pipeline.repository_client import NO_CHANGE
from kumoi.pipeline.spool import FULL, SentBody
from kumoi.pipeline.store import delegation, repository, run, webhook
from kumoi.pipeline.store.delegation import Delegation
from kumoi.pipeline.store.repository import Repository

PUSH = "git-receive-pack"
FETCH = "git-upload-pack"
SERVICES = (PUSH, FETCH)
SUFFIX = ".git"
PACKET_MAX = 1_000
VARIABLE_MAX = (
    8_192  # A program takes 128 KiB of each, and none of git's clients sends nearly as much.
)
GZIP = ("gzip", "x-gzip")  # As http-backend has it.
FETCH_MAX_BYTES = 2 << 20
"""A list of what a clone wants and has. It may be compressed, and git reads all that comes of it."""
RUNS_TOLD_MAX = 3
NO_CACHE = {"Cache-Control": "no-cache, max-age=0, must-revalidate"}
FATAL = "\x03"  # The band of git's answer for what ends a push.


@dataclass(frozen=True, slots=True)
class _Answer:
    """The head of git's answer, and the file that has its body from where it stands. `remark` is for whoever
    pushed.
    """

    head: Reply
    body: IO[bytes]
    remark: str = ""

    def reply(self) -> Reply:
        return replace(self.head, stream=file_parts(self.body))


def info_refs(request: Request) -> Reply:
    """The first request of a push or a fetch."""
    service, caller = request.query.get("service", ""), request.caller
    if service not in SERVICES:
        raise Forbidden("only git's smart protocol is spoken here")
    _require_may_push(request, service)
    request.services.repositories.spool.require_room()
    found = _repository(request, service)
    request.services.copies.require_here(found)
    if service == PUSH:
        _require_no_webhook(request, found)
        _tell_of_earlier_push(request, found)
        request.services.repositories.ensure(caller.project_id, found.name)
    with request.services.repositories.spool.body() as empty_body:
        return _run_backend(request, found, empty_body).reply()


async def service(request: Request) -> Reply:
    """The second request: its body is the pushed objects, or the list of those to fetch."""
    name = request.path["service"]
    if name not in SERVICES:
        raise NotFound("git service", name)
    if name == FETCH:
        audit.discard_record()
    _require_may_push(request, name)
    asked = None
    turns, project_id = request.services.git_turns, request.caller.project_id
    with request.services.repositories.spool.sent(project_id) as sent:
        await _receive(request, sent, BODY_MAX_BYTES if name == PUSH else FETCH_MAX_BYTES)
        body = sent.file
        if name == PUSH:
            body.seek(0)
            encoding = request.http.headers.get("Content-Encoding", "")
            is_gzip = encoding in GZIP
            read = push_packets.read_compressed if is_gzip else push_packets.read_request
            asked = await turns.run(project_id, functools.partial(read, body))
            if asked.is_too_long:
                most = push_packets.COMMANDS_MAX
                raise OverQuota(
                    f"a push moves {most} refs at most: push some of them, then the others",
                    resource="refs",
                )
        serve = functools.partial(_serve, request, name, body)
        found, answer = await turns.run(project_id, serve)
    if asked is not None and asked.has_side_band and answer.remark:
        push_packets.add_shown(answer.body, f"{answer.remark}\n")
    if asked is not None and not await request.http.is_disconnected():
        await to_thread.run_sync(_heard, request, found)
        if push_progress.waits(asked):
            followed = push_progress.followed(request.services, found, asked, answer.body)
            return replace(answer.head, stream=followed)
    return answer.reply()


async def _receive(request: Request, body: SentBody, most: int) -> None:
    """The request's body into a file. A disk that is full is told when whoever pushes has sent all, as is a project
    that sends too much: git reads no answer before. Raises TooLarge, StoreFull, Transient.
    """
    size = 0
    full: Transient | None = None
    async for part in http_limits.parts(request.http):
        size += len(part)
        if size > most:
            raise TooLarge(f"what git sends here may have {most >> 20} MiB at most")
        try:
            if full is None:
                body.write(part)
        except Transient as error:
            full = error
        except OSError as error:
            if not files.is_disk_full(error):
                raise
            full = StoreFull(FULL)
    if full is not None:
        raise full
    request.services.repositories.spool.require_room(size)  # To unpack it.


def refusal(request: Request, error: KumoiError) -> Reply | None:
    """The error as git shows it, where the first request is refused, or a push cannot be taken now."""
    said = printable(_words(error))
    if request.path.get("service") == PUSH and isinstance(error, Transient | OverQuota):
        log.event("git.refused", reason=error.message)
        fatal = f"{FATAL}{said}\n".encode()
        body = push_packets.packet(fatal) + push_packets.FLUSH
        return Reply(200, body, NO_CACHE, media_type=f"application/x-{PUSH}-result")
    service = request.query.get("service", "")
    is_first = request.url_path.endswith("/info/refs") and service in SERVICES
    if not is_first or isinstance(error, Unauthenticated):
        return None
    log.event("git.refused", reason=error.message)
    line = said[:PACKET_MAX].replace("\n", " ")
    announced = push_packets.packet(f"# service={service}\n".encode())
    body = announced + push_packets.FLUSH + push_packets.packet(f"ERR {line}\n".encode())
    return Reply(200, body, NO_CACHE, media_type=f"application/x-{service}-advertisement")


def _words(error: KumoiError) -> str:
    """For whoever pushes, and for who pushes again where these end so."""
    if isinstance(error, StoreFull):
        return FULL
    is_for_now = isinstance(error, Transient) and not error.message.endswith(push_packets.TRY_AGAIN)
    return f"{error.message}: {push_packets.TRY_AGAIN}" if is_for_now else error.message


def _require_may_push(request: Request, service: str) -> None:
    """Raises Forbidden, worded for a reader at a terminal."""
    caller = request.caller
    if service == PUSH and not caller.may("kumoi:git:push", caller.project_id):
        raise Forbidden(f"this needs role member in project {caller.project_name}")


def _require_no_webhook(request: Request, found: Repository) -> None:
    """Raises Conflict: what a git host feeds has the branches that are there."""
    with request.read() as connection:
        hook = webhook.get_of_repository(connection, found.id)
    if hook is not None:
        raise Conflict(f"{found.name} is fetched from {hook.url}: push there")


def _serve(request: Request, name: str, body: IO[bytes]) -> tuple[Repository, _Answer]:
    """The blocking half of the second request."""
    found = _repository(request, FETCH)  # The first request of a push has made it.
    copies = request.services.copies
    copies.require_here(found)
    if name == FETCH:
        return found, _run_backend(request, found, body)
    with request.services.pushing.one_at_a_time(found.id), _delegated(request, found):
        change = copies.begin(found)
        answer = _run_backend(request, found, body, change)
        answer = replace(answer, remark=copies.end(found, change))
    audit.about(found.id, action="update/push")
    log.event("git.pushed", repository=found.name, project=found.project_id)
    return found, answer


def _repository(request: Request, service: str) -> Repository:
    """The repository that the path names; a push makes it where there is none."""
    caller, path = request.caller, request.path["repository.git"]
    name = path.removesuffix(SUFFIX)
    if name == path:
        raise NotFound("repository", name)
    check_name(name)
    with request.read() as connection:
        found = repository.find(connection, caller.project_id, name)
    if found is not None:
        return found
    if service != PUSH:
        raise NotFound("repository", name)
    now = request.services.clock.now()
    new = Repository(new_id(), caller.project_id, caller.project_name, name, now)
    with request.write() as connection:
        if repository.find(connection, caller.project_id, name) is None:
            limits.require_repository(connection, request.services.cloud, caller.project_id)
        return repository.ensure(connection, new)


@contextlib.contextmanager
def _delegated(request: Request, found: Repository) -> Iterator[None]:
    """The environments that begin meanwhile act by a credential that whoever pushes made for them. One
    that none of them took is removed when the push ends.
    """
    pipeline, login, caller = request.services, request.claims, request.caller
    made = pipeline.credentials.of_push(login, caller, found.name)
    try:
        with pipeline.database.write() as connection:
            left = delegation.get_of_repository(connection, found.id)
            delegation.set_of_repository(
                connection, found.id, made, pipeline.clock.now(), login_name(login, caller)
            )
            repository.note_push(connection, found.id, pipeline.clock.now())
    except KumoiError:  # At once, where the sweeper would do it later.
        if made.is_own:
            pipeline.credentials.end(made)
        raise
    log.event("delegation.made", repository=found.name, user=caller.user_id)
    if left is not None:
        _end_replaced(pipeline, found, left)
    try:
        yield
    finally:
        _settle(pipeline, found, made)


def _end_replaced(pipeline: Pipeline, found: Repository, left: Delegation) -> None:
    """What an earlier push could not settle: this one's acts for what that did not begin."""
    try:
        pipeline.credentials.end_unless_used(left)
    except KumoiError as error:
        log.failure("delegation.not_ended", error, repository=found.id)


def _settle(pipeline: Pipeline, found: Repository, made: Delegation) -> None:
    """The push has ended. Where a killed hook or a full disk has left its environments to a later look,
    their credential waits for it (serve.py); so does one that could not be ended. Whoever pushes is told
    of the push itself.
    """
    try:
        if _runs_have_begun(pipeline, found):
            _end_untaken(pipeline, found, made)
    except KumoiError as error:
        log.failure("delegation.not_settled", error, repository=found.id)


def _runs_have_begun(pipeline: Pipeline, found: Repository) -> bool:
    """Whether each head of the repository has been followed."""
    with pipeline.database.read() as connection:
        seen = {each.name: each.commit for each in repository.list_branches(connection, found.id)}
    heads = pipeline.repositories.list_heads(found.project_id, found.name) or {}
    return heads == {name: commit for name, commit in seen.items() if commit}


def _end_untaken(pipeline: Pipeline, found: Repository, made: Delegation) -> None:
    pipeline.credentials.end_unless_used(made)
    with pipeline.database.write() as connection:
        delegation.forget_of_repository(connection, found.id)


def login_name(login: GitLogin, caller: ProjectCaller) -> str:
    """Who pushed, for people."""
    return caller.user_id if login.is_credential else login.name


def _heard(request: Request, found: Repository) -> None:
    """Whoever pushes is still there, so the push's answer will be read. Where that could not name a run,
    the next push does.
    """
    try:
        with request.read() as connection:
            is_settled = delegation.get_of_repository(connection, found.id) is None
        if is_settled:
            with request.write() as connection:
                repository.note_push(connection, found.id, None)
    except KumoiError as error:  # The branches have moved: that is to be the answer.
        log.failure("push.not_noted", error, repository=found.id)


def _tell_of_earlier_push(request: Request, found: Repository) -> None:
    """Raises Conflict, once, when runs began by a push whose answer nobody heard, or could not name them:
    git says no more than "Everything up-to-date" then, and only an error can say what happened. Runs
    that could not begin then begin now.
    """
    pipeline = request.services
    under_way = pipeline.pushing.is_under_way(found.id)
    if found.push_begun_at is None or under_way or pipeline.copies.is_changed_elsewhere(found):
        return
    pipeline.heads.look(found)
    with request.read() as connection:
        left = delegation.get_of_repository(connection, found.id)
    if left is not None:
        _settle(pipeline, found, left)
    with request.write() as connection:
        repository.note_push(connection, found.id, None)
        runs = run.list_since(connection, found.id, found.push_begun_at, limit=RUNS_TOLD_MAX)
    if runs:
        ids = " and ".join(each.id for each in runs)
        raise Conflict(
            f"the push before this one was cut off, but it arrived and began run {ids}. "
            f"Follow it with: kumoi run follow {runs[0].id}. Push again if you have more to push"
        )


def _run_backend(
    request: Request, found: Repository, body: IO[bytes], change: CopyNote = NO_CHANGE
) -> _Answer:
    """The answer of git http-backend, run as a CGI program."""
    http = request.http
    rest = request.path.get("service", "info/refs")
    body.seek(0, 2)
    size = body.tell()
    body.seek(0)
    variables = {
        "GIT_PROTOCOL": http.headers.get("Git-Protocol", ""),
        "REQUEST_METHOD": http.method,
        "QUERY_STRING": http.scope["query_string"].decode("latin-1"),
        "CONTENT_TYPE": http.headers.get("Content-Type", ""),
        "CONTENT_LENGTH": str(size),
        "HTTP_CONTENT_ENCODING": http.headers.get("Content-Encoding", ""),
        "REMOTE_USER": request.caller.user_id,
        "REMOTE_ADDR": request.source,
    }
    if any(len(value) > VARIABLE_MAX for value in variables.values()):
        raise Invalid(f"what git is told of a request has {VARIABLE_MAX} characters at most")
    is_push = request.path.get("service", request.query.get("service", "")) == PUSH
    spool = request.services.repositories.spool
    if not is_push:
        spool.require_room(found.size_bytes)
    out = spool.answer(found.project_id, is_push=is_push)
    try:
        request.services.repositories.serve_git(
            found.project_id,
            found.name,
            rest=rest,
            variables=variables,
            body=body,
            out=out,
            is_push=is_push,
            change=change,
        )
        return _Answer(_cgi_head(out), out)
    except BaseException:
        out.close()
        raise


def _cgi_head(out: IO[bytes]) -> Reply:
    """Of a CGI program's output: header lines and an empty line. The body begins where the file then
    stands.
    """
    out.seek(0)
    status = 200
    media_type = "application/octet-stream"
    headers = dict(NO_CACHE)
    while line := out.readline().strip():
        name, _, value = line.decode("latin-1").partition(":")
        if name.lower() == "status":
            status = int(value.split()[0])
        elif name.lower() == "content-type":
            media_type = value.strip()
        else:
            headers[name] = value.strip()
    return Reply(status, headers=headers, media_type=media_type)
