"""Subnet pools: address space from which subnets are cut."""

from __future__ import annotations

import bisect
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Conflict, Invalid, NotFound, OverQuota
from kumoi.base.ids import new_id
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.network import address_scope, allocation, quota
from kumoi.cloud.domain.network.allocation import EUI64_PREFIX_MAX, IPV4, IPV6, IpNetwork, Span
from kumoi.cloud.store.network import subnet as subnet_store
from kumoi.cloud.store.network import subnet_pool as store
from kumoi.cloud.store.network.standard import NetworkQuery
from kumoi.cloud.store.network.subnet_pool import SubnetPool

PREFIX_MIN = {IPV4: 8, IPV6: EUI64_PREFIX_MAX}
PREFIXES_MAX = 1_000  # Of one pool, added and removed one by one.
PREFIX_MAX = {IPV4: 32, IPV6: 128}
ADMIN_ONLY = ("shared", "is_default")


@dataclass(frozen=True, slots=True, kw_only=True)
class SubnetPoolRequest:
    project_id: str
    name: str
    prefixes: tuple[str, ...]
    description: str = ""
    min_prefixlen: int | None = None
    max_prefixlen: int | None = None
    default_prefixlen: int | None = None
    default_quota: int | None = None
    shared: bool = False
    is_default: bool = False
    address_scope_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixRequest:
    """A prefix to take out of a pool for a subnet: a certain `cidr`, or any of length `prefixlen`,
    or any of the pool's default length.
    """

    project_id: str
    ip_version: int
    cidr: str | None
    prefixlen: int | None


def create(
    connection: Connection, caller: Caller, wanted: SubnetPoolRequest, now: datetime
) -> SubnetPool:
    """Raises Forbidden, OverQuota, and Invalid for prefixes or lengths that do not fit."""
    caller.check("create_subnetpool", wanted.project_id)
    for name in ADMIN_ONLY:
        if getattr(wanted, name):
            caller.check(f"create_subnetpool:{name}")
    quota.require(connection, wanted.project_id, "subnetpool")
    version, prefixes = _merged(wanted.prefixes)
    shortest = PREFIX_MIN[version] if wanted.min_prefixlen is None else wanted.min_prefixlen
    longest = PREFIX_MAX[version] if wanted.max_prefixlen is None else wanted.max_prefixlen
    usual = shortest if wanted.default_prefixlen is None else wanted.default_prefixlen
    _require_lengths(version, shortest, usual, longest)
    if wanted.is_default:
        _require_only_default(connection, version)
    row = SubnetPool(
        id=new_id(),
        project_id=wanted.project_id,
        name=wanted.name,
        description=wanted.description,
        ip_version=version,
        prefixes=prefixes,
        min_prefixlen=shortest,
        max_prefixlen=longest,
        default_prefixlen=usual,
        default_quota=wanted.default_quota,
        shared=wanted.shared,
        is_default=wanted.is_default,
        created_at=now,
        updated_at=now,
        revision_number=0,
        address_scope_id=wanted.address_scope_id,
    )
    _require_scope(connection, caller, row)
    store.insert(connection, row)
    return row


def get(connection: Connection, caller: Caller, key: str) -> SubnetPool:
    """Raises NotFound when there is no such pool that the caller may see."""
    row = store.get(connection, key)
    if row is None or not (row.shared or caller.may("get_subnetpool", row.project_id)):
        raise NotFound("subnet pool", key, kind="SubnetPoolNotFound")
    return row


def default(connection: Connection, caller: Caller, ip_version: int) -> SubnetPool:
    """The pool that a subnet is taken from when the request names none. Raises Invalid."""
    for row in store.find(connection, is_default=True, ip_version=ip_version):
        if row.shared or caller.may("get_subnetpool", row.project_id):
            return row
    raise Invalid(
        f"Bad subnets request: No default subnetpool found for IPv{ip_version}.", kind="BadRequest"
    )


def page(connection: Connection, caller: Caller, query: NetworkQuery) -> list[SubnetPool]:
    return store.page(connection, query, project_id=caller.reach("get_subnetpool"))


def update(
    connection: Connection, caller: Caller, key: str, values: Mapping[str, Any], now: datetime
) -> SubnetPool:
    """Raises as `create` does; prefixes may only grow."""
    row = _owned(connection, caller, key, "update_subnetpool")
    for name in ADMIN_ONLY:
        if name in values:
            caller.check(f"update_subnetpool:{name}")
    new = dict(values)
    if "prefixes" in new:
        new["prefixes"] = _grown(row, new["prefixes"])
    _require_lengths(
        row.ip_version,
        new.get("min_prefixlen", row.min_prefixlen),
        new.get("default_prefixlen", row.default_prefixlen),
        new.get("max_prefixlen", row.max_prefixlen),
    )
    if new.get("is_default") and not row.is_default:
        _require_only_default(connection, row.ip_version)
    if "address_scope_id" in new or "prefixes" in new:
        _require_scope(connection, caller, replace(row, **new))
    store.update(connection, key, now=now, **new)
    return get(connection, caller, key)


def add_prefixes(
    connection: Connection, caller: Caller, key: str, prefixes: Sequence[str], now: datetime
) -> SubnetPool:
    """Raises as `update` does."""
    row = get(connection, caller, key)
    _, merged = _merged([*row.prefixes, *prefixes])
    _require_few(merged)
    return update(connection, caller, key, {"prefixes": merged}, now)


def remove_prefixes(
    connection: Connection, caller: Caller, key: str, prefixes: Sequence[str], now: datetime
) -> SubnetPool:
    """Those that the pool does not have are ignored. Raises Invalid when a subnet has part of one,
    or nothing would be left.
    """
    row = _owned(connection, caller, key, "update_subnetpool")
    version, removed = _merged(prefixes)
    if version != row.ip_version:
        return row
    spans = [allocation.span(prefix) for prefix in removed]
    left = without(row.prefixes, removed)
    if left == row.prefixes:
        return row
    for subnet in subnet_store.of_pool(connection, key):
        if any(allocation.span(subnet.cidr).overlaps(span) for span in spans):
            raise Invalid(
                "Illegal update to prefixes: One or more the prefixes to be removed is in use by a "
                "subnet.",
                kind="IllegalSubnetPoolPrefixUpdate",
            )
    _, merged = _merged(left)
    _require_few(merged)
    store.update(connection, key, now=now, prefixes=merged)
    return get(connection, caller, key)


def without(prefixes: Iterable[str], removed: Iterable[str]) -> list[str]:
    """The prefixes less the others, all of one version. Pure."""
    left = [ipaddress.ip_network(prefix) for prefix in prefixes]
    for hole in map(ipaddress.ip_network, removed):
        left = [part for each in left for part in _less(each, hole)]
    return [str(each) for each in left]


def _require_scope(connection: Connection, caller: Caller, row: SubnetPool) -> None:
    """Raises NotFound for a scope that the caller does not see; Invalid for one of another project, another
    IP version or, where the pool is shared, one that is not; Conflict where another pool of the scope has
    some of the prefixes.
    """
    key = row.address_scope_id
    if key is None:
        return
    scope = address_scope.get(connection, caller, key)
    if not caller.may("update_address_scope", scope.project_id):
        raise address_scope.illegal(row.id, key)
    if scope.ip_version != row.ip_version:
        raise Invalid(
            f"Illegal subnetpool association: subnetpool {row.id} cannot associate with address scope "
            f"{key} because subnetpool ip_version is not {scope.ip_version}.",
            field="address_scope_id",
            kind="IllegalSubnetPoolIpVersionAssociationToAddressScope",
        )
    if row.shared and not scope.shared:
        raise address_scope.illegal(row.id, key)
    for other in store.find(connection, address_scope_id=key):
        if other.id != row.id and _overlap(row.prefixes, other.prefixes):
            raise Conflict(
                f"Failed to associate address scope: subnetpools within an address scope must have "
                f"unique prefixes, and those of {row.id} and {other.id} overlap.",
                kind="AddressScopePrefixConflict",
            )


def _overlap(some: Sequence[str], others: Sequence[str]) -> bool:
    """Whether two lists of prefixes, of which neither overlaps in itself, have an address in common."""
    spans = sorted(map(allocation.span, (*some, *others)), key=lambda span: span.first)
    return any(before.overlaps(after) for before, after in pairwise(spans))


def _require_few(prefixes: Sequence[str]) -> None:
    """Raises Invalid for a pool that would be in too many pieces."""
    if len(prefixes) > PREFIXES_MAX:
        raise Invalid(
            f"Illegal update to prefixes: The pool would have more than {PREFIXES_MAX} prefixes.",
            kind="IllegalSubnetPoolPrefixUpdate",
        )


def _less(network: IpNetwork, hole: IpNetwork) -> Iterable[IpNetwork]:
    """What is left of a network. Of two networks, one holds the other or they are apart."""
    if not network.overlaps(hole):
        return [network]
    if network.prefixlen >= hole.prefixlen:
        return []
    if isinstance(network, ipaddress.IPv4Network) and isinstance(hole, ipaddress.IPv4Network):
        return network.address_exclude(hole)
    if isinstance(network, ipaddress.IPv6Network) and isinstance(hole, ipaddress.IPv6Network):
        return network.address_exclude(hole)
    return [network]


def delete(connection: Connection, caller: Caller, key: str, _now: datetime) -> None:
    """Raises NotFound, and Invalid while a subnet has a prefix of the pool."""
    _owned(connection, caller, key, "delete_subnetpool")
    if subnet_store.of_pool(connection, key):
        raise Invalid(
            "Unable to delete subnet pool: Subnet pool has existing allocations.",
            kind="SubnetPoolDeleteError",
        )
    store.delete(connection, key)


def allocate(connection: Connection, caller: Caller, key: str, wanted: PrefixRequest) -> str:
    """A prefix of the pool that no subnet has; the subnet's row makes it taken.

    Raises Invalid, OverQuota, and Conflict when there is none.
    """
    row = get(connection, caller, key)
    if row.ip_version != wanted.ip_version:
        raise Invalid(
            "Cannot allocate requested subnet from the available set of prefixes",
            kind="SubnetPoolVersionMismatch",
        )
    taken = subnet_store.of_pool(connection, key)
    busy = [allocation.span(subnet.cidr) for subnet in taken]
    if wanted.cidr is not None:
        chosen = ipaddress.ip_network(wanted.cidr)
        _require_length(row, chosen.prefixlen)
        span = allocation.span(wanted.cidr)
        is_taken = any(span.overlaps(other) for other in busy)
        if is_taken or not any(allocation.span(prefix).holds(span) for prefix in row.prefixes):
            raise no_room("Cannot allocate requested subnet from the available set of prefixes")
    else:
        length = row.default_prefixlen if wanted.prefixlen is None else wanted.prefixlen
        _require_length(row, length)
        found = cut(row.prefixes, busy, length)
        if found is None:
            raise no_room(
                f"Failed to allocate subnet: Insufficient prefix space to allocate subnet size "
                f"/{length}"
            )
        chosen = found
    if row.default_quota is not None:
        cidrs = [subnet.cidr for subnet in taken if subnet.project_id == wanted.project_id]
        used = sum(_size(ipaddress.ip_network(cidr)) for cidr in (*cidrs, str(chosen)))
        if used > row.default_quota:
            raise OverQuota("Per-project subnet pool prefix quota exceeded.", resource="subnetpool")
    return str(chosen)


def cut(prefixes: Sequence[str], taken: Iterable[Span], length: int) -> IpNetwork | None:
    """The lowest network of that length inside the prefixes that overlaps with no taken one. Pure."""
    busy = sorted((span.first, span.last) for span in taken)
    for prefix in (ipaddress.ip_network(text) for text in prefixes):
        if prefix.prefixlen > length:
            continue
        size = 1 << (prefix.max_prefixlen - length)
        start, end = int(prefix.network_address), int(prefix.broadcast_address)
        for first, last in busy:
            if last < start:
                continue
            if first >= start + size:
                break
            start = (last // size + 1) * size
        if start + size - 1 <= end:
            make = ipaddress.IPv4Network if prefix.version == IPV4 else ipaddress.IPv6Network
            return make((start, length))
    return None


def no_room(message: str) -> Conflict:
    return Conflict(message, kind="SubnetAllocationError")


def _owned(connection: Connection, caller: Caller, key: str, action: str) -> SubnetPool:
    row = get(connection, caller, key)
    caller.check(action, row.project_id)
    return row


def _merged(prefixes: Sequence[str]) -> tuple[int, list[str]]:
    """The IP version of the prefixes, and the prefixes with adjacent ones merged. Raises Invalid."""
    networks = [ipaddress.ip_network(prefix) for prefix in prefixes]
    versions = {network.version for network in networks}
    if len(versions) != 1:
        raise Invalid(
            "Cannot mix IPv4 and IPv6 prefixes in a subnet pool."
            if versions
            else "Empty subnet pool prefix list.",
            field="prefixes",
            kind="PrefixVersionMismatch" if versions else "EmptySubnetPoolPrefixList",
        )
    four = [network for network in networks if isinstance(network, ipaddress.IPv4Network)]
    six = [network for network in networks if isinstance(network, ipaddress.IPv6Network)]
    merged: list[IpNetwork] = [
        *ipaddress.collapse_addresses(four),
        *ipaddress.collapse_addresses(six),
    ]
    return versions.pop(), [str(network) for network in merged]


def _grown(row: SubnetPool, prefixes: Sequence[str]) -> list[str]:
    """The prefixes of a changed pool. Raises Invalid when one of the present ones is missing."""
    version, merged = _merged(prefixes)
    if version != row.ip_version or not _all_within(row.prefixes, merged):
        raise Invalid(
            "Illegal update to prefixes: Existing prefixes must be a subset of the new prefixes.",
            kind="IllegalSubnetPoolPrefixUpdate",
        )
    return merged


def _require_lengths(version: int, shortest: int, usual: int, longest: int) -> None:
    bounds = (("min_prefixlen", shortest), ("default_prefixlen", usual), ("max_prefixlen", longest))
    for name, length in bounds:
        if not 0 <= length <= PREFIX_MAX[version]:
            raise Invalid(
                f"Prefix '{length}' not supported in IPv{version} pool.",
                field=name,
                kind="UnsupportedMinSubnetPoolPrefix",
            )
    for (name, low), (other, high) in pairwise(bounds):
        if low > high:
            raise Invalid(
                f"Illegal prefix bounds: {name}={low}, {other}={high}.",
                field=name,
                kind="IllegalSubnetPoolPrefixBounds",
            )


def _require_length(row: SubnetPool, length: int) -> None:
    if length < row.min_prefixlen:
        raise Invalid(
            f"Unable to allocate subnet with prefix length {length}, minimum allowed prefix is "
            f"{row.min_prefixlen}.",
            kind="MinPrefixSubnetAllocationError",
        )
    if length > row.max_prefixlen:
        raise Invalid(
            f"Unable to allocate subnet with prefix length {length}, maximum allowed prefix is "
            f"{row.max_prefixlen}.",
            kind="MaxPrefixSubnetAllocationError",
        )


def _require_only_default(connection: Connection, version: int) -> None:
    if store.find(connection, is_default=True, ip_version=version):
        raise Invalid(
            f"A default subnetpool for this IP family has already been set. Only one default may "
            f"exist per IP family: IPv{version}",
            field="is_default",
            kind="InvalidInput",
        )


def _all_within(prefixes: Sequence[str], merged: Sequence[str]) -> bool:
    """Whether each of the prefixes lies in one of the others, which are merged and of its version."""
    spans = sorted((allocation.span(each) for each in merged), key=lambda span: span.first)
    starts = [span.first for span in spans]
    for span in map(allocation.span, prefixes):
        at = bisect.bisect_right(starts, span.first) - 1
        if at < 0 or not spans[at].holds(span):
            return False
    return True


def _size(network: IpNetwork) -> int:
    """What a prefix counts for in a quota: its addresses in IPv4, its /64 networks in IPv6."""
    if network.version == IPV4:
        return network.num_addresses
    return max(1, 1 << max(0, EUI64_PREFIX_MAX - network.prefixlen))
