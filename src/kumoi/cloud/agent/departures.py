"""Hands the disks of servers that move to the hosts that are to have them: listens on the underlay.

Whoever connects shows a certificate of the cloud's authority, or TLS ends there. What a host may have is what the
control plane said last, by the servers' own specs: each names the one host, and the hash of its key. Nothing else is
answered, and whoever asks for anything else is told so little as that it is not to be had.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import socket
import ssl
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cryptography import x509

from kumoi.base import log
from kumoi.base.errors import KumoiError, Permanent
from kumoi.cloud.agent import copying
from kumoi.cloud.agent.copying import SILENT_S, DiskHead, DiskRequest
from kumoi.cloud.drivers.instance.interface import InstanceDriver
from kumoi.cloud.hostapi.arrival import COPYING_PORT
from kumoi.cloud.hostapi.messages import Departure
from kumoi.hosts.first_use.pki import public_key_sha256

TOGETHER_MAX = 4
HANDSHAKE_S = 5.0
BACKLOG = 16
BIND_AGAIN_S = 5.0
REFUSED = "this host has no such disk for the host that asks"


class Departures:
    """`leaving` are the servers that leave, with the driver of each; it is kept up by kinds/server.py. `refused`
    counts who asked for what it may not have.
    """

    def __init__(
        self,
        *,
        drivers: Mapping[str, InstanceDriver],
        address: str,
        pki_dir: Path,
        host_name: str,
        port: int = COPYING_PORT,
    ) -> None:
        self.leaving: dict[str, tuple[str, Departure]] = {}
        self.refused = 0
        self._drivers = drivers
        self._address = (address, port)
        self._pki_dir = pki_dir
        self._host_name = host_name
        self._threads = ThreadPoolExecutor(TOGETHER_MAX, thread_name_prefix="departures")

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        slots = asyncio.Semaphore(TOGETHER_MAX)
        while True:
            try:
                listener = socket.create_server(self._address, backlog=BACKLOG)
            except OSError as error:  # The address may come a moment later.
                log.failure("departures.not_listening", error)
                await asyncio.sleep(BIND_AGAIN_S)
                continue
            with listener:
                listener.settimeout(0)
                while True:
                    await slots.acquire()
                    connection, _ = await loop.sock_accept(listener)
                    answering = loop.run_in_executor(self._threads, self._answer, connection)
                    answering.add_done_callback(lambda _: slots.release())

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.closing(connection):
            connection.settimeout(HANDSHAKE_S)
            try:
                with self._context().wrap_socket(connection, server_side=True) as stream:
                    stream.settimeout(SILENT_S)
                    self._serve(stream)
            except (OSError, KumoiError) as error:
                log.failure("disk.not_sent", error)

    def _serve(self, stream: ssl.SSLSocket) -> None:
        request = copying.hear(stream, DiskRequest)
        driver = self._allowed(stream, request)
        if driver is None:
            self.refused += 1
            copying.say(stream, DiskHead(refused=REFUSED, later=True))
            return
        known = copying.hear_digests(stream)
        generation = request.generation if request.final else None
        try:
            with driver.moving.departing(
                request.server, build=request.build, final_generation=generation
            ) as disk:
                copying.say(stream, copying.head_of(disk))
                sent = copying.send_disk(stream, disk.file, known, disk.console)
        except KumoiError as error:
            is_later = not isinstance(error, Permanent)
            copying.say(stream, DiskHead(refused=error.message, later=is_later))
            raise
        log.event("disk.sent", server=request.server, sent_mib=sent >> 20, final=request.final)

    def _allowed(self, stream: ssl.SSLSocket, request: DiskRequest) -> InstanceDriver | None:
        """The driver of the server, where whoever asks is who may have its disk."""
        name, departure = self.leaving.get(request.server, ("", None))
        der = stream.getpeercert(binary_form=True)
        if departure is None or not der or name not in self._drivers:
            return None
        key = public_key_sha256(x509.load_der_x509_certificate(der))
        return self._drivers[name] if hmac.compare_digest(key, departure.key_sha256) else None

    def _context(self) -> ssl.SSLContext:
        """Made anew for each: the host's certificate is renewed while the agent runs."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(self._pki_dir / "ca.crt")
        own = self._pki_dir / self._host_name
        context.load_cert_chain(own.with_name(f"{own.name}.crt"), own.with_name(f"{own.name}.key"))
        return context
