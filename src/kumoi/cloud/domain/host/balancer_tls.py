"""What hosts are told of TLS at listeners and towards members. Pure; called by load_balancer.py beside."""

from __future__ import annotations

from collections.abc import Mapping

from kumoi.cloud.domain.load_balancer import listener_options, material
from kumoi.cloud.hostapi import load_balancer as messages
from kumoi.cloud.store.load_balancer.listener import BalancerListener
from kumoi.cloud.store.load_balancer.part import BalancerPart
from kumoi.cloud.store.load_balancer.pool import BalancerPool

Opened = Mapping[str, Mapping[str, list[str]]]
"""PEM by the id of the part and the column whose reference named it."""


def is_whole(row: BalancerPart, opened: Opened) -> bool:
    """Whether all that it names is there. Otherwise nobody is told of it: it must not be served with
    less than was asked for.
    """
    named = [name for name in material.COLUMNS if getattr(row, name, None)]
    return all(name in opened.get(row.id, {}) for name in named)


def of_listener(row: BalancerListener, opened: Opened) -> messages.TlsSpec | None:
    if row.protocol != listener_options.TERMINATED:
        return None
    found = opened.get(row.id, {})
    return messages.TlsSpec(
        certificates=[
            *found.get("default_tls_container_ref", ()),
            *found.get("sni_container_refs", ()),
        ],
        client_authority="".join(found.get("client_ca_tls_container_ref", ())),
        client_revocations="".join(found.get("client_crl_container_ref", ())),
        client_authentication=row.client_authentication,
        ciphers=row.tls_ciphers or "",
        versions=row.tls_versions or [],
        alpn=row.alpn_protocols or [],
        hsts=_hsts(row),
    )


def of_pool(row: BalancerPool, opened: Opened) -> messages.MemberTlsSpec | None:
    if not row.tls_enabled:
        return None
    found = opened.get(row.id, {})
    return messages.MemberTlsSpec(
        certificate="".join(found.get("tls_container_ref", ())),
        authority="".join(found.get("ca_tls_container_ref", ())),
        revocations="".join(found.get("crl_container_ref", ())),
        ciphers=row.tls_ciphers or "",
        versions=row.tls_versions or [],
        alpn=row.alpn_protocols or [],
    )


def _hsts(row: BalancerListener) -> str:
    if row.hsts_max_age is None:
        return ""
    words = [f"max-age={row.hsts_max_age}"]
    words += ["includeSubDomains"] if row.hsts_include_subdomains else []
    words += ["preload"] if row.hsts_preload else []
    return "; ".join(words)
