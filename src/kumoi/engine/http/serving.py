"""Serves ASGI applications over TLS, several in one event loop, each with its own listener.

With a client CA a listener accepts clients without a certificate, and those with one of that CA. It puts
what the client showed into the scope, under `scope["extensions"]["tls"]`: "client_certificate", in DER or None, and
"client_name", the common name in it, or "" where there is not just one.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import gc
import resource
import socket
import ssl
import sys
import time
from asyncio import sslproto
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httptools
from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import Server

from kumoi.base.errors import Permanent
from kumoi.engine.activation import Activation
from kumoi.engine.http.connections import (
    CONNECTION,
    ConnectionLimits,
    Connections,
    HeldConnection,
    Listening,
)

BACKLOG = 1_024
KEEP_ALIVE_S = 75  # Longer than a long poll waits.
HEAD_TIMEOUT_S = 30.0  # From the first byte of a request, or of a connection, to its last header.
HEAD_MAX_BYTES = 128 << 10
READ_BYTES = 32 << 10  # At once from a TLS connection, each of which has a buffer of so many.
UNREAD_BYTES = 64 << 10  # Of an answer that a client has not taken; then its handler waits.
AHEAD_MAX = 16  # Requests that come before the answer to the one before them.
WRITE_LOOK_S = 15.0
WRITE_BYTES_MIN = 16 << 10  # What a client takes of an answer between two looks, at the least.
GRACE_S = 5
DRAIN_IDLE_S = 2.0  # Longer than a TLS handshake takes, and a client that is at work is silent.
DRAIN_MAX_S = 60.0
DRAIN_POLL_S = 0.1
DATE_EVERY_S = 1.0  # The header `Date` is made so often.
_LAST = (b"connection", b"close")
GC_YOUNG = 10_000  # With Python's own 700 the collector runs many times in each list of servers.
SWITCH_S = (
    0.001  # That long a thread that computes keeps the event loop waiting; Python's own is 5 ms.
)


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files. With `client_ca` a client may show a certificate of that authority, and no other."""

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
    limits: ConnectionLimits = field(default_factory=ConnectionLimits)


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with bounds on the time and the size of a request's head, on what comes with a body
    and is none of it (sizes of chunks, fields after the last), on requests sent ahead, and on how slowly an
    answer may be read. Fields after a body are forgotten: what a request says was decided upon before.
    """

    _connection: HeldConnection | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _beside_body_bytes = 0  # What came since there was something of the body.
    _has_body = False
    _in_head = True
    _head_timer: asyncio.TimerHandle | None = None

    def __init__(self, connections: Connections, **of_uvicorn: Any) -> None:
        super().__init__(**of_uvicorn)
        self._connections = connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(UNREAD_BYTES)
        self._connection = self._connections.served(transport.get_extra_info("peername"))
        if self._connection is not None:
            self._connection.transport = transport
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        self._stop_write_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        was_in_head = self._in_head
        if was_in_head and self._head_timer is None:
            self._start_head_timer()
        self._has_body = False
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
        elif not self._in_head and not self.transport.is_closing():
            self._beside_body_bytes = 0 if self._has_body else self._beside_body_bytes + len(data)
            if self._beside_body_bytes > HEAD_MAX_BYTES:
                self.transport.abort()
        if self._has_body and not self._in_head and not self.cycle.response_complete:
            self.flow.pause_reading()  # Until the handler asks for the next part of the body.

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        self._has_body = True
        super().on_body(body)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope["extensions"] = {CONNECTION: self._connection}

    def on_headers_complete(self) -> None:
        self._stop_head_timer()
        self._in_head, self._head_bytes, self._beside_body_bytes = False, 0, 0
        if len(self.pipeline) >= AHEAD_MAX:
            raise httptools.HttpParserError("too many requests ahead of their answers")
        if self._connection is not None:
            self._connection.busy = True
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._connection is not None and not self.pipeline:
            self._connection.answered()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._look_at_writing(self._unread)

    def resume_writing(self) -> None:
        self._stop_write_timer()
        super().resume_writing()

    def on_message_complete(self) -> None:
        self._in_head = True
        super().on_message_complete()

    def close_if_idle(self) -> None:
        """Close the connection, unless a request or a part of its head has arrived on it."""
        is_answered = self.cycle is None or self.cycle.response_complete
        if self._in_head and self._head_bytes == 0 and is_answered:
            self.transport.close()

    @property
    def _unread(self) -> int:
        return self.transport.get_write_buffer_size()

    def _look_at_writing(self, most: int) -> None:
        """End the connection unless its client took enough since the last look."""
        if self._unread > most:
            self.transport.abort()
            return
        again = functools.partial(self._look_at_writing, self._unread - WRITE_BYTES_MIN)
        self._write_timer = self.loop.call_later(WRITE_LOOK_S, again)

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self.transport.abort)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class ClientCertificateProtocol(BoundedProtocol):
    """Also passes the client's certificate to the application."""

    _shown: dict[str, Any] | None = None  # The same for all requests of a connection.

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._shown is None:
            self._shown = _shown_by(self.transport.get_extra_info("ssl_object"))
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope["extensions"]["tls"] = self._shown


def _shown_by(secured: ssl.SSLObject | None) -> dict[str, Any]:
    """By the client of a connection, once TLS has checked it."""
    if secured is None:
        return {"client_certificate": None, "client_name": ""}
    fields: Any = (secured.getpeercert() or {}).get("subject", ())
    names = [value for parts in fields for key, value in parts if key == "commonName"]
    return {
        "client_certificate": secured.getpeercert(binary_form=True),
        "client_name": names[0] if len(names) == 1 else "",
    }


class _Server(Server):
    """uvicorn's server without signal handlers: the role cancels or drains it. And without its ten looks a second whether it
    is to end, which each listener of an idle process would have.
    """

    draining = False

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.answers = asyncio.Event()
        self._ends = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.answers.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def end(self) -> None:
        """Running requests have their grace."""
        self.should_exit = True
        self._ends.set()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DATE_EVERY_S):
                    await self._ends.wait()

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
    sys.setswitchinterval(SWITCH_S)
    # All the descriptors that the machine allows: by default a process may have 1,024.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    sslproto.SSLProtocol.max_size = READ_BYTES  # asyncio's own is 256 KiB.
    held = [Connections(listener.limits) for listener in listeners]
    servers = [
        _Server(_config(listener, connections))
        for listener, connections in zip(listeners, held, strict=True)
    ]
    activation.on_drain += [server.drain for server in servers]
    async with asyncio.TaskGroup() as tasks:
        for server, listener, connections in zip(servers, listeners, held, strict=True):
            plain = activation.take(listener.host, listener.port) or _open(listener)
            listening = Listening(plain, connections)
            tasks.create_task(_serve(server, listening, listener.grace_s))
        for server in servers:
            await server.answers.wait()
        activation.tell_ready()


def _open(listener: Listener) -> socket.socket:
    """Raises Permanent when the address is another's, or not of this machine."""
    family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
    try:
        return socket.create_server((listener.host, listener.port), family=family, backlog=BACKLOG)
    except OSError as cause:
        where = f"{listener.host} port {listener.port}"
        if cause.errno == errno.EADDRINUSE:
            raise Permanent(
                f"another program listens on {where}; end it, or give this one another port"
            ) from cause
        raise Permanent(f"nothing can listen on {where}") from cause


async def _serve(server: _Server, listening: socket.socket, grace_s: int) -> None:
    serving = asyncio.create_task(server.serve([listening]))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.end()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s + 1):
                await serving
        raise


def _config(listener: Listener, connections: Connections) -> Config:
    files = listener.certificates
    tls: dict[str, Any] = {}
    if files is not None:
        tls = {"ssl_certfile": files.certificate, "ssl_keyfile": files.key}
        if files.client_ca is not None:
            tls |= {"ssl_ca_certs": str(files.client_ca), "ssl_cert_reqs": ssl.CERT_OPTIONAL}
    wants_client = files is not None and files.client_ca is not None
    protocol = ClientCertificateProtocol if wants_client else BoundedProtocol
    return Config(
        listener.app,
        host=listener.host,
        port=listener.port,
        http=functools.partial(protocol, connections),  # type: ignore[arg-type]
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
