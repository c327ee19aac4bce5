"""Whether OpenSSL takes what a listener or pool names. It is asked as a balancer's proxy asks it, in a context that nobody
uses: what it refuses there would keep the proxy from its next start, with all that its balancer has.

Nothing here takes long: what a key is of, and how large all of it is, was looked at before.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable

from kumoi.base import files
from kumoi.base.errors import Invalid

NEWEST_CIPHERS = frozenset({
    "TLS_AES_128_CCM_8_SHA256", "TLS_AES_128_CCM_SHA256", "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
})  # fmt: skip
"""Those of TLS 1.3, which has no others."""
NEWEST = "TLS_"


def require_bundle(pem: str, field: str, reference: str) -> None:
    """A key with its certificates. Raises Invalid."""
    _require(lambda context, path: context.load_cert_chain(path), pem, field, reference)


def require_authority(pem: str, field: str, reference: str) -> None:
    """Certificates, or lists of revoked ones. Raises Invalid."""
    _require(lambda context, path: context.load_verify_locations(path), pem, field, reference)


def knows_ciphers(ciphers: str) -> bool:
    """Whether one is left of those that are named, and each of TLS 1.3 is one."""
    names = ciphers.split(":")
    newest = [name for name in names if name.startswith(NEWEST)]
    others = [name for name in names if not name.startswith(NEWEST)]
    try:
        if others:
            _context().set_ciphers(":".join(others))
    except ssl.SSLError:
        return False
    return NEWEST_CIPHERS.issuperset(newest)


def _require(
    load: Callable[[ssl.SSLContext, str], None], pem: str, field: str, reference: str
) -> None:
    with files.in_memory(pem) as descriptor:
        try:
            load(_context(), f"/proc/self/fd/{descriptor}")
        except ssl.SSLError as cause:
            why = (cause.reason or "it cannot be read").replace("_", " ").lower()
            raise Invalid(
                f"Validation failure: {field}: no TLS is spoken with what {reference} has: {why}.",
                field=field,
            ) from cause


def _context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
