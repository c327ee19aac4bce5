"""The runner's calls of the pipeline. It repeats each until it is answered: the pipeline may be down in
between. Where there are several, whichever does not answer is left for the next, and stays left.
"""

from __future__ import annotations

import collections
import hashlib
import json
import secrets
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

from kumoi.pipeline.runner.programs import HOME

POST_DEADLINE_S = 900.0
TIMEOUT_S = 45
SESSION = HOME / "session"
UNAUTHORIZED, CONFLICT, SERVER_ERROR = 401, 409, 500


class Stopped(Exception):
    """The pipeline accepts nothing more from this runner: its run has ended."""


class PipelineClient:
    """The runner's calls of the pipeline's API."""

    def __init__(self, urls: Sequence[str], ca: str) -> None:
        self._urls = collections.deque(urls)
        self._tls = ssl.create_default_context(cadata=ca)
        self._session = secrets.token_urlsafe(32)
        self._token = ""

    def secrets(self) -> list[str]:
        """By which the pipeline knows this runner."""
        return [self._session, self._token]

    def claim(self, token: str) -> dict[str, Any]:
        """The job. It may not be ready: this server may have started before the others."""
        self._token = token
        self.keep_session()
        answer = self._call("POST", "claim", {"session": self._session}, token)
        job: dict[str, Any] = json.loads(answer)
        return job

    def next(self) -> dict[str, Any]:
        """The environment's next job, by the session of the one before."""
        before = SESSION.read_text()
        self._session = secrets.token_urlsafe(32)
        digest = hashlib.sha256(self._session.encode()).hexdigest()
        while True:
            answer = self._call("POST", f"next?session_hash={digest}", {}, before)
            found: dict[str, Any] = json.loads(answer)
            if found["job"] is not None:
                self.keep_session()
                return found

    def keep_session(self) -> None:
        SESSION.touch(mode=0o600)
        SESSION.write_text(self._session)

    def post(self, path: str, body: dict[str, Any]) -> None:
        self._call("POST", path, body, self._session)

    def tree(self) -> bytes:
        return self._call("GET", "tree", None, self._session)

    def _call(self, method: str, path: str, body: dict[str, Any] | None, token: str) -> bytes:
        """Repeats the call until it is answered, refused, or POST_DEADLINE_S is over."""
        data = json.dumps(body).encode() if body is not None else None
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        deadline_s = time.monotonic() + POST_DEADLINE_S
        pause_s = 0.1
        while True:
            request = urllib.request.Request(  # noqa: S310 - the URL is our pipeline's
                f"{self._urls[0]}/runner/v1/{path}", data, headers, method=method
            )
            try:
                opened = urllib.request.urlopen(request, timeout=TIMEOUT_S, context=self._tls)  # noqa: S310
                with opened as response:
                    answer: bytes = response.read()
                    return answer
            except urllib.error.HTTPError as error:
                text = error.read().decode(errors="replace")
                if error.code == UNAUTHORIZED or "runner.claimed" in text:
                    raise Stopped(text) from error
                if error.code < SERVER_ERROR and error.code != CONFLICT:
                    raise RuntimeError(f"{path} was refused: {text}") from error
                if error.code >= SERVER_ERROR:
                    self._urls.rotate(-1)
            except (OSError, ssl.SSLError):
                self._urls.rotate(-1)  # It restarts, or the network is not there yet.
            if time.monotonic() > deadline_s:
                raise Stopped(f"nobody answered {path} for {POST_DEADLINE_S:g} s")
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.5, 1.0)
