"""That what a listener or pool names in the key manager is there, readable and whole. Called before the
row is written; what is kept is the reference alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.key_manager import certificate

BUNDLES = ("default_tls_container_ref", "tls_container_ref")
AUTHORITIES = ("client_ca_tls_container_ref", "ca_tls_container_ref")
REVOCATIONS = ("client_crl_container_ref", "crl_container_ref")


def require(request: Request, said: Mapping[str, Any]) -> None:
    """Raises Invalid."""
    bundles = [said[name] for name in BUNDLES if said.get(name)]
    bundles += said.get("sni_container_refs") or ()
    checks = [
        *((certificate.bundle, reference) for reference in bundles),
        *((certificate.authorities, said[name]) for name in AUTHORITIES if said.get(name)),
        *((certificate.revocations, said[name]) for name in REVOCATIONS if said.get(name)),
    ]
    if not checks:
        return
    seal, now = request.services.seal, request.services.clock.now()
    with request.read() as connection:
        for check, reference in checks:
            check(connection, request.caller, reference, seal, now)
