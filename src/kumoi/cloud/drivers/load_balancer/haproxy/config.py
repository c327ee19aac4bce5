"""A balancer as HAProxy's configuration. Pure.

`render` gives the text, `servers` what its backends have. Members change at run time (plan.py): the text
has those of now, for the next start, and its `signature` says nothing of them. Where it differs from that
of the process that runs, another must take over. Every word that a tenant chose was checked by the API
and is quoted here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kumoi.cloud.drivers.load_balancer.haproxy import policies, tls
from kumoi.cloud.hostapi.load_balancer import (
    ONLINE,
    BalancerThing,
    MemberSpec,
    PoolSpec,
    ProxiedListener,
)

CONNECTIONS_MAX = 4_000
"""Of a process. Each takes two descriptors, of which a machine may allow 20,000, and room is made for
them at the start.
"""
WEIGHT_MAX = 256
HARD_STOP = "1h"
"""How long the connections of a process may last that another took over from."""
BALANCE = {
    "ROUND_ROBIN": ("balance roundrobin",),
    "LEAST_CONNECTIONS": ("balance leastconn",),
    "SOURCE_IP": ("balance source", "hash-type consistent"),
    "SOURCE_IP_PORT": ("balance source", "hash-type consistent"),
}
SEND_PROXY = {"PROXY": "send-proxy", "PROXYV2": "send-proxy-v2"}
BY_HTTP = frozenset({"HTTP", "TERMINATED_HTTPS"})
STICKY = "stick-table type ip size 10k expire 1h"


@dataclass(frozen=True, slots=True, order=True)
class ProxyServer:
    """A member in a backend. One that is not `ready` gets no connections."""

    backend: str
    name: str
    address: str
    port: int
    weight: int
    ready: bool
    options: str = ""

    @property
    def end(self) -> str:
        return (
            f"[{self.address}]:{self.port}"
            if ":" in self.address
            else f"{self.address}:{self.port}"
        )


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """`files` are what the text names beside itself, by name: certificates with their keys."""

    text: str
    signature: str
    files: Mapping[str, str]
    servers: tuple[ProxyServer, ...]


def render(
    balancer: BalancerThing,
    states: Mapping[str, str],
    *,
    socket: str,
    directory: str,
    descriptors: Mapping[str, int],
) -> ProxyConfig:
    """`states` are those of monitored members, `socket` where the process takes commands, `directory`
    where its files are, `descriptors` the listening sockets that it inherits, by the listener's id.
    """
    known = tuple(sorted(servers(balancer, states, directory)))
    files = tls.files(balancer)
    plain = [*_lines(balancer, socket, directory, dict.fromkeys(descriptors, 0), ())]
    options = [f"{pool.id} {_options(pool, directory)}" for pool in balancer.pools]
    contents = [f"{name} {content}" for name, content in sorted(files.items())]
    told = "\n".join([*plain, *options, *contents])
    signature = hashlib.sha256(told.encode()).hexdigest()[:16]
    lines = _lines(balancer, socket, directory, descriptors, known)
    text = "".join(f"{line}\n" for line in lines).replace(NO_SIGNATURE, signature, 1)
    return ProxyConfig(text, signature, files, known)


NO_SIGNATURE = "SIGNATURE"


def servers(
    balancer: BalancerThing, states: Mapping[str, str], directory: str
) -> Iterator[ProxyServer]:
    """Of all backends: each listener has one of its own for its pool, since time-outs are its own."""
    for listener in balancer.listeners:
        for pool in pools_of(balancer, listener):
            ready = receiving(pool, states)
            for member in pool.members:
                yield ProxyServer(
                    backend=backend_name(listener, pool.id),
                    name=member.id,
                    address=member.address,
                    port=member.port,
                    weight=min(member.weight, WEIGHT_MAX),
                    ready=member.id in ready,
                    options=_options(pool, directory),
                )


def pools_of(balancer: BalancerThing, listener: ProxiedListener) -> list[PoolSpec]:
    """Those that it leads to, by default or by a policy."""
    wanted = {listener.pool_id, *(policy.redirect_pool_id for policy in listener.policies)}
    return [pool for pool in balancer.pools if pool.id in wanted]


def _options(pool: PoolSpec, directory: str) -> str:
    words = [SEND_PROXY.get(pool.protocol, ""), *tls.member_options(pool, directory)]
    return " ".join(word for word in words if word)


def receiving(pool: PoolSpec, states: Mapping[str, str]) -> frozenset[str]:
    """Members that work, or that nobody watches; the backups where no other does."""

    def works(member: MemberSpec) -> bool:
        return pool.monitor is None or states.get(member.id) == ONLINE

    able = [member for member in pool.members if works(member)]
    first = [member for member in able if not member.backup and member.weight > 0]
    drained = [member for member in able if member.weight == 0]
    chosen = [*first, *drained] if first else able
    return frozenset(member.id for member in chosen)


def backend_name(listener: ProxiedListener, pool_id: str) -> str:
    return f"{listener.id}:{pool_id}"


def _lines(
    balancer: BalancerThing,
    socket: str,
    directory: str,
    descriptors: Mapping[str, int],
    known: tuple[ProxyServer, ...],
) -> Iterator[str]:
    yield from (
        "global",
        f"    stats socket {socket} mode 600 level admin",
        "    stats timeout 1m",
        f"    description {NO_SIGNATURE}",
        "    nbthread 1",
        f"    maxconn {CONNECTIONS_MAX}",
        f"    hard-stop-after {HARD_STOP}",
        "defaults",
        "    retries 3",
        "    option redispatch 1",
        "    option dontlognull",
    )
    for listener in balancer.listeners:
        there = pools_of(balancer, listener)
        ids = {pool.id for pool in there}
        yield from _frontend(listener, descriptors[listener.id], ids, directory)
        for pool in there:
            backend = backend_name(listener, pool.id)
            yield from _backend(listener, pool, [one for one in known if one.backend == backend])


def _frontend(
    listener: ProxiedListener, descriptor: int, there: set[str], directory: str
) -> Iterator[str]:
    yield f"frontend {listener.id}"
    yield f"    mode {_mode(listener)}"
    yield " ".join([f"    bind fd@{descriptor}", *tls.options(listener, directory)])
    yield f"    timeout client {listener.timeout_client_data}ms"
    if listener.connection_limit >= 0:
        yield f"    maxconn {listener.connection_limit}"
    if listener.allowed_cidrs:
        yield f"    tcp-request connection reject if !{{ src {' '.join(listener.allowed_cidrs)} }}"
    if _mode(listener) == "http":
        yield "    option idle-close-on-response"
        yield f"    timeout http-request {listener.timeout_client_data}ms"
        yield from _headers(listener)
        yield from (f"    {line}" for line in policies.lines(listener, there))
    elif listener.timeout_tcp_inspect:
        yield f"    tcp-request inspect-delay {listener.timeout_tcp_inspect}ms"
    if listener.pool_id in there:
        yield f"    default_backend {backend_name(listener, listener.pool_id)}"


def _headers(listener: ProxiedListener) -> Iterator[str]:
    said = {key: value.lower() == "true" for key, value in listener.insert_headers.items()}
    if said.get("X-Forwarded-For"):
        yield "    option forwardfor"
    if said.get("X-Forwarded-Port"):
        yield f"    http-request set-header X-Forwarded-Port {listener.port}"
    if said.get("X-Forwarded-Proto"):
        scheme = "https" if listener.tls else "http"
        yield f"    http-request set-header X-Forwarded-Proto {scheme}"
    yield from (f"    {line}" for line in tls.headers(listener, said))


def _backend(listener: ProxiedListener, pool: PoolSpec, known: list[ProxyServer]) -> Iterator[str]:
    yield f"backend {backend_name(listener, pool.id)}"
    yield f"    mode {_mode(listener)}"
    yield from (f"    {line}" for line in BALANCE[pool.algorithm])
    yield from (f"    {line}" for line in _persistence(pool, _mode(listener)))
    yield f"    timeout connect {listener.timeout_member_connect}ms"
    yield f"    timeout server {listener.timeout_member_data}ms"
    yield "    timeout tunnel 1h"
    for one in known:
        words = (f"server {one.name} {one.end} weight {one.weight}", one.options)
        yield "    " + " ".join(
            [word for word in words if word] + ([] if one.ready else ["disabled"])
        )


def _persistence(pool: PoolSpec, mode: str) -> Iterator[str]:
    said = pool.persistence
    kind = said.get("type")
    if kind == "SOURCE_IP":
        yield STICKY
        yield "stick on src"
    if mode != "http":
        return
    match kind:
        case "HTTP_COOKIE":
            yield "cookie SRV insert indirect nocache dynamic"
            yield f"dynamic-cookie-key {pool.id}"
        case "APP_COOKIE":
            name = said["cookie_name"]
            yield "stick-table type string len 64 size 10k expire 1h"
            yield f"stick store-response res.cook({name})"
            yield f"stick match req.cook({name})"


def _mode(listener: ProxiedListener) -> str:
    return "http" if listener.protocol in BY_HTTP else "tcp"
