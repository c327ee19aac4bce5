"""Ports: what is accepted and what is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from sqlalchemy.engine import Connection

from kumoi.base.errors import Invalid
from kumoi.cloud.api.network import body, dns, rendering, shapes
from kumoi.cloud.api.network.body import Tags
from kumoi.cloud.api.network.fixed_ip import fixed_ip_requests
from kumoi.cloud.api.network.rendering import Shown
from kumoi.cloud.api.network.resource import Resource
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.network import port as domain
from kumoi.cloud.domain.network.port import PortRequest
from kumoi.cloud.store.network import network as network_store
from kumoi.cloud.store.network.port import Port
from kumoi.engine.http.bounds import AnyObject, Entries, Text
from kumoi.engine.http.request import UNSET, Body, Unset

COLUMNS = {
    "name": "name",
    "network_id": "network_id",
    "admin_state_up": "admin_state_up",
    "status": "status",
    "device_id": "device_id",
    "device_owner": "device_owner",
    "port_security_enabled": "port_security_enabled",
    "binding:host_id": "host",
    "binding:vnic_type": "vnic_type",
    "qos_policy_id": "qos_policy_id",
}
RENAMED = {
    "host": "binding:host_id",
    "vnic_type": "binding:vnic_type",
    "profile": "binding:profile",
}
VNIC_TYPES = ("normal",)  # What a veth pair is.
UNBOUND = "unbound"
PROFILE_MAX = 4_095  # Bytes of JSON.
VERSIONS = (4, 6)
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
PAIRS_MAX = 10  # Each becomes flows on the port's host.


class DhcpOptionBody(Body):
    opt_name: Name
    opt_value: Name | None
    ip_version: int | Unset | None = UNSET


class PortChanges(Body, rename=RENAMED):
    name: Text | Unset = UNSET
    description: Text | Unset = UNSET
    admin_state_up: bool | Unset = UNSET
    mac_address: Text | Unset | None = UNSET
    fixed_ips: Entries[shapes.FixedIpBody] | Unset | None = UNSET
    device_id: Text | Unset | None = UNSET
    device_owner: Text | Unset | None = UNSET
    port_security_enabled: bool | Unset = UNSET
    security_groups: Entries[Text] | Unset | None = UNSET
    allowed_address_pairs: Entries[shapes.AddressPairBody] | Unset | None = UNSET
    host: Text | Unset | None = UNSET
    vnic_type: Text | Unset = UNSET
    profile: AnyObject | Unset | None = UNSET
    extra_dhcp_opts: Entries[DhcpOptionBody] | Unset | None = UNSET
    qos_policy_id: Text | Unset | None = UNSET
    dns_name: Text | Unset = UNSET


class PortNew(PortChanges, kw_only=True, rename=RENAMED):
    network_id: Text
    project_id: Text | Unset = UNSET
    tenant_id: Text | Unset = UNSET
    tags: Tags | Unset = UNSET


def _convert(_request: Request, values: dict[str, Any]) -> None:
    body.convert(values, "network_id", shapes.uuid)
    body.convert(values, "qos_policy_id", shapes.uuid)
    body.convert(values, "dns_name", dns.name)
    if "profile" in values:
        values["profile"] = _profile(values["profile"] or {})
    for name in ("device_id", "device_owner", "host"):
        if name in values and values[name] is None:
            values[name] = ""
    if "vnic_type" in values:
        shapes.one_of("binding:vnic_type", values["vnic_type"], VNIC_TYPES)
    if values.get("mac_address", "") is None:
        del values["mac_address"]
    body.convert(values, "mac_address", shapes.mac)
    if "fixed_ips" in values:
        values["fixed_ips"] = fixed_ip_requests("fixed_ips", values["fixed_ips"])
    if "security_groups" in values:
        values["security_group_ids"] = _group_ids(values.pop("security_groups") or ())
    for name, read in (
        ("extra_dhcp_opts", _dhcp_options),
        ("allowed_address_pairs", _address_pairs),
    ):
        if name in values:
            values[name] = read(values[name] or ())


def _profile(profile: dict[str, Any]) -> dict[str, Any]:
    if len(msgspec.json.encode(profile)) > PROFILE_MAX:
        raise shapes.invalid("binding:profile", f"it is longer than {PROFILE_MAX} bytes")
    return profile


def _dhcp_options(bodies: Sequence[DhcpOptionBody]) -> list[list[str | None]]:
    """[name, value, IP version] of each. Raises Invalid for a name that is twice there."""
    options: list[list[str | None]] = []
    for option in bodies:
        version = option.ip_version if isinstance(option.ip_version, int) else VERSIONS[0]
        if version not in VERSIONS:
            raise shapes.invalid("extra_dhcp_opts", f"'{version}' is not in {list(VERSIONS)}")
        options.append([option.opt_name, option.opt_value, str(version)])
    if len({(name, version) for name, _, version in options}) < len(options):
        raise shapes.invalid("extra_dhcp_opts", "Duplicate items in the list")
    return options


def _group_ids(groups: Sequence[str]) -> list[str]:
    if len(set(groups)) < len(groups):
        raise shapes.invalid("security_groups", "Duplicate items in the list")
    return [shapes.uuid("security_groups", group) for group in groups]


def _address_pairs(bodies: Sequence[shapes.AddressPairBody]) -> list[list[str | None]]:
    """[address, MAC or None] without repetitions. Raises Invalid."""
    field = "allowed_address_pairs"
    if len(bodies) > PAIRS_MAX:
        raise Invalid(
            f"The number of allowed address pair exceeds the maximum {PAIRS_MAX}.",
            field=field,
            kind="AddressPairExhausted",
        )
    pairs: list[list[str | None]] = []
    for pair in bodies:
        text, mac = pair.ip_address, pair.mac_address
        address = shapes.cidr(field, text) if "/" in text else shapes.address(field, text)
        found = [address, shapes.mac(field, mac) if isinstance(mac, str) else None]
        if found not in pairs:
            pairs.append(found)
    return pairs


def _shown(
    connection: Connection,
    request: Request,
    rows: Sequence[Port],
    tags: Mapping[str, Sequence[str]],
) -> list[Shown]:
    networks = network_store.of_ports(connection, {row.network_id for row in rows})
    shown = [
        _render(row, tags.get(row.id, ()), *networks.get(row.network_id, (None, "")))
        for row in rows
    ]
    if request.caller.may("get_port:binding"):
        for row, port in zip(rows, shown, strict=True):
            port["binding:host_id"] = row.host
            port["binding:profile"] = row.profile
            port["binding:vif_type"] = "ovs" if row.host else UNBOUND
            port["binding:vif_details"] = {"port_filter": True} if row.host else {}
    return shown


def _render(row: Port, tags: Sequence[str], network_policy: str | None, dns_domain: str) -> Shown:
    return {
        "name": row.name,
        "network_id": row.network_id,
        "mac_address": row.mac_address,
        "admin_state_up": row.admin_state_up,
        "status": row.status,
        "device_id": row.device_id,
        "device_owner": row.device_owner,
        "fixed_ips": rendering.fixed_ips(row.fixed_ips),
        "security_groups": row.security_group_ids,
        "port_security_enabled": row.port_security_enabled,
        "allowed_address_pairs": [
            {"ip_address": pair[0], "mac_address": pair[1] or row.mac_address}
            for pair in row.allowed_address_pairs
        ],
        "binding:vnic_type": row.vnic_type,
        "extra_dhcp_opts": [
            {"opt_name": name, "opt_value": value, "ip_version": int(version)}
            for name, value, version in row.extra_dhcp_opts
        ],
        "qos_policy_id": row.qos_policy_id,
        "qos_network_policy_id": network_policy,
        "dns_name": row.dns_name,
        "dns_assignment": [
            dns.assignment(row.dns_name, address, dns_domain) for _, address in row.fixed_ips
        ],
        **rendering.standard(row, tags),
    }


RESOURCE = Resource(
    word="port",
    words="ports",
    new=PortNew,
    changes=PortChanges,
    columns=COLUMNS,
    booleans=frozenset({"admin_state_up", "port_security_enabled"}),
    special=frozenset({"fixed_ips", "security_groups", "mac_address"}),
    wanted=PortRequest,
    convert=_convert,
    make=domain.create,
    get=domain.get,
    page=domain.page,
    change=domain.update,
    remove=domain.delete,
    shown=_shown,
)
