"""Load balancers in the host API: what a host is sent of one, and what it reports.

A host that has a balancer has a station of it: a network namespace with the virtual address, from
where members are probed and, for listeners that need one, where a proxy runs. A spec says all of
that. It is read strictly, as a server's is (messages.py).
"""

from __future__ import annotations

import msgspec

from kumoi.cloud.hostapi.messages import Strict
from kumoi.cloud.hostapi.things import Message, NotUnderstood, Thing, ThingKey, raw

LOAD_BALANCER = "load_balancer"
"""The kind of such a thing."""

ONLINE, ERROR = "ONLINE", "ERROR"


class StationLink(Strict, frozen=True, kw_only=True):
    """Where a host plugs the balancer in. `port_id` names the port of the network, `address` with a
    prefix is the station's own, known to nobody but the balancer's router, which is `gateway`. What
    is sent to the virtual address comes to the station whose ports, `first_port` to `last_port`, it
    is for; listeners have the lowest of these. ICMP comes to all, and one `answers_ping`.
    """

    id: str
    port_id: str
    mac: str
    mtu: int
    address: str
    gateway: str
    gateway_mac: str
    first_port: int
    first_free_port: int
    last_port: int
    answers_ping: bool = True


class MonitorSpec(Strict, frozen=True, kw_only=True):
    """How members are probed, in the API's words. Times are in seconds."""

    type: str
    delay_s: int
    timeout_s: int
    max_retries: int
    max_retries_down: int
    http_method: str = "GET"
    url_path: str = "/"
    expected_codes: str = "200"
    http_version: str = "1.0"
    domain_name: str = ""


class MemberSpec(Strict, frozen=True, kw_only=True):
    """`monitor_address` and `monitor_port` are where it is probed, where that is elsewhere. `health` is
    what hosts said of it last, for one that knows nothing of it yet.
    """

    id: str
    address: str
    port: int
    weight: int = 1
    backup: bool = False
    monitor_address: str = ""
    monitor_port: int = 0
    health: str = ""


class MemberTlsSpec(Strict, frozen=True, kw_only=True):
    """How members are spoken to by TLS: `certificate` is shown to them, as PEM with its key and chain;
    whoever is not signed by the `authority`, or is revoked, is not spoken to. Without an authority
    anybody is. What is empty is as the proxy has it.
    """

    certificate: str = ""
    authority: str = ""
    revocations: str = ""
    ciphers: str = ""
    versions: list[str] = msgspec.field(default_factory=list)
    alpn: list[str] = msgspec.field(default_factory=list)


class PoolSpec(Strict, frozen=True, kw_only=True):
    """Only members that are not switched off. Without a monitor all of them count as working. With
    `tls` members are spoken to by TLS, as `tls_with` says; whoever they are, where it is missing.
    """

    id: str
    protocol: str
    algorithm: str = "ROUND_ROBIN"
    persistence: dict[str, str] = msgspec.field(default_factory=dict)
    members: list[MemberSpec] = msgspec.field(default_factory=list)
    monitor: MonitorSpec | None = None
    tls: bool = False
    tls_with: MemberTlsSpec | None = None


class L7RuleSpec(Strict, frozen=True, kw_only=True):
    """In the API's words."""

    id: str
    type: str
    compare_type: str
    value: str
    key: str = ""
    invert: bool = False


class L7PolicySpec(Strict, frozen=True, kw_only=True):
    """What becomes of requests that all its rules fit, in the API's words."""

    action: str
    redirect_pool_id: str = ""
    redirect_url: str = ""
    redirect_prefix: str = ""
    redirect_http_code: int = 0
    rules: list[L7RuleSpec] = msgspec.field(default_factory=list)


class TlsSpec(Strict, frozen=True, kw_only=True):
    """How a listener ends TLS. `certificates` are PEM with their key and chain, the default one first;
    the authority and its revocations are those of clients. What is empty is as the proxy has it. HSTS is
    the whole value of its header.
    """

    certificates: list[str]
    client_authority: str = ""
    client_revocations: str = ""
    client_authentication: str = "NONE"
    ciphers: str = ""
    versions: list[str] = msgspec.field(default_factory=list)
    alpn: list[str] = msgspec.field(default_factory=list)
    hsts: str = ""


class ProxiedListener(Strict, frozen=True, kw_only=True):
    """A listener that a proxy serves; its policies are those that are switched on, by position. `port` is the API's, `station_port` where the station listens.
    Times are in milliseconds; a `connection_limit` of -1 is none.
    """

    id: str
    protocol: str
    port: int
    station_port: int
    pool_id: str = ""
    connection_limit: int = -1
    insert_headers: dict[str, str] = msgspec.field(default_factory=dict)
    timeout_client_data: int = 50_000
    timeout_member_connect: int = 5_000
    timeout_member_data: int = 50_000
    timeout_tcp_inspect: int = 0
    allowed_cidrs: list[str] = msgspec.field(default_factory=list)
    policies: list[L7PolicySpec] = msgspec.field(default_factory=list)
    tls: TlsSpec | None = None


class BalancerOnHost(Strict, frozen=True, kw_only=True):
    """`address` is the virtual one."""

    address: str
    station: StationLink
    listeners: list[ProxiedListener] = msgspec.field(default_factory=list)
    pools: list[PoolSpec] = msgspec.field(default_factory=list)


class BalancerThing(BalancerOnHost, frozen=True, kw_only=True):
    """A spec with its thing's id and generation, as a host's code gets it."""

    id: str
    generation: int


class ListenerCounters(Message, frozen=True, kw_only=True):
    """Since the process began, but for `active_connections`, which are those of now."""

    active_connections: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    request_errors: int = 0
    total_connections: int = 0


class BalancerStatus(Message, frozen=True, kw_only=True):
    """`members` is the state of each that is monitored and whose state is known: ONLINE or ERROR, by
    its id; `counters` are those of listeners that a proxy serves, by their id.
    """

    members: dict[str, str] = msgspec.field(default_factory=dict)
    counters: dict[str, ListenerCounters] = msgspec.field(default_factory=dict)


def balancer_thing(balancer: BalancerThing) -> Thing:
    fields = {name: getattr(balancer, name) for name in BalancerOnHost.__struct_fields__}
    key = ThingKey(LOAD_BALANCER, balancer.id)
    return Thing(
        kind=key.kind,
        id=key.id,
        generation=balancer.generation,
        spec=raw(BalancerOnHost(**fields)),
    )


def read_balancer(thing: Thing) -> BalancerThing:
    """Raises NotUnderstood."""
    try:
        spec = msgspec.json.decode(thing.spec, type=BalancerOnHost)
    except msgspec.DecodeError as error:
        raise NotUnderstood(str(error)) from error
    return BalancerThing(id=thing.id, generation=thing.generation, **msgspec.structs.asdict(spec))
