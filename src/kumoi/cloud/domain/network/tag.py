"""Tags on the networks, ports and so on that the caller owns."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import NotFound
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.network import (
    floating_ip,
    network,
    port,
    qos_policy,
    router,
    security_group,
    subnet,
    subnet_pool,
)
from kumoi.cloud.store.network import tag as store

# By the word in a request's path.
GETTERS: dict[str, Callable[[Connection, Caller, str], Any]] = {
    "networks": network.get,
    "subnets": subnet.get,
    "subnetpools": subnet_pool.get,
    "ports": port.get,
    "policies": qos_policy.get,
    "routers": router.get,
    "floatingips": floating_ip.get,
    "security_groups": security_group.get,
    "security-groups": security_group.get,
}


def of(connection: Connection, caller: Caller, kind: str, key: str) -> list[str]:
    """Raises NotFound."""
    _get(connection, caller, kind, key)
    return store.of(connection, key)


def has(connection: Connection, caller: Caller, kind: str, key: str, word: str) -> None:
    """Raises NotFound when the resource does not have the tag."""
    if word not in of(connection, caller, kind, key):
        raise _not_found(key, word)


def replace(
    connection: Connection, caller: Caller, kind: str, key: str, words: Collection[str]
) -> list[str]:
    """Raises NotFound, Forbidden."""
    _owned(connection, caller, kind, key)
    store.replace(connection, key, words)
    return store.of(connection, key)


def add(
    connection: Connection, caller: Caller, kind: str, key: str, words: Collection[str]
) -> list[str]:
    """Add to the tags of a resource. Raises NotFound, Forbidden."""
    return replace(connection, caller, kind, key, [*of(connection, caller, kind, key), *words])


def remove(connection: Connection, caller: Caller, kind: str, key: str, word: str) -> None:
    """Raises NotFound when the resource does not have the tag, Forbidden."""
    _owned(connection, caller, kind, key)
    words = store.of(connection, key)
    if word not in words:
        raise _not_found(key, word)
    store.replace(connection, key, [each for each in words if each != word])


def _get(connection: Connection, caller: Caller, kind: str, key: str) -> Any:
    if kind not in GETTERS:
        raise NotFound("resource", kind)
    return GETTERS[kind](connection, caller, key)


def _owned(connection: Connection, caller: Caller, kind: str, key: str) -> None:
    owner = _get(connection, caller, kind, key).project_id
    caller.check(f"update_{kind.replace('-', '_')}_tags", owner)


def _not_found(key: str, word: str) -> NotFound:
    return NotFound("tag", word, message=f"Tag {word} could not be found in resource {key}")
