"""Fetches the disks of servers that come from other hosts: kinds/arrival.py says which.

Of a server that still runs the disk is fetched again and again, each time what differs, until little does. What came
stays when the agent ends, and the next one goes on from there.

The host that has the disk shows the certificate that all hosts have, which is no server's: so what is checked of it is that
its key is the one that the control plane named, and nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509

from kumoi.base import log
from kumoi.base.backoff import Backoff
from kumoi.base.clock import Clock
from kumoi.base.errors import KumoiError, Permanent, Transient
from kumoi.cloud.agent import copying
from kumoi.cloud.agent.copying import SILENT_S, DiskRequest, Round
from kumoi.cloud.drivers.instance import difference
from kumoi.cloud.drivers.instance.difference import Digests
from kumoi.cloud.drivers.instance.interface import InstanceDriver
from kumoi.cloud.hostapi.arrival import Arrival, ArrivalState
from kumoi.hosts.first_use.pki import public_key_sha256

TOGETHER_MAX = 2
CONNECT_S = 5.0
ROUNDS_MAX = 6
LITTLE_BYTES = 8 << 20
"""So much is sent in about a tenth of a second, and a server pauses for longer than that anyway."""
TOLD_BYTES = 64 << 20  # How often a long copy is reported.
RETRY = Backoff(first_s=0.5, most_s=10.0)


@dataclass(slots=True)
class Fetching:
    """How far one disk has come. `known` are the digests of what is in its file, once they were made."""

    spec: Arrival
    state: ArrivalState = ArrivalState.COPYING
    rounds: int = 0
    sent_bytes: int = 0
    data_bytes: int = 0
    fault: str = ""
    known: Digests | None = None
    stopped: threading.Event = field(default_factory=threading.Event)
    task: asyncio.Task[None] | None = None


class Arrivals:
    """Used inside the event loop, but for what says otherwise."""

    def __init__(
        self,
        *,
        drivers: Mapping[str, InstanceDriver],
        pki_dir: Path,
        host_name: str,
        clock: Clock,
    ) -> None:
        self.fetching: dict[str, Fetching] = {}
        self._drivers = drivers
        self._pki_dir = pki_dir
        self._host_name = host_name
        self._clock = clock
        self._slots = asyncio.Semaphore(TOGETHER_MAX)
        self._asked: asyncio.Queue[Arrival] = asyncio.Queue()
        self._loop: asyncio.AbstractEventLoop | None = None

    def want(self, spec: Arrival) -> None:
        """Fetch it, in any thread; what is under way for an older generation goes on first."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._asked.put_nowait, spec)

    def drop(self, server_id: str) -> None:
        """Stop fetching it, in any thread."""
        if found := self.fetching.pop(server_id, None):
            found.stopped.set()

    async def run(self, wake: Callable[[str], None]) -> None:
        """Until cancelled. `wake` is called with the id of a server whose disk has come further."""
        self._loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            while True:
                spec = await self._asked.get()
                before = self.fetching.get(spec.id)
                if before is not None and before.spec.generation >= spec.generation:
                    continue
                now = Fetching(spec)
                if before is not None:
                    now.rounds, now.sent_bytes = before.rounds, before.sent_bytes
                self.fetching[spec.id] = now
                now.task = group.create_task(self._fetch(now, before, wake))

    async def _fetch(
        self, now: Fetching, before: Fetching | None, wake: Callable[[str], None]
    ) -> None:
        if before is not None and before.task is not None:
            before.stopped.set()
            await asyncio.wait([before.task])
            now.known = before.known
        failures = 0
        while not now.stopped.is_set():
            try:
                async with self._slots:
                    done = await asyncio.to_thread(self._round, now, wake)
            except Permanent as error:
                now.fault = error.message
                log.failure("disk.not_fetched", error, server=now.spec.id)
                break
            except (KumoiError, OSError) as error:
                failures += 1
                log.failure("disk.not_fetched", error, server=now.spec.id, attempt=failures)
                await asyncio.sleep(RETRY.after(failures))
                continue
            failures = 0
            if self._is_enough(now, done):
                break
        wake(now.spec.id)

    def _is_enough(self, now: Fetching, done: Round) -> bool:
        if now.spec.final:
            now.state = ArrivalState.COMPLETE
        elif done.sent_bytes <= LITTLE_BYTES or now.rounds >= ROUNDS_MAX:
            now.state = ArrivalState.READY
        return now.state is not ArrivalState.COPYING

    def _round(self, now: Fetching, wake: Callable[[str], None]) -> Round:
        """In a thread. Raises Transient, Permanent, OSError."""
        spec = now.spec
        moving = self._drivers[spec.driver].moving
        file = moving.open_part(spec.id, build=spec.build)
        began_s, before_bytes, told = self._clock.monotonic(), now.sent_bytes, 0

        def went_on(sent: int) -> None:
            nonlocal told
            if now.stopped.is_set():
                raise Transient("it is not wanted any more")
            now.sent_bytes = before_bytes + sent
            if sent - told >= TOLD_BYTES:
                told = sent
                wake(spec.id)

        try:
            known = now.known
            now.known = None  # Unless all goes well: what was written then is not known.
            known = difference.digests(file) if known is None else known
            with self._connected(spec) as stream:
                request = DiskRequest(
                    server=spec.id, build=spec.build, generation=spec.generation, final=spec.final
                )
                done = copying.fetch_disk(
                    stream, request, file, known, size_max=spec.disk_gib << 30, went_on=went_on
                )
            now.known = known
        finally:
            os.close(file)
        now.rounds, now.data_bytes = now.rounds + 1, done.data_bytes
        if spec.final:
            moving.keep(
                spec.id, build=spec.build, image_sha256=done.image_sha256, console=done.console
            )
        seconds = round(self._clock.monotonic() - began_s, 3)
        log.event(
            "disk.fetched",
            server=spec.id,
            round=now.rounds,
            final=spec.final,
            sent_kib=done.sent_bytes >> 10,
            seconds=seconds,
        )
        return done

    @contextlib.contextmanager
    def _connected(self, spec: Arrival) -> Iterator[ssl.SSLSocket]:
        """Raises Transient when the host is not reached, Permanent when it is another."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        own = self._pki_dir / self._host_name
        context.load_cert_chain(own.with_name(f"{own.name}.crt"), own.with_name(f"{own.name}.key"))
        try:
            connection = socket.create_connection((spec.address, spec.port), CONNECT_S)
        except OSError as cause:
            raise Transient(f"reach host {spec.host} at {spec.address}") from cause
        with contextlib.closing(connection), context.wrap_socket(connection) as stream:
            stream.settimeout(SILENT_S)
            der = stream.getpeercert(binary_form=True)
            key = public_key_sha256(x509.load_der_x509_certificate(der)) if der else ""
            if not hmac.compare_digest(key, spec.key_sha256):
                raise Permanent(f"who answers at {spec.address} is not host {spec.host}")
            yield stream
