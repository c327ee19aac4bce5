"""Identify a host by its certificate. Called by app.py.

A signature of our authority is not enough, since the pipeline's certificate has one too: the
certificate must have the URI of a host of this cloud, and its key must be enrolled for that host.
"""

from __future__ import annotations

import asyncio
import functools
from dataclasses import dataclass

import anyio.to_thread
from cryptography import x509
from starlette.requests import Request as HttpRequest

from kumoi.base import log
from kumoi.base.clock import Clock
from kumoi.base.errors import Forbidden, KumoiError, Transient, Unauthenticated
from kumoi.cloud.domain.host import enrolment
from kumoi.engine.db import Database
from kumoi.engine.wake import Alarm
from kumoi.hosts.first_use.pki import host_uri_prefix, public_key_sha256

CACHED_S = 10.0
"""A host whose enrolment was removed may call for so long at most."""
CACHED_MAX = 10_000
LEARN_S = 2.0  # A host that has just joined waits so long for its first lease, at the least between two looks.


@dataclass(frozen=True, slots=True)
class CertificateNames:
    """The URIs of a certificate, and the hash of its public key."""

    uris: tuple[str, ...]
    key: str


class ByCertificate:
    """One per process; caches which keys are enrolled."""

    def __init__(self, database: Database, clock: Clock, *, cloud_name: str) -> None:
        self._database = database
        self._clock = clock
        self._prefix = host_uri_prefix(cloud_name)
        self._enrolled_until_s: dict[tuple[str, str], float] = {}
        self._learnt: dict[str, str] | None = None

    async def __call__(self, http: HttpRequest) -> str:
        """The host's name. Raises Unauthenticated or Forbidden."""
        name, key = self._shown(http)
        await self._require_enrolled(name, key)
        return name

    async def at_once(self, http: HttpRequest) -> str:
        """The same by what was learnt last: also while the store is away. Raises Transient before anything was, so that
        the host asks another control host.
        """
        name, key = self._shown(http)
        if self._learnt is None:
            raise Transient("say which hosts are enrolled: nothing was learnt yet")
        if self._learnt.get(name) != key:
            raise Forbidden(f"Host {name} is not enrolled with this key.")
        return name

    async def learn(self, alarm: Alarm) -> None:
        """Which hosts are enrolled, whenever the store was written, and every CACHED_S without a word of that; until cancelled."""
        while True:
            seen, waits_s = alarm.count, CACHED_S - LEARN_S
            try:
                self._learnt = await asyncio.to_thread(self._look_up_all)
            except KumoiError as error:
                log.failure("enrolments.not_learned", error)
                waits_s = 0.0
            await asyncio.sleep(LEARN_S)
            await alarm.wait(waits_s, after=seen)

    def _shown(self, http: HttpRequest) -> tuple[str, str]:
        """The name and the key of its certificate."""
        der = http.scope.get("extensions", {}).get("tls", {}).get("client_certificate")
        if not der:
            raise Unauthenticated("A host's certificate is needed.")
        shown = read(der)
        names = [
            uri.removeprefix(self._prefix) for uri in shown.uris if uri.startswith(self._prefix)
        ]
        if len(names) != 1 or not names[0]:
            raise Forbidden("The certificate is not a host's of this cloud.")
        return names[0], shown.key

    async def _require_enrolled(self, name: str, key: str) -> None:
        now_s = self._clock.monotonic()
        if self._enrolled_until_s.get((name, key), 0.0) > now_s:
            return
        if not await anyio.to_thread.run_sync(self._look_up, name, key):
            self._enrolled_until_s.pop((name, key), None)
            raise Forbidden(f"Host {name} is not enrolled with this key.")
        if len(self._enrolled_until_s) >= CACHED_MAX:
            self._enrolled_until_s.clear()
        self._enrolled_until_s[name, key] = now_s + CACHED_S

    def _look_up_all(self) -> dict[str, str]:
        with self._database.following(), self._database.read() as connection:
            return enrolment.keys(connection)

    def _look_up(self, name: str, key: str) -> bool:
        with self._database.read() as connection:
            return enrolment.is_enrolled(connection, name, key)


@functools.lru_cache(maxsize=1_000)
def read(der: bytes) -> CertificateNames:
    """TLS has checked the signature and the dates."""
    certificate = x509.load_der_x509_certificate(der)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = tuple(names.get_values_for_type(x509.UniformResourceIdentifier))
    except x509.ExtensionNotFound:
        uris = ()
    return CertificateNames(uris, public_key_sha256(certificate))
