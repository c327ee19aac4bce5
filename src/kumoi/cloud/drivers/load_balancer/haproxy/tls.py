"""How HAProxy ends TLS and begins it towards members: files, options of `bind` and `server` lines, and
headers. Pure; called by config.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kumoi.cloud.hostapi.load_balancer import (
    BalancerThing,
    MemberTlsSpec,
    PoolSpec,
    ProxiedListener,
    TlsSpec,
)

VERIFY = {"OPTIONAL": "optional", "MANDATORY": "required"}
VERSIONS = ("SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
NAMES = {"TLSv1": "TLSv1.0"}
"""HAProxy's, where they are not the API's."""
NEWEST_CIPHERS = "TLS_"
HEADERS = {
    "X-SSL-Client-Verify": "%{+Q}[ssl_c_verify]",
    "X-SSL-Client-Has-Cert": "%{+Q}[ssl_c_used]",
    "X-SSL-Client-DN": "%{+Q}[ssl_c_s_dn]",
    "X-SSL-Client-CN": "%{+Q}[ssl_c_s_dn(cn)]",
    "X-SSL-Issuer": "%{+Q}[ssl_c_i_dn]",
    "X-SSL-Client-SHA1": "%{+Q}[ssl_c_sha1,hex]",
    "X-SSL-Client-Not-Before": "%{+Q}[ssl_c_notbefore]",
    "X-SSL-Client-Not-After": "%{+Q}[ssl_c_notafter]",
}


def files(balancer: BalancerThing) -> dict[str, str]:
    """By their names below the balancer's directory."""
    found: dict[str, str] = {}
    for listener in balancer.listeners:
        if listener.tls is None:
            continue
        for place, pem in enumerate(listener.tls.certificates):
            found[_certificate(listener, place)] = pem
        for word, pem in (
            ("authority", listener.tls.client_authority),
            ("revocations", listener.tls.client_revocations),
        ):
            if pem:
                found[f"{listener.id}.{word}.pem"] = pem
    for pool in balancer.pools:
        found |= {f"{pool.id}.{word}.pem": pem for word, pem in _of_pool(pool).items()}
    return found


def options(listener: ProxiedListener, directory: str) -> Iterator[str]:
    """What a `bind` line says beside where it listens."""
    tls = listener.tls
    if tls is None:
        return
    yield "ssl"
    for place, _ in enumerate(tls.certificates):
        yield f"crt {directory}/{_certificate(listener, place)}"
    if tls.client_authority:
        yield f"ca-file {directory}/{listener.id}.authority.pem"
        yield f"verify {VERIFY.get(tls.client_authentication, 'none')}"
    if tls.client_revocations:
        yield f"crl-file {directory}/{listener.id}.revocations.pem"
    yield from _agreed(tls)


def member_options(pool: PoolSpec, directory: str) -> Iterator[str]:
    """What a `server` line says beside where it connects to."""
    if not pool.tls:
        return
    yield "ssl"
    there = _of_pool(pool)
    if "certificate" in there:
        yield f"crt {directory}/{pool.id}.certificate.pem"
    if "authority" in there:
        yield f"verify required ca-file {directory}/{pool.id}.authority.pem"
    else:
        yield "verify none"
    if "authority" in there and "revocations" in there:
        yield f"crl-file {directory}/{pool.id}.revocations.pem"
    if pool.tls_with is not None:
        yield from _agreed(pool.tls_with)


def headers(listener: ProxiedListener, said: Mapping[str, bool]) -> Iterator[str]:
    if listener.tls is None:
        return
    for name, value in HEADERS.items():
        if said.get(name):
            yield f"http-request set-header {name} {value}"
    if listener.tls.hsts:
        yield f'http-response set-header Strict-Transport-Security "{listener.tls.hsts}"'


def _of_pool(pool: PoolSpec) -> dict[str, str]:
    """What there is of certificates, by what it is for."""
    said = pool.tls_with
    if said is None:
        return {}
    words = {
        "certificate": said.certificate,
        "authority": said.authority,
        "revocations": said.revocations,
    }
    return {word: pem for word, pem in words.items() if pem}


def _agreed(tls: TlsSpec | MemberTlsSpec) -> Iterator[str]:
    """What both ends agree on."""
    yield from _ciphers(tls)
    if tls.versions:
        allowed = [name for name in VERSIONS if name in tls.versions]
        yield f"ssl-min-ver {NAMES.get(allowed[0], allowed[0])}"
        yield f"ssl-max-ver {NAMES.get(allowed[-1], allowed[-1])}"
    if tls.alpn:
        yield f"alpn {','.join(tls.alpn)}"


def _ciphers(tls: TlsSpec | MemberTlsSpec) -> Iterator[str]:
    """Those of TLS 1.3 have an option of their own."""
    names = tls.ciphers.split(":") if tls.ciphers else []
    newest = [name for name in names if name.startswith(NEWEST_CIPHERS)]
    others = [name for name in names if not name.startswith(NEWEST_CIPHERS)]
    if others:
        yield f"ciphers {':'.join(others)}"
    if newest:
        yield f"ciphersuites {':'.join(newest)}"


def _certificate(listener: ProxiedListener, place: int) -> str:
    return f"{listener.id}.{place}.pem"
