"""What is kept of authenticated callers, and logins."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from kumoi.base.clock import SetClock
from kumoi.base.errors import Transient
from kumoi.base.secret import Secret
from kumoi.pipeline.identity import GitLogin, Identity, ProjectCaller, _Kept


def test_a_caller_is_kept_for_a_while_and_not_under_the_secret_itself() -> None:
    clock = SetClock()
    cache = _Kept[ProjectCaller](clock, 60.0)
    caller = ProjectCaller("u", "p", frozenset({"member"}), "demo")
    cache.put("secret", caller)
    assert cache.get("secret") == caller
    assert cache.get("other") is None
    assert "secret" not in repr(cache._values)
    clock.advance(61)
    assert cache.get("secret") is None


def test_a_login_does_not_print_its_secret() -> None:
    assert "hunter2" not in repr(GitLogin("me", Secret("hunter2")))


def test_an_application_credential_is_recognized_by_its_id() -> None:
    assert GitLogin("0123456789abcdef0123456789abcdef", Secret("x")).is_credential
    assert not GitLogin("demo", Secret("x")).is_credential


class StorelessIdentity(BaseHTTPRequestHandler):
    """An identity service whose store is away."""

    asked: list[str | None]

    def do_GET(self) -> None:
        self.asked.append(self.headers["Cache-Control"])
        self.send_error(503)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_token_is_not_refused_where_the_identity_service_cannot_say_and_nothing_old_is_asked_for() -> (
    None
):
    StorelessIdentity.asked = []
    with serving(StorelessIdentity) as url, pytest.raises(Transient):
        Identity(url, None, SetClock()).validate("token")
    assert set(StorelessIdentity.asked) == {"no-cache"}
