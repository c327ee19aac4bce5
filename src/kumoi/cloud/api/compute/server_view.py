"""How servers are shown, in every version since 2.1. Built for lists of a thousand: what they need
from elsewhere is fetched for all of them together, and what a list shows of a server is kept as long
as the server is the same (engine/memo.py).
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from sqlalchemy.engine import Connection

from kumoi.base.errors import NotFound
from kumoi.cloud.api.compute import rendering
from kumoi.cloud.api.compute.rendering import precise, time
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.compute import address, status
from kumoi.cloud.domain.compute.address import ShownAddress
from kumoi.cloud.domain.host import aggregate
from kumoi.cloud.store.compute.server import Server
from kumoi.cloud.store.host import host as host_store
from kumoi.engine.http.request import encoded
from kumoi.engine.http.versions import Version
from kumoi.engine.memo import Memo

WITH_PROGRESS = frozenset(
    {"ACTIVE", "BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE", "REBOOT", "MIGRATING"}
)
WITH_FAULT = frozenset({"ERROR", "DELETED"})

HOST_STATUS = "os_compute_api:servers:show:host_status"
EXTENDED = "os_compute_api:os-extended-server-attributes"


@dataclass(frozen=True, slots=True)
class ServerContext:
    """What servers show that is not in their rows."""

    addresses: Mapping[str, Sequence[ShownAddress]]
    groups: Mapping[str, Sequence[str]]
    host_states: Mapping[str, str]
    zones: Mapping[str, str]

    def of(self, row: Server) -> _Elsewhere:
        return _Elsewhere(
            tuple(self.addresses.get(row.id, ())),
            tuple(self.groups.get(row.id, ())),
            self.host_states.get(row.host_id or "", ""),
            aggregate.zone_of(self.zones, row),
        )


class _Elsewhere(NamedTuple):
    """What one server shows that is not in its row."""

    addresses: tuple[ShownAddress, ...]
    groups: tuple[str, ...]
    host_state: str
    zone: str


class _Reader(NamedTuple):
    """What is shown depends on who asks only so far."""

    version: Version
    base: str
    sees_extended: bool


def _reader(request: Request) -> _Reader:
    return _Reader(request.microversion, request.base, request.caller.may(EXTENDED))


def context(connection: Connection, request: Request, rows: Sequence[Server]) -> ServerContext:
    """For all of them, in a few queries."""
    ids = [row.id for row in rows]
    found = address.of(connection, ids)
    states: dict[str, str] = {}
    if request.microversion >= (2, 16) and request.caller.may(HOST_STATUS):
        states = host_store.states(connection)
    return ServerContext(found.addresses, found.groups, states, aggregate.zones(connection))


def brief(request: Request, row: Server) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "links": rendering.links(request, f"servers/{row.id}"),
    }


def details(request: Request, rows: Sequence[Server], context: ServerContext) -> list[msgspec.Raw]:
    reader = _reader(request)
    return [_SHOWN.get((row,), reader, context.of(row)) for row in rows]


def _encode(nouns: tuple[Server], reader: _Reader, elsewhere: _Elsewhere) -> msgspec.Raw:
    return encoded(_detail(reader, *nouns, elsewhere, single=False))


_SHOWN = Memo(_encode)


def one(request: Request, row: Server, context: ServerContext) -> dict[str, Any]:
    """Shows a little more than lists do."""
    return _detail(_reader(request), row, context.of(row), single=True)


def updated(
    request: Request, row: Server, context: ServerContext, *, rebuilt: bool = False
) -> dict[str, Any]:
    """After PUT and rebuild: since 2.75 as a GET, before that less."""
    shown = one(request, row, context)
    version = request.microversion
    if version >= (2, 75):
        if rebuilt:
            shown["user_data"] = row.user_data
            shown.pop("OS-EXT-SRV-ATTR:user_data", None)
        return shown
    dropped = [
        name
        for name in shown
        if name.startswith(("OS-EXT-", "OS-SRV-USG:", "os-extended-"))
        or name in {"config_drive", "security_groups", "host_status"}
    ]
    for name in dropped:
        del shown[name]
    shown["addresses"] = plain_addresses(context.addresses.get(row.id, ()))
    if not (rebuilt and version >= (2, 54)):
        del shown["key_name"]
    if rebuilt and version >= (2, 57):
        shown["user_data"] = row.user_data
    return shown


def _detail(reader: _Reader, row: Server, elsewhere: _Elsewhere, *, single: bool) -> dict[str, Any]:
    version, base = reader.version, reader.base
    now = status.of(row)
    shown: dict[str, Any] = {
        "id": row.id,
        "name": row.name,
        "status": now.status,
        "tenant_id": row.project_id,
        "user_id": row.user_id,
        "metadata": row.metadata,
        "hostId": _host_hash(row.project_id, row.host_id),
        "image": "" if row.image_id is None else _linked(base, "images", row.image_id),
        "flavor": _flavor(row) if version >= (2, 47) else _linked(base, "flavors", row.flavor_id),
        "created": time(row.created_at),
        "updated": time(row.updated_at),
        "addresses": _addresses(elsewhere.addresses),
        "accessIPv4": row.access_ipv4,
        "accessIPv6": row.access_ipv6,
        "links": [
            {"rel": "self", "href": f"{base}/v2.1/servers/{row.id}"},
            {"rel": "bookmark", "href": f"{base}/servers/{row.id}"},
        ],
        "OS-DCF:diskConfig": row.disk_config,
        "OS-EXT-AZ:availability_zone": elsewhere.zone,
        "config_drive": "True" if row.config_drive else "",
        "key_name": row.key_name,
        "OS-SRV-USG:launched_at": precise(row.launched_at),
        "OS-SRV-USG:terminated_at": precise(row.terminated_at),
        "OS-EXT-STS:task_state": now.task_state,
        "OS-EXT-STS:vm_state": now.vm_state,
        "OS-EXT-STS:power_state": now.power_state,
        "os-extended-volumes:volumes_attached": [],
    }
    if elsewhere.groups:
        shown["security_groups"] = [{"name": name} for name in elsewhere.groups]
    if now.status in WITH_PROGRESS:
        shown["progress"] = 0
    if now.status in WITH_FAULT and row.fault is not None:
        shown["fault"] = _fault(row, single=single)
    if reader.sees_extended:
        _add_for_admin(shown, row, version, elsewhere.host_state)
    _add_newer(shown, row, version, single=single)
    return shown


def _add_for_admin(shown: dict[str, Any], row: Server, version: Version, host_state: str) -> None:
    shown["OS-EXT-SRV-ATTR:host"] = row.host_id
    shown["OS-EXT-SRV-ATTR:hypervisor_hostname"] = row.host_id
    shown["OS-EXT-SRV-ATTR:instance_name"] = f"instance-{row.id[:8]}"
    if version >= (2, 3):
        shown["OS-EXT-SRV-ATTR:reservation_id"] = row.reservation_id
        shown["OS-EXT-SRV-ATTR:launch_index"] = row.launch_index
        shown["OS-EXT-SRV-ATTR:hostname"] = row.hostname
        shown["OS-EXT-SRV-ATTR:kernel_id"] = ""
        shown["OS-EXT-SRV-ATTR:ramdisk_id"] = ""
        shown["OS-EXT-SRV-ATTR:root_device_name"] = "/dev/root"
        shown["OS-EXT-SRV-ATTR:user_data"] = row.user_data
    if version >= (2, 16):
        shown["host_status"] = host_state


def _add_newer(shown: dict[str, Any], row: Server, version: Version, *, single: bool) -> None:
    """What later versions show to everybody."""
    if version >= (2, 9):
        shown["locked"] = bool(row.locked_by)
    if version >= (2, 19):
        shown["description"] = row.description
    if version >= (2, 26):
        shown["tags"] = row.tags
    if version >= (2, 63):
        shown["trusted_image_certificates"] = None
    if version >= (2, 71) and single:
        shown["server_groups"] = [row.group_id] if row.group_id else []
    if version >= (2, 73):
        shown["locked_reason"] = row.locked_reason
    if version >= (2, 90):
        shown["OS-EXT-SRV-ATTR:hostname"] = row.hostname
    if version >= (2, 96):
        shown["pinned_availability_zone"] = row.zone


def _linked(base: str, words: str, key: str) -> dict[str, Any]:
    href = f"{base}/{words}/{key}"
    return {"id": key, "links": [{"rel": "bookmark", "href": href}]}


def _flavor(row: Server) -> dict[str, Any]:
    return {
        "original_name": row.flavor_name,
        "vcpus": row.vcpus,
        "ram": row.ram_mib,
        "disk": row.disk_gib,
        "ephemeral": row.ephemeral_gib,
        "swap": row.swap_mib,
        "extra_specs": row.extra_specs,
    }


def _fault(row: Server, *, single: bool) -> dict[str, Any]:
    fault: dict[str, Any] = {
        "code": 500,
        "created": time(row.fault_at or row.updated_at),
        "message": row.fault,
    }
    if single:
        fault["details"] = row.fault
    return fault


def _addresses(listed: Sequence[ShownAddress]) -> dict[str, list[dict[str, Any]]]:
    """By the network's name."""
    shown: dict[str, list[dict[str, Any]]] = {}
    for entry in listed:
        shown.setdefault(entry.network_name, []).append(
            {
                "addr": entry.address,
                "version": entry.version,
                "OS-EXT-IPS:type": "floating" if entry.floating else "fixed",
                "OS-EXT-IPS-MAC:mac_addr": entry.mac,
            }
        )
    return shown


def plain_addresses(listed: Sequence[ShownAddress]) -> dict[str, list[dict[str, Any]]]:
    """As the list of a server's addresses has them."""
    return {
        name: [{"addr": entry["addr"], "version": entry["version"]} for entry in shown]
        for name, shown in _addresses(listed).items()
    }


def no_network(name: str) -> NotFound:
    return NotFound("network", name, message="Network not found")


@functools.lru_cache(maxsize=65_536)
def _host_hash(project_id: str, host_id: str | None) -> str:
    """Tells a project which of its servers share a host, and not which host."""
    if host_id is None:
        return ""
    return hashlib.sha224(f"{project_id}{host_id}".encode()).hexdigest()
