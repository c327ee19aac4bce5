"""Keys and certificates of listeners and pools, as the key manager had them when they were named.

A copy is kept, sealed as secrets are: a secret that its owner deletes or that ends does not take a
balancer down, and who changes members does not have bundles parsed again. Whoever sets a reference must
be able to read what it names; later nobody is asked. The copy goes with the reference.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy.engine import Connection

from kumoi.base import log
from kumoi.base.errors import Bug
from kumoi.cloud.domain.load_balancer import tls_context
from kumoi.cloud.domain.load_balancer.refusal import invalid
from kumoi.cloud.store.load_balancer import tls_material as store
from kumoi.cloud.store.load_balancer.part import BalancerPart
from kumoi.cloud.store.load_balancer.tls_material import TlsMaterial
from kumoi.cloud.store.seal import Seal

BUNDLES = ("default_tls_container_ref", "sni_container_refs", "tls_container_ref")
AUTHORITIES = ("client_ca_tls_container_ref", "ca_tls_container_ref")
REVOCATIONS = ("client_crl_container_ref", "crl_container_ref")
COLUMNS = (*BUNDLES, *AUTHORITIES, *REVOCATIONS)
MATERIAL_MAX_BYTES = 262_144
"""Of one listener or pool: a host is told all of it with each change."""

forget = store.forget
forget_balancer = store.forget_balancer


@dataclass(frozen=True, slots=True)
class ReadMaterial:
    """What references name, as PEM, by the column that has them."""

    seal: Seal
    content: Mapping[str, list[str]]


def require_small(read: ReadMaterial | None) -> None:
    """Raises Invalid."""
    content = {} if read is None else read.content
    if sum(len(text) for texts in content.values() for text in texts) > MATERIAL_MAX_BYTES:
        raise invalid(f"The certificates have more than {MATERIAL_MAX_BYTES} bytes.")


def require_loaded(name: str, reference: str, pem: str) -> None:
    """That a proxy can begin with it, in that column. Raises Invalid."""
    ask = tls_context.require_bundle if name in BUNDLES else tls_context.require_authority
    ask(pem, name, reference)


def keep(
    connection: Connection,
    part: BalancerPart,
    said: Mapping[str, Any],
    read: ReadMaterial | None,
) -> None:
    """Of a part whose references are as `said`; those that it says nothing of stay."""
    names = [name for name in COLUMNS if name in said]
    rows = [] if read is None else [_sealed(part, name, read) for name in read.content]
    if names:
        store.replace(connection, part.id, names, rows)


def opened(
    connection: Connection, balancer_ids: Collection[str], seal: Seal
) -> dict[str, dict[str, list[str]]]:
    """What each part has, by its id and the column. Of a part whose seal does not open, nothing is
    there, and the log says so: others are served.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for row in store.of_balancers(connection, balancer_ids):
        try:
            plain = seal.open(_name(row.part_id, row.name), row.sealed)
        except Bug as error:
            log.failure("tls_material.not_opened", error, part=row.part_id)
            continue
        texts = msgspec.json.decode(plain, type=list[str])
        found.setdefault(row.part_id, {})[row.name] = texts
    return found


def _sealed(part: BalancerPart, name: str, read: ReadMaterial) -> TlsMaterial:
    plain = msgspec.json.encode(read.content[name])
    return TlsMaterial(
        part_id=part.id,
        name=name,
        load_balancer_id=part.load_balancer_id,
        sealed=read.seal.close(_name(part.id, name), plain),
    )


def _name(part_id: str, name: str) -> str:
    return f"{part_id}/{name}"
