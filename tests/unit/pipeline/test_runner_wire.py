"""The runner's calls, to several pipelines."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kumoi.config import CloudSettings
from kumoi.hosts.first_use.pki import Authority, Subject, ensure_each
from kumoi.pipeline.runner import wire
from kumoi.pipeline.runner.wire import PipelineClient

NOWHERE = "https://127.0.0.1:1"


class _Answer(http.server.BaseHTTPRequestHandler):
    """Its server's `status`; `asked` are the paths."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        body = json.dumps({"job": {"kept": False}}).encode()
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Pipelines:
    """Each at a port of its own."""

    def __init__(self, directory: Path) -> None:
        now = datetime.now(UTC)
        authority = Authority.make(directory, CloudSettings(), now)
        ensure_each(directory, authority, [Subject("pipeline", frozenset({"127.0.0.1"}))], now)
        self.ca = (directory / "ca.crt").read_text()
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(directory / "pipeline.crt", directory / "pipeline.key")
        self.servers: list[http.server.ThreadingHTTPServer] = []

    def start(self, status: int) -> http.server.ThreadingHTTPServer:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answer)
        server.socket = self._tls.wrap_socket(server.socket, server_side=True)
        server.status, server.asked = status, []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.servers.append(server)
        return server


@pytest.fixture
def pipelines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipelines]:
    monkeypatch.setattr(wire, "SESSION", tmp_path / "session")
    found = Pipelines(tmp_path)
    yield found
    for server in found.servers:
        server.shutdown()
        server.server_close()


def url(server: http.server.ThreadingHTTPServer) -> str:
    return f"https://127.0.0.1:{server.server_address[1]}"


@pytest.mark.parametrize("status", [500, 503])
def test_a_pipeline_that_cannot_answer_is_left_for_the_next_and_stays_left(
    pipelines: Pipelines, status: int
) -> None:
    ill, well = pipelines.start(status), pipelines.start(200)
    client = PipelineClient([NOWHERE, url(ill), url(well)], pipelines.ca)
    client.claim("t")
    client.post("log", {})
    assert ill.asked == ["/runner/v1/claim"]  # type: ignore[attr-defined]
    assert well.asked == ["/runner/v1/claim", "/runner/v1/log"]  # type: ignore[attr-defined]


def test_the_only_pipeline_is_asked_until_it_answers(pipelines: Pipelines) -> None:
    only = pipelines.start(503)
    client = PipelineClient([url(only)], pipelines.ca)
    calling = threading.Thread(target=client.claim, args=("t",), daemon=True)
    calling.start()
    only.status = 200  # type: ignore[attr-defined]
    calling.join(30)
    assert not calling.is_alive()
