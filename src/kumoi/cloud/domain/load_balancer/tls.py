"""What may be said of TLS, at a listener and at a pool, in Octavia's words where it has any."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kumoi.cloud.domain.load_balancer import tls_context
from kumoi.cloud.domain.load_balancer.refusal import invalid

VERSIONS = ("SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
OLDEST = "TLSv1.2"
DEFAULT_VERSIONS = ["TLSv1.2", "TLSv1.3"]
ALPN = ("h2", "http/1.1", "http/1.0")
DEFAULT_CIPHERS = (
    "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256:"
    "DHE-RSA-AES256-GCM-SHA384:DHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-SHA256:DHE-RSA-AES128-SHA256:"
    "ECDHE-RSA-AES256-SHA384:ECDHE-RSA-AES128-SHA256"
)
"""OWASP's suite B, as Octavia has it."""
CIPHERS = re.compile(r"[A-Za-z0-9\-+!:@=_.]+")
PROHIBITED = frozenset(
    ("NULL", "eNULL", "aNULL", "EXP", "EXPORT", "LOW", "RC4", "DES", "3DES", "MD5")
)


def require_versions(versions: list[str] | None) -> None:
    """Raises Invalid."""
    if versions is None:
        return
    if not versions:
        raise invalid(
            "Empty TLS version list. Either specify at least one TLS version or remove this "
            "parameter to use the default."
        )
    unknown = [name for name in versions if name not in VERSIONS]
    if unknown:
        raise invalid(f"Invalid TLS versions: {', '.join(unknown)}")
    old = [name for name in versions if VERSIONS.index(name) < VERSIONS.index(OLDEST)]
    if old:
        raise invalid(
            f"Requested TLS versions are less than the minimum: {', '.join(old)} < {OLDEST}"
        )


def require_ciphers(ciphers: str | None) -> None:
    """Raises Invalid."""
    if not ciphers:
        return
    if not CIPHERS.fullmatch(ciphers):
        raise invalid(
            "Invalid characters in cipher string. Only alphanumeric, -, +, !, :, @, =, _, and . are "
            "allowed."
        )
    wanted = [part for part in ciphers.split(":") if not part.startswith(("!", "-"))]
    prohibited = [part for part in wanted if PROHIBITED.intersection(part.split("+"))]
    if prohibited:
        raise invalid(
            "The following ciphers have been prohibited by an administrator: "
            f"{', '.join(prohibited)}"
        )
    if not tls_context.knows_ciphers(ciphers):
        raise invalid(
            f"tls_ciphers: none is known by one of these names: {ciphers}.", "tls_ciphers"
        )


def require_alpn(protocols: list[str] | None) -> None:
    """Raises Invalid."""
    if protocols is None:
        return
    if not protocols:
        raise invalid(
            "Empty ALPN protocol list. Either specify at least one ALPN protocol or remove this "
            "parameter to use the default."
        )
    unknown = [name for name in protocols if name not in ALPN]
    if unknown:
        raise invalid(f"Invalid ALPN protocol: {', '.join(unknown)}")


def require(values: Mapping[str, Any]) -> None:
    """Of whichever of them is said. Raises Invalid."""
    require_versions(values.get("tls_versions"))
    require_ciphers(values.get("tls_ciphers"))
    require_alpn(values.get("alpn_protocols"))
