"""Renews the host's certificate before it ends, through the control plane. The key stays, so nobody has
to enrol it again.

New connections use the certificate as soon as it is there; OVN's controller looks at its file.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Protocol

from kumoi.base import log
from kumoi.base.clock import Clock
from kumoi.base.errors import KumoiError
from kumoi.config import HostSettings
from kumoi.hosts.first_use import pki

LOOK_EVERY_S = 3_600.0


class Renewing(Protocol):
    async def renew_certificate(self) -> str:
        """A certificate in PEM for this host's key."""


class Renewal:
    """`tls` is what the agent calls with."""

    def __init__(
        self, host: HostSettings, upstream: Renewing, tls: ssl.SSLContext, clock: Clock
    ) -> None:
        self._host = host
        self._upstream = upstream
        self._tls = tls
        self._clock = clock

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.round()
            except (KumoiError, OSError) as error:
                log.failure("certificate.not_renewed", error)
            await asyncio.sleep(LOOK_EVERY_S)

    async def round(self) -> None:
        """Raises Transient when the control plane cannot be asked, Conflict when it answered wrongly."""
        if not pki.is_due(pki.read_certificate(self._host), self._clock.now()):
            return
        certificate = await self._upstream.renew_certificate()
        directory, name = self._host.pki_dir, self._host.name
        authority = (directory / "ca.crt").read_text()
        pki.accept(self._host, certificate=certificate, authority=authority)
        self._tls.load_cert_chain(directory / f"{name}.crt", directory / f"{name}.key")
        log.event("certificate.renewed", host=name)
