"""What control hosts ask each other of their copies, by TLS with certificates of the engines' authority.

`CopiesClient` asks; copy_server.py answers. Who asks is known by the name in its certificate: another host's
unit or root, the API or the pipeline. While one release replaces another, each may meet the other's: a field
that is added has a default.
"""

from __future__ import annotations

import contextlib
import enum
import ssl
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead
from pathlib import Path
from typing import IO
from urllib.parse import quote

import msgspec

from kumoi import members
from kumoi.base.errors import NotFound, Transient
from kumoi.control_host import ControlHost
from kumoi.hosts.cluster.copy_plan import CopyKind, CopyName, CopyState

CONNECT_WITHIN_S = 2.0
ANSWER_WITHIN_S = 10.0
SILENT_S = 20.0  # Of who sends a file: then another is asked.
BRING_WITHIN_S = 60.0
CHUNK_BYTES = 1 << 20
CHANGES_MAX = 2_000
HELD_MAX_BYTES = 64 << 20


class CopiesCaller(enum.StrEnum):
    """The common names of certificates that open this."""

    COPIES = members.COPIES
    API = "store-cloud"
    PIPELINE = "store-pipeline"


class HeldRepository(msgspec.Struct, frozen=True):
    """As a repository's own note has it, see copy_plan.CopyState."""

    id: str = ""
    number: int = 0


class HeldCopies(msgspec.Struct, frozen=True, kw_only=True):
    """All that a host has. `failing` says why something is not here yet."""

    images: list[str] = []
    repositories: Mapping[str, HeldRepository] = {}
    failing: Mapping[str, str] = {}

    @property
    def states(self) -> dict[CopyName, CopyState]:
        found = {CopyName(CopyKind.IMAGE, name): CopyState() for name in self.images}
        for name, each in self.repositories.items():
            found[CopyName(CopyKind.REPOSITORY, name)] = CopyState(each.id, each.number)
        return found


class PackRequest(msgspec.Struct, frozen=True):
    """For a repository's objects but for those that these commits have."""

    haves: list[str] = []


class BringRequest(msgspec.Struct, frozen=True):
    """For a repository with that change at the least."""

    number: int = 0


class Brought(msgspec.Struct, frozen=True):
    number: int = 0


class CopiesClient:
    """Of one control host. Each method raises Transient when it does not answer as agreed, and NotFound when it
    does not have what is asked for.
    """

    def __init__(self, host: ControlHost, tls: ssl.SSLContext) -> None:
        self.host = host.name
        self._server = f"{host.address}:{members.COPIES_PORT}"
        self._tls = tls

    def held(self) -> HeldCopies:
        with self._asked("GET", "/held", within_s=ANSWER_WITHIN_S) as answer:
            content = bytearray()
            for part in _parts(answer):
                content += part
                if len(content) > HELD_MAX_BYTES:
                    raise Transient(f"ask {self.host} what it has: the answer has no end")
            return msgspec.json.decode(content, type=HeldCopies)

    def image(self, sha256: str, begin: int) -> Iterator[bytes]:
        """Its content from there on."""
        headers = {"Range": f"bytes={begin}-"}
        with self._asked("GET", f"/images/{sha256}", headers=headers) as answer:
            yield from _parts(answer)

    def pack(self, name: str, haves: list[str], out: IO[bytes], most_bytes: int) -> None:
        """A repository as `RepositoryOperation.PACK` writes it."""
        left = most_bytes
        content = msgspec.json.encode(PackRequest(haves))
        with self._asked("POST", f"/repositories/{name}/pack", content=content) as answer:
            for part in _parts(answer):
                left -= len(part)
                if left < 0:
                    raise Transient(f"copy the repository {name}: it is larger than it may be")
                out.write(part)

    def bring_image(self, sha256: str, *, within_s: float = BRING_WITHIN_S) -> None:
        """Returns when that host has it."""
        with self._asked("POST", f"/images/{sha256}", within_s=within_s):
            return

    def bring_repository(self, name: str, number: int, *, within_s: float = BRING_WITHIN_S) -> int:
        """Returns when that host has it, with the number that it has."""
        content = msgspec.json.encode(BringRequest(number))
        path = f"/repositories/{name}"
        with self._asked("POST", path, content=content, within_s=within_s) as answer:
            return msgspec.json.decode(answer.read(), type=Brought).number

    @contextlib.contextmanager
    def _asked(
        self,
        method: str,
        path: str,
        *,
        within_s: float = SILENT_S,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Iterator[HTTPResponse]:
        what = f"ask {self.host} for {path}"
        connection = HTTPSConnection(self._server, timeout=CONNECT_WITHIN_S, context=self._tls)
        try:
            with contextlib.closing(connection):
                connection.connect()
                connection.sock.settimeout(within_s)
                connection.request(method, quote(path), content, dict(headers or {}))
                answer = connection.getresponse()
                if answer.status == HTTPStatus.NOT_FOUND:
                    raise NotFound("copy", path, message=f"{self.host} has no {path}")
                if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
                    raise HTTPException(f"it answered {answer.status}")
                yield answer
        except (HTTPException, msgspec.DecodeError, OSError) as cause:
            raise Transient(what) from cause


def _parts(answer: HTTPResponse) -> Iterator[bytes]:
    """Raises IncompleteRead where it was cut off: `read` itself only says that no more comes."""
    while part := answer.read(CHUNK_BYTES):
        yield part
    if answer.length:
        raise IncompleteRead(b"", answer.length)


def tls_context(certificate: tuple[Path, Path, Path]) -> ssl.SSLContext:
    """With a certificate of the engines' authority, which vouches for the other side, too."""
    key, own, authority = certificate
    context = ssl.create_default_context(cafile=str(authority))
    context.load_cert_chain(own, key)
    return context
