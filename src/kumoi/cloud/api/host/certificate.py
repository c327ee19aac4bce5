"""Who a host is: what its certificate is for, and that its key is enrolled. Decides for app.py.

That our authority signed a certificate says nothing by itself: the pipeline's is signed as well. It
must be a host's of this cloud, by its URI, and the store must name its key.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import anyio.to_thread
from cryptography import x509
from starlette.requests import Request as HttpRequest

from kumoi.base.clock import Clock
from kumoi.base.errors import Forbidden, Unauthenticated
from kumoi.cloud.domain.host import enrolment
from kumoi.engine.db import Database
from kumoi.hosts.first_use.pki import host_uri_prefix, public_key_sha256

BELIEVED_S = 10.0
"""A host that was dismissed is heard for so long at most."""
REMEMBERED_MAX = 10_000


@dataclass(frozen=True, slots=True)
class CertificateNames:
    """What a certificate says."""

    uris: tuple[str, ...]
    key: str


class ByCertificate:
    """One per process."""

    def __init__(self, database: Database, clock: Clock, *, cloud_name: str) -> None:
        self._database = database
        self._clock = clock
        self._prefix = host_uri_prefix(cloud_name)
        self._believed: dict[tuple[str, str], float] = {}

    async def __call__(self, http: HttpRequest) -> str:
        """The host's name. Raises Unauthenticated or Forbidden."""
        der = http.scope.get("extensions", {}).get("tls", {}).get("client_certificate")
        if not der:
            raise Unauthenticated("A host's certificate is needed.")
        shown = read(der)
        names = [
            uri.removeprefix(self._prefix) for uri in shown.uris if uri.startswith(self._prefix)
        ]
        if len(names) != 1 or not names[0]:
            raise Forbidden("The certificate is not a host's of this cloud.")
        await self._check_enrolled(names[0], shown.key)
        return names[0]

    async def _check_enrolled(self, name: str, key: str) -> None:
        now_s = self._clock.monotonic()
        if self._believed.get((name, key), 0.0) > now_s:
            return
        if not await anyio.to_thread.run_sync(self._is_enrolled, name, key):
            self._believed.pop((name, key), None)
            raise Forbidden(f"Host {name} is not enrolled with this key.")
        if len(self._believed) >= REMEMBERED_MAX:
            self._believed.clear()
        self._believed[name, key] = now_s + BELIEVED_S

    def _is_enrolled(self, name: str, key: str) -> bool:
        with self._database.read() as connection:
            return enrolment.is_enrolled(connection, name, key)


@functools.lru_cache(maxsize=1_000)
def read(der: bytes) -> CertificateNames:
    """TLS has checked who signed it and until when it holds."""
    certificate = x509.load_der_x509_certificate(der)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = tuple(names.get_values_for_type(x509.UniformResourceIdentifier))
    except x509.ExtensionNotFound:
        uris = ()
    return CertificateNames(uris, public_key_sha256(certificate))
