"""Serves ASGI applications over TLS, several in one event loop, each with its own listener.

With a client CA a listener accepts only clients with a certificate of that CA, which it puts, in
DER, into the scope: `scope["extensions"]["tls"]["client_certificate"]`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from kumoi.engine.activation import Activation

BACKLOG = 1_024
KEEP_ALIVE_S = 75  # Longer than a long poll waits.
HEAD_TIMEOUT_S = 30.0  # From the first byte of a request, or of a connection, to its last header.
HEAD_MAX_BYTES = 128 << 10
GRACE_S = 5
DRAIN_IDLE_S = 2.0  # Longer than a TLS handshake takes, and a client that is at work is silent.
DRAIN_MAX_S = 60.0
DRAIN_POLL_S = 0.1
_LAST = (b"connection", b"close")
GC_YOUNG = 10_000  # With Python's own 700 the collector runs many times in each list of servers.


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files. With `client_ca` a client needs a certificate."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class Listener:
    """Without certificates it is plain HTTP, for loopback only. `grace_s` is how long running
    requests may take when the listener ends; 0 where all of them may be cut.
    """

    app: ASGIApp
    host: str
    port: int
    certificates: Certificates | None = None
    grace_s: int = GRACE_S


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with a bound on the time and the size of a request's head."""

    _head_bytes = 0
    _in_head = True
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        was_in_head = self._in_head
        if was_in_head and self._head_timer is None:
            self._start_head_timer()
        super().data_received(data)
        if (
            was_in_head
            and self._in_head
            and self._head_timer is not None
            and not self.transport.is_closing()
        ):
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_MAX_BYTES:
                self.send_400_response("The request's head is too long.")

    def on_headers_complete(self) -> None:
        self._stop_head_timer()
        self._in_head, self._head_bytes = False, 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = True
        super().on_message_complete()

    def close_if_idle(self) -> None:
        """Close the connection, unless a request or a part of its head has arrived on it."""
        is_answered = self.cycle is None or self.cycle.response_complete
        if self._in_head and self._head_bytes == 0 and is_answered:
            self.transport.close()

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self.transport.abort)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class ClientCertificateProtocol(BoundedProtocol):
    """Also passes the client's certificate to the application."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        secured = self.transport.get_extra_info("ssl_object")
        certificate = secured.getpeercert(binary_form=True) if secured is not None else None
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope["extensions"] = {"tls": {"client_certificate": certificate}}


class _Server(uvicorn.Server):
    """uvicorn's server without signal handlers: the role cancels or drains it."""

    draining = False

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answers = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.answers.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def on_tick(self, counter: int) -> bool:
        ends = await super().on_tick(counter)
        if self.draining and _LAST not in self.server_state.default_headers:
            self.server_state.default_headers = [*self.server_state.default_headers, _LAST]
        return ends

    async def drain(self) -> None:
        """Accept no more connections, and close each open one with its next answer. An idle
        connection is closed after DRAIN_IDLE_S.
        """
        for listening in self.servers:
            listening.close()
        self.draining = True
        await self.on_tick(1)
        began = time.monotonic()
        while (passed_s := time.monotonic() - began) < DRAIN_MAX_S:
            await asyncio.sleep(DRAIN_POLL_S)
            if passed_s > DRAIN_IDLE_S:
                if not self.server_state.connections:
                    return
                for connection in list(self.server_state.connections):
                    if isinstance(connection, BoundedProtocol):
                        connection.close_if_idle()


async def serve(listeners: Sequence[Listener], activation: Activation) -> None:
    """Serve until cancelled; running requests then have their grace. Reports that the process is
    ready when all listeners answer.
    """
    # Objects made before now live as long as the role: the garbage collector need not visit them
    # again, and runs less often for those of requests, nearly all of which are freed without it.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_YOUNG, *gc.get_threshold()[1:])
    # All the descriptors that the machine allows: by default a process may have 1,024.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    servers = [_Server(_config(listener)) for listener in listeners]
    activation.on_drain += [server.drain for server in servers]
    async with asyncio.TaskGroup() as tasks:
        for server, listener in zip(servers, listeners, strict=True):
            inherited = activation.take(listener.host, listener.port)
            tasks.create_task(_serve(server, [inherited] if inherited else None, listener.grace_s))
        for server in servers:
            await server.answers.wait()
        activation.tell_ready()


async def _serve(server: _Server, sockets: list[socket.socket] | None, grace_s: int) -> None:
    serving = asyncio.create_task(server.serve(sockets))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s + 1):
                await serving
        raise


def _config(listener: Listener) -> uvicorn.Config:
    files = listener.certificates
    tls: dict[str, Any] = {}
    if files is not None:
        tls = {"ssl_certfile": files.certificate, "ssl_keyfile": files.key}
        if files.client_ca is not None:
            tls |= {"ssl_ca_certs": str(files.client_ca), "ssl_cert_reqs": ssl.CERT_REQUIRED}
    wants_client = files is not None and files.client_ca is not None
    return uvicorn.Config(
        listener.app,
        host=listener.host,
        port=listener.port,
        http=ClientCertificateProtocol if wants_client else BoundedProtocol,
        ws="none",
        lifespan="off",
        access_log=False,
        proxy_headers=False,  # There is no proxy, so such a header would be the client's own.
        log_config=None,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=listener.grace_s,
        server_header=False,
        **tls,
    )
