"""An HTTP expectation: how long it is waited for, and what counts as its answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from tests.free_port import free_port

from kumoi.base.errors import Invalid
from kumoi.pipeline import verify
from kumoi.pipeline.build import Built
from kumoi.pipeline.environment import parse
from kumoi.pipeline.runner.verify import http_check

FILE = "servers:\n  web: {{image: debian-12, flavor: small, ports: [80]}}\nverify:\n  - {{http: {{on: web{more}}}}}\n"
HERE = {"name": "web-1", "address": "127.0.0.1"}


def asked(port: int, within_s: float) -> dict[str, Any]:
    return {"path": "/", "port": port, "status": 200, "contains": "", "within_s": within_s}


@contextmanager
def answering(statuses: list[int]) -> Iterator[int]:
    """Each in turn, and then the last one for ever; the port."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(statuses.pop(0) if len(statuses) > 1 else statuses[0])

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_service_that_is_starting_is_asked_again_until_it_answers_as_expected() -> None:
    with answering([502, 404, 200]) as port:
        assert http_check(HERE, asked(port, 30))["outcome"] == "passed"


def test_one_that_never_does_fails_after_the_time_that_the_file_says() -> None:
    began_s = time.monotonic()
    failed = http_check(HERE, asked(free_port(), 0.3))
    assert failed["outcome"] == "failed"
    assert "got no answer" in failed["output"]
    with answering([404]) as port:
        failed = http_check(HERE, asked(port, 0.3))
    assert "got status 404" in failed["output"]
    assert time.monotonic() - began_s < 10, "the usual time is 15 s, for each"


@pytest.mark.parametrize(
    ("more", "within_s"), [("", 15), (", within: 2s", 2), (", within: 1m", 60)]
)
def test_the_job_has_the_files_time(more: str, within_s: int) -> None:
    wanted = parse(FILE.format(more=more)).base
    (task,) = verify.tasks(wanted, Built({}, {}, {}))
    assert task["http"]["within_s"] == within_s


def test_what_is_no_time_is_told_at_its_line() -> None:
    with pytest.raises(Invalid, match=r"kumoi.yaml:4: verify.0.http.within: expected a time"):
        parse(FILE.format(more=", within: soon"))
