"""Serve ASGI applications over TLS, several in one loop, each with its own listener.

With a client CA a listener takes only clients with a certificate of that CA, and puts its common
name into the scope: `scope["extensions"]["tls"]["client_common_name"]`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

BACKLOG = 1_024
KEEP_ALIVE_S = 75  # Longer than a long poll waits.
GRACE_S = 5
GC_YOUNG = 10_000  # Python's own 700 meets every list of servers many times.


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files. With `client_ca` a client needs a certificate."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class Listener:
    """Without certificates it is plain HTTP, for loopback only. `grace_s` is how long requests that
    are under way may take when the listener ends; 0 where all of them are safe to cut.
    """

    app: ASGIApp
    host: str
    port: int
    certificates: Certificates | None = None
    grace_s: int = GRACE_S


class ClientCertificateProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1, telling the application whose certificate it is."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        secured = self.transport.get_extra_info("ssl_object")
        certificate = secured.getpeercert() if secured is not None else None
        name = _common_name(certificate or {})
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope["extensions"] = {"tls": {"client_common_name": name}}


class _Server(uvicorn.Server):
    """Signals are the role's business, which cancels us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(listener: Listener) -> None:
    """Until cancelled; then what is under way has its grace."""
    _spare_the_collector()
    server = _Server(_config(listener))
    serving = asyncio.create_task(server.serve())
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(listener.grace_s + 1):
                await serving
        raise


def _spare_the_collector() -> None:
    """What a role has made before it serves stays as long as it does: the garbage collector need not
    look at it again, and looks less often at what requests leave, nearly all of it free already.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_YOUNG, *gc.get_threshold()[1:])


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
        http=ClientCertificateProtocol if wants_client else HttpToolsProtocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=listener.grace_s,
        server_header=False,
        **tls,
    )


def _common_name(certificate: dict[str, Any]) -> str:
    for part in certificate.get("subject", ()):
        for key, value in part:
            if key == "commonName":
                return str(value)
    return ""
