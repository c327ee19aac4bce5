"""The host API as hosts reach it: TLS on loopback, certificates of the cloud's own authority, in the
loop of the test. Beside the cloud of the stories, on its store.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from kumoi.base.clock import Clock
from kumoi.cloud.api.host.app import host_app
from kumoi.cloud.api.host.routes import SERVICE as HOST
from kumoi.cloud.api.services import Services
from kumoi.cloud.domain.host import enrolment
from kumoi.cloud.domain.host.thing import Kinds
from kumoi.cloud.domain.identity.login import Logins
from kumoi.cloud.hostapi.client import tls_context
from kumoi.cloud.store.host import enrolment as enrolment_store
from kumoi.config import HostSettings, changed
from kumoi.engine.activation import Activation
from kumoi.engine.http.serving import Certificates, Listener, serve
from kumoi.engine.wake import Alarm
from kumoi.hosts.cluster.authority import Signer
from kumoi.hosts.first_use import pki
from tests.free_port import free_port
from tests.route_coverage import RouteCoverage
from tests.running_cloud import RunningCloud

LOOKS_MAX = 1_000
PAUSE_S = 0.01


@dataclass
class SecureHostApi:
    cloud: RunningCloud
    url: str
    services: Services

    @property
    def pki_dir(self) -> Path:
        return self.cloud.here.pki_dir

    @property
    def here(self) -> HostSettings:
        return self.cloud.here

    def enrol(self) -> None:
        """As `up` does with its own host."""
        key = pki.public_key_sha256(pki.read_certificate(self.here))
        with self.cloud.database.write() as connection:
            enrolment.enrol(connection, self.here.name, key)

    def dismiss(self) -> None:
        """Its key speaks for nothing any more."""
        with self.cloud.database.write() as connection:
            enrolment_store.delete(connection, self.here.name)

    async def status(self, name: str) -> int:
        """What asking for what is wanted is answered, with the certificate of that name."""
        tls = tls_context(self.pki_dir, name)
        async with httpx.AsyncClient(verify=tls) as client:
            return (await client.get(f"{self.url}/host/v1/wanted")).status_code


@contextlib.asynccontextmanager
async def secure_host_api(
    cloud: RunningCloud, kinds: Kinds | None = None, **settings: Any
) -> AsyncIterator[SecureHostApi]:
    services = replace(
        cloud.services,
        cloud=changed(cloud.config, southbound_url="ssl:127.0.0.1:6642", **settings),
        authority=Signer(cloud.config, cloud.here.pki_dir, Clock()),
        logins=Logins(Clock(), cloud.config.login_attempts_per_minute),
    )
    pki.ensure(services.cloud, cloud.here, datetime.now(UTC))
    directory, port = cloud.here.pki_dir, free_port()
    files = Certificates(directory / "api.crt", directory / "api.key", directory / "ca.crt")
    alarm = Alarm(cloud.database.listen)
    app = host_app(services, alarm, kinds=kinds)
    listener = Listener(RouteCoverage(app, [HOST]), "127.0.0.1", port, files, grace_s=0)
    serving = asyncio.create_task(serve([listener], Activation.none()))
    try:
        await _listening(port)
        yield SecureHostApi(cloud, f"https://127.0.0.1:{port}", services)
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await alarm.close()


async def _listening(port: int) -> None:
    for _ in range(LOOKS_MAX):
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(PAUSE_S)
    raise TimeoutError(f"nothing listens on port {port}")
