"""Git's smart HTTP as a client: the heads of a git host, and a pack of what we lack.

What came is a pack as a push would bring: the unit that owns the repositories checks and unpacks it, we
read the few lines before it. Called by fetch.py.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import IO

from kumoi.base.errors import Permanent, Transient
from kumoi.base.secret import Secret
from kumoi.pipeline import guarded_http
from kumoi.pipeline.guarded_http import Guard, HttpAnswer
from kumoi.pipeline.push_packets import FLUSH, HEAD, packet
from kumoi.pipeline.webhook import BRANCH_MAX, HEADS, GitHost

ADVERTISED_MAX = 16 << 20
LINES_MAX = 200_000
BEFORE_PACK_MAX = 100
HAVES_MAX = 200
PACK = b"PACK"
REF = re.compile(rb"([0-9a-f]{40}) (refs/heads/[\x21-\x7e\x80-\xff]+)")
SERVICE = "git-upload-pack"
ADVERTISEMENT = f"application/x-{SERVICE}-advertisement"
USERS = {GitHost.GITHUB: "x-access-token", GitHost.GITLAB: "oauth2", GitHost.GITEA: "token"}


@dataclass(frozen=True, slots=True)
class GitRemote:
    """A repository on a git host. `token` is empty where anybody may read it."""

    host: GitHost
    url: str
    token: Secret
    guard: Guard

    def list_heads(self) -> dict[str, str]:
        """The commit of each branch. Raises Permanent, Transient, Invalid."""
        url = f"{self.url.rstrip('/')}/info/refs?service={SERVICE}"
        with guarded_http.asked(self.guard, url, headers=self._login()) as answer:
            if answer.stream.headers.get("Content-Type", "") != ADVERTISEMENT:
                raise Permanent(f"{answer.host} speaks no git's smart HTTP at this URL")
            text = answer.read(ADVERTISED_MAX)
        return heads(text)

    def fetch(self, commit: str, haves: Collection[str], out: IO[bytes], most: int) -> None:
        """A pack with that commit and what it needs but those that we have, of at most so many bytes."""
        asks = packet(f"want {commit} ofs-delta no-progress\n".encode()) + FLUSH
        asks += b"".join(packet(f"have {each}\n".encode()) for each in sorted(haves)[:HAVES_MAX])
        headers = {"Content-Type": f"application/x-{SERVICE}-request", **self._login()}
        url = f"{self.url.rstrip('/')}/{SERVICE}"
        body = asks + packet(b"done\n")
        asked = guarded_http.asked(self.guard, url, method="POST", headers=headers, body=body)
        with asked as answer:
            _skip_to_pack(answer)
            out.write(PACK)
            answer.copy(out, most - len(PACK))

    def _login(self) -> dict[str, str]:
        if not self.token.reveal():
            return {}
        coded = base64.b64encode(f"{USERS[self.host]}:{self.token.reveal()}".encode()).decode()
        return {"Authorization": f"Basic {coded}"}


def heads(advertised: bytes) -> dict[str, str]:
    """Of a host's list of refs. Raises Permanent where it is none. Pure."""
    found: dict[str, str] = {}
    at, flushes = 0, 0
    for _ in range(LINES_MAX):
        try:
            size = int(advertised[at : at + HEAD], 16)
        except ValueError as cause:
            raise Permanent("the host's list of branches is cut off, or none") from cause
        line = advertised[at + HEAD : at + size].partition(b"\0")[0].rstrip(b"\n")
        at += max(size, HEAD)
        flushes += size == 0
        if flushes == 2:  # noqa: PLR2004 - after the service's name, and at the end
            return found
        if matched := REF.fullmatch(line):
            name = matched[2].decode(errors="replace").removeprefix(HEADS)
            if len(name) <= BRANCH_MAX and name.isprintable():
                found[name] = matched[1].decode()
    raise Permanent(f"the host has more than {LINES_MAX} refs")


def _skip_to_pack(answer: HttpAnswer) -> None:
    """Over the lines that say what we have in common. Raises Transient where there is no pack."""
    for _ in range(BEFORE_PACK_MAX):
        head = answer.read(HEAD)
        if head == PACK:
            return
        try:
            size = int(head, 16)
        except ValueError:
            break
        line = answer.read(max(size - HEAD, 0))
        if line.startswith(b"ERR "):
            break
    raise Transient(f"{answer.host} did not send the commit: it may just have vanished")
