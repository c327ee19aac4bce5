"""A client that costs little beside the server: prepared requests over kept TLS connections.

httpx would use more processor time for a request than the API does for its answer, and on a small
machine both share it.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

READ_BYTES = 1 << 18
TIMEOUT_S = 60.0
GOOD = (b"HTTP/1.1 200", b"HTTP/1.1 201", b"HTTP/1.1 202", b"HTTP/1.1 204")


@dataclass(frozen=True, slots=True)
class Server:
    """Where the API is. With `ca` it speaks TLS."""

    host: str
    port: int
    token: str
    ca: Path | None = None


@dataclass(frozen=True, slots=True)
class Call:
    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def encode(self, server: Server) -> bytes:
        content = b"" if self.body is None else json.dumps(self.body).encode()
        headers = {
            "Host": f"{server.host}:{server.port}",
            "User-Agent": "kumoi-bench",
            "Accept": "application/json",
            "X-Auth-Token": server.token,
            **self.headers,
        }
        if content:
            headers |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
        lines = [f"{self.method} {self.path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + content


class Client:
    """One connection, kept."""

    def __init__(self, server: Server) -> None:
        self._server = server
        plain = socket.create_connection((server.host, server.port), TIMEOUT_S)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket: socket.socket = plain
        if server.ca is not None:
            context = ssl.create_default_context(cafile=str(server.ca))
            self._socket = context.wrap_socket(plain, server_hostname=server.host)

    def ask(self, call: Call) -> Any:
        """The answer's JSON."""
        return json.loads(self.send(call.encode(self._server)))

    def send(self, request: bytes) -> bytes:
        """The answer's body."""
        return self.exchange(request)[1]

    def exchange(self, request: bytes) -> tuple[bytes, bytes]:
        """The answer's head and body. Raises RuntimeError unless it is a success."""
        self._socket.sendall(request)
        answer = self._socket.recv(READ_BYTES)
        while b"\r\n\r\n" not in answer:
            answer += self._more()
        head, _, body = answer.partition(b"\r\n\r\n")
        left = int(_header(head, b"content-length") or 0) - len(body)
        parts = [body]
        while left > 0:
            parts.append(self._more())
            left -= len(parts[-1])
        if not head.startswith(GOOD):
            raise RuntimeError(f"{head[:200]!r} {b''.join(parts)[:300]!r}")
        return head, b"".join(parts)

    def _more(self) -> bytes:
        more = self._socket.recv(READ_BYTES)
        if not more:
            raise RuntimeError("the API closed the connection")
        return more

    def close(self) -> None:
        self._socket.close()


def answers(server: Server) -> bool:
    try:
        Client(server).close()
    except OSError:
        return False
    return True


def log_in(server: Server, user: str, password: str) -> Server:
    """The same server for one who has a token for the project of the user's name."""
    domain = {"id": "default"}
    who = {"name": user, "password": password, "domain": domain}
    auth = {
        "identity": {"methods": ["password"], "password": {"user": who}},
        "scope": {"project": {"name": user, "domain": domain}},
    }
    client = Client(server)
    head, _ = client.exchange(
        Call("POST", "/identity/v3/auth/tokens", {"auth": auth}).encode(server)
    )
    client.close()
    return replace(server, token=_header(head, b"x-subject-token").decode())


def one_by_one(server: Server, call: Call, times: int, *, after: Call | None = None) -> list[float]:
    """Milliseconds of each of several, answered one after another; each `after` another call, whose
    time does not count.
    """
    client, request = Client(server), call.encode(server)
    before = None if after is None else after.encode(server)
    client.send(request)
    samples = []
    for _ in range(times):
        if before is not None:
            client.send(before)
        began = time.perf_counter()
        client.send(request)
        samples.append((time.perf_counter() - began) * 1000)
    client.close()
    return samples


def together(server: Server, call: Call, *, clients: int, times: int) -> float:
    """How many are answered per second, `times` by each of the clients at once."""
    ready = threading.Barrier(clients + 1)
    request = call.encode(server)
    failures: list[Exception] = []

    def work() -> None:
        client = Client(server)
        client.send(request)
        ready.wait()
        try:
            for _ in range(times):
                client.send(request)
        except (OSError, RuntimeError) as error:
            failures.append(error)
        client.close()

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    ready.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    spent = time.perf_counter() - began
    if failures:
        raise failures[0]
    return clients * times / spent


def _header(head: bytes, wanted: bytes) -> bytes:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == wanted:
            return value.strip()
    return b""
