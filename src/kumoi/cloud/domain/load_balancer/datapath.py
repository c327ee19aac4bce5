"""What each data path can do: the one table. Pure; called by the rules of listeners, pools and L7 policies,
and by whoever serves them.

A listener takes the first path that can all that is asked of it. To offer what a path could do and
nobody serves yet, set its `is_served`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from kumoi.base.errors import Unsupported

UNLIMITED = -1
NOT_COUNTED = ("UDP", "SCTP")
"""Of these listeners a connection limit is kept and has no effect: nothing on the way counts."""


class ListenerWords(Protocol):
    """What decides of a listener; a row has it, and so has what a new row is made from."""

    @property
    def protocol(self) -> str: ...
    @property
    def connection_limit(self) -> int: ...
    @property
    def allowed_cidrs(self) -> list[str]: ...


class PoolWords(Protocol):
    @property
    def protocol(self) -> str: ...
    @property
    def lb_algorithm(self) -> str: ...
    @property
    def session_persistence(self) -> dict[str, Any] | None: ...
    @property
    def tls_enabled(self) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPath:
    """`options` are what else it can: keep limits of a listener, and TLS towards members."""

    name: str
    is_served: bool
    listeners: frozenset[str]
    pools: frozenset[str]
    algorithms: frozenset[str]
    persistence: frozenset[str]
    options: frozenset[str] = frozenset()


OVN = DataPath(
    name="OVN",
    is_served=True,
    listeners=frozenset({"TCP", "HTTPS", "UDP", "SCTP"}),
    pools=frozenset({"TCP", "HTTP", "HTTPS", "UDP", "SCTP"}),
    algorithms=frozenset({"ROUND_ROBIN", "SOURCE_IP", "SOURCE_IP_PORT"}),
    persistence=frozenset({"SOURCE_IP"}),
    options=frozenset({"allowed_cidrs"}),
)
PROXY = DataPath(
    name="proxy",
    is_served=True,
    listeners=frozenset({"HTTP", "TCP", "HTTPS", "TERMINATED_HTTPS"}),
    pools=frozenset({"TCP", "HTTP", "HTTPS", "PROXY", "PROXYV2"}),
    algorithms=frozenset({"ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP"}),
    persistence=frozenset({"SOURCE_IP", "HTTP_COOKIE", "APP_COOKIE"}),
    options=frozenset({"connection_limit", "allowed_cidrs", "tls_enabled"}),
)
PATHS = (OVN, PROXY)


def path_of(listener: ListenerWords, pools: Iterable[PoolWords]) -> DataPath | None:
    """The path of a listener that leads to these pools, served or not; None where there is none."""
    there = list(pools)
    return next((path for path in PATHS if not _obstacles(path, listener, there)), None)


def require_path(listener: ListenerWords, pools: Iterable[PoolWords]) -> None:
    """Raises Unsupported."""
    there = list(pools)
    path = path_of(listener, there)
    if path is not None and path.is_served:
        return
    able = [each for each in PATHS if listener.protocol in each.listeners and each.is_served]
    wanting = [word for each in able for word in _obstacles(each, listener, there)]
    raise Unsupported(
        f"{' and '.join(dict.fromkeys(wanting)) or 'This'} is not offered for "
        f"{listener.protocol} listeners{'' if path is None else ' yet: no host runs proxies'}"
    )


def require_pool(pool: PoolWords) -> None:
    """That some path could serve it, whatever leads to it. Raises Unsupported."""
    served = [path for path in PATHS if path.is_served]
    if not any(not _obstacles_of_pool(path, pool) for path in served):
        best = [_obstacles_of_pool(path, pool) for path in served if pool.protocol in path.pools]
        words = best[-1] if best else [f"protocol {pool.protocol}"]
        raise Unsupported(f"{' and '.join(words)} is not offered for {pool.protocol} pools")


def _obstacles(path: DataPath, listener: ListenerWords, pools: list[PoolWords]) -> list[str]:
    """What of that the path cannot, in words."""
    found = [word for pool in pools for word in _obstacles_of_pool(path, pool)]
    if listener.protocol not in path.listeners:
        found.append(f"protocol {listener.protocol}")
    is_limited = listener.connection_limit != UNLIMITED and listener.protocol not in NOT_COUNTED
    if is_limited and "connection_limit" not in path.options:
        found.append("a connection limit")
    if listener.allowed_cidrs and "allowed_cidrs" not in path.options:
        found.append("a list of allowed CIDRs")
    return found


def _obstacles_of_pool(path: DataPath, pool: PoolWords) -> list[str]:
    found = []
    if pool.protocol not in path.pools:
        found.append(f"a pool of protocol {pool.protocol}")
    if pool.lb_algorithm not in path.algorithms:
        found.append(f"lb_algorithm {pool.lb_algorithm}")
    persistence = (pool.session_persistence or {}).get("type")
    if persistence is not None and persistence not in path.persistence:
        found.append(f"session persistence of type {persistence}")
    if pool.tls_enabled and "tls_enabled" not in path.options:
        found.append("TLS to members")
    return found
