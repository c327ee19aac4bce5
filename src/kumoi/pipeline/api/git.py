"""Git over HTTPS: `/git/<project>/<repository>.git`, spoken by git's own http-backend.

Who may is decided here, by a login at the cloud's identity service. The first request of a push
makes the repository, and lets the pusher delegate. Bodies are spooled to disk both ways, so that
a push costs no memory. A refusal is one line that git shows: it takes those only with status 200,
as an ERR packet in place of the list of branches.
"""

from __future__ import annotations

import base64
import binascii
import tempfile
from collections.abc import Iterator
from typing import IO

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from kumoi.base import log
from kumoi.base.errors import (
    Forbidden,
    KumoiError,
    NotFound,
    TooLarge,
    Unauthenticated,
)
from kumoi.base.ids import new_id
from kumoi.base.process import run
from kumoi.base.secret import Secret
from kumoi.pipeline import git, receive
from kumoi.pipeline.api.app import LONG_BODY_MAX_BYTES, Asked, Pipeline, refused
from kumoi.pipeline.identity import Caller, Login
from kumoi.pipeline.store import repository
from kumoi.pipeline.store.repository import Repository

PUSH = "git-receive-pack"
FETCH = "git-upload-pack"
BACKEND_TIMEOUT_S = 300.0
BOUNDED = ("prlimit", f"--fsize={2 * LONG_BODY_MAX_BYTES}", f"--as={4 << 30}", "--core=0")
"""A push may be compressed as a whole, and objects unpack in memory: neither may fill the machine."""
PART_BYTES = 65_536
PACKET_MAX = 1_000
NO_CACHE = {"Cache-Control": "no-cache, max-age=0, must-revalidate"}
FLUSH = b"0000"


def info_refs(asked: Asked) -> Response:
    """The first request of a push or a fetch."""
    service = asked.http.query_params.get("service", "")
    if service not in (PUSH, FETCH):
        return refused(Forbidden("only git's smart protocol is spoken here"))
    try:
        login, caller = _log_in(asked)
        found = _repository(asked, caller, service)
        if service == PUSH:
            receive.ensure_repository(asked.pipeline.host, caller.project_id, found.name)
            _ensure_delegation(asked.pipeline, found, login, caller)
    except Unauthenticated:
        return _challenge()
    except KumoiError as error:
        log.event("git.refused", reason=error.message)
        return _error_packet(service, error.message)
    with tempfile.TemporaryFile(dir=_spool(asked.pipeline)) as nothing:
        return _backend(asked, caller, found, nothing)


async def service(asked: Asked) -> Response:
    """The second request: its body is the push, or what is asked for."""
    name = asked.http.path_params["service"]
    if name not in (PUSH, FETCH):
        return refused(NotFound("git service", name))
    try:
        _login, caller = await run_in_threadpool(_log_in, asked)
    except Unauthenticated:
        return _challenge()
    with tempfile.TemporaryFile(dir=_spool(asked.pipeline)) as body:
        await _spool_body(asked.http, body)
        return await run_in_threadpool(_serve, asked, caller, name, body)


def _serve(asked: Asked, caller: Caller, name: str, body: IO[bytes]) -> Response:
    found = _repository(asked, caller, FETCH)  # By now it exists.
    answer = _backend(asked, caller, found, body)
    if name == PUSH:
        log.event("git.pushed", repository=found.name, project=caller.project_id)
    return answer


def _log_in(asked: Asked) -> tuple[Login, Caller]:
    login = _basic(asked.http)
    source = asked.http.client.host if asked.http.client else ""
    project = asked.http.path_params["project"]
    return login, asked.pipeline.identity.login(login, project, source)


def _basic(http: Request) -> Login:
    """Raises Unauthenticated."""
    scheme, _, coded = http.headers.get("Authorization", "").partition(" ")
    try:
        name, _, secret = base64.b64decode(coded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as cause:
        raise Unauthenticated("the login cannot be read") from cause
    if scheme.lower() != "basic" or not name or not secret:
        raise Unauthenticated("git needs a name and a password")
    return Login(name, Secret(secret))


def _repository(asked: Asked, caller: Caller, service: str) -> Repository:
    """The project's repository of that name; a push makes it."""
    name = asked.http.path_params["repository"]
    receive.check_name(name)
    database = asked.pipeline.database
    with database.read() as connection:
        found = repository.find(connection, caller.project_id, name)
    if found is not None:
        return found
    if service != PUSH:
        raise NotFound("repository", name)
    now = asked.pipeline.clock.now()
    new = Repository(new_id(), caller.project_id, caller.project_name, name, now)
    with database.write() as connection:
        return repository.ensure(connection, new)


def _ensure_delegation(pipeline: Pipeline, found: Repository, login: Login, caller: Caller) -> None:
    """What the pusher lets the pipeline do; made anew when the cloud takes it no longer."""
    with pipeline.database.read() as connection:
        given = repository.get_delegation(connection, found.id)
    if given is not None and pipeline.identity.works(given):
        return
    given = pipeline.identity.delegate(login, caller, found.name)
    with pipeline.database.write() as connection:
        repository.set_delegation(connection, found.id, given, pipeline.clock.now())
    log.event("delegation.made", repository=found.name, user=caller.user_id)


def _backend(asked: Asked, caller: Caller, found: Repository, body: IO[bytes]) -> Response:
    """Run git http-backend as the CGI program it is."""
    http = asked.http
    rest = str(http.scope["path"]).partition(".git/")[2]
    body.seek(0, 2)
    size = body.tell()
    body.seek(0)
    environment = {
        **git.ENVIRONMENT,
        "GIT_PROJECT_ROOT": str(asked.pipeline.host.state / "git"),
        "GIT_HTTP_EXPORT_ALL": "1",
        "GIT_PROTOCOL": http.headers.get("Git-Protocol", ""),
        "REQUEST_METHOD": http.method,
        "PATH_INFO": f"/{found.project_id}/{found.name}.git/{rest}",
        "QUERY_STRING": http.scope["query_string"].decode("latin-1"),
        "CONTENT_TYPE": http.headers.get("Content-Type", ""),
        "CONTENT_LENGTH": str(size),
        "HTTP_CONTENT_ENCODING": http.headers.get("Content-Encoding", ""),
        "REMOTE_USER": caller.user_id,
        "REMOTE_ADDR": http.client.host if http.client else "",
    }
    out = tempfile.TemporaryFile(dir=_spool(asked.pipeline))  # noqa: SIM115 - the answer closes it
    try:
        run([*BOUNDED, "git", "http-backend"], stdin=body, stdout=out, env=environment,
            timeout_s=BACKEND_TIMEOUT_S)  # fmt: skip
        return _from_cgi(out)
    except BaseException:
        out.close()
        raise


def _from_cgi(out: IO[bytes]) -> Response:
    """The program's output: header lines, an empty line, the body."""
    out.seek(0)
    status = 200
    headers = dict(NO_CACHE)
    while line := out.readline().strip():
        name, _, value = line.decode("latin-1").partition(":")
        if name.lower() == "status":
            status = int(value.split()[0])
        else:
            headers[name] = value.strip()
    return StreamingResponse(_parts(out), status, headers)


def _parts(out: IO[bytes]) -> Iterator[bytes]:
    with out:
        while part := out.read(PART_BYTES):
            yield part


async def _spool_body(http: Request, body: IO[bytes]) -> None:
    size = 0
    async for part in http.stream():
        size += len(part)
        if size > LONG_BODY_MAX_BYTES:
            raise TooLarge(f"a push may have {LONG_BODY_MAX_BYTES >> 20} MiB at most")
        body.write(part)


def _spool(pipeline: Pipeline) -> str:
    folder = pipeline.host.state / "git-spool"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return str(folder)


def _challenge() -> Response:
    answer = refused(Unauthenticated("the name or the password is wrong, or missing"))
    answer.headers["WWW-Authenticate"] = 'Basic realm="Kumoi", charset="UTF-8"'
    return answer


def _error_packet(service: str, message: str) -> Response:
    shown = message[:PACKET_MAX].replace("\n", " ")
    body = _packet(f"# service={service}\n") + FLUSH + _packet(f"ERR {shown}\n")
    return Response(body, media_type=f"application/x-{service}-advertisement", headers=NO_CACHE)


def _packet(text: str) -> bytes:
    data = text.encode()
    return f"{len(data) + 4:04x}".encode() + data
