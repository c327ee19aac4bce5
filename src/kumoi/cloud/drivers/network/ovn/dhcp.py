"""DHCP as northbound records. Pure.

Called by switching.py. DHCP is answered from these records on the port's own host: there are no leases,
no DHCP port and no process. A port with options of its own has a record of its own, with those of its
subnet and its own over them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping

from kumoi.cloud.drivers.network.interface import NetworkSpec, PortSpec, SubnetSpec
from kumoi.cloud.drivers.network.ovn.index import Index, is_ipv4, marks
from kumoi.cloud.drivers.network.ovn.northbound import DhcpOptions, RecordKey, RecordKind

SERVER_MAC = "0a:00:00:00:00:01"
"""The DHCP server's MAC. Only the port that asks ever sees it."""
SERVER_WITHOUT_GATEWAY = "169.254.0.1"
LEASE_TIME_S = 43_200
STATEFUL = "dhcpv6-stateful"
STATELESS = "dhcpv6-stateless"
DISABLED = "dhcp_disabled"
"""The option of a port that is not to be answered."""


def records(index: Index) -> Iterator[DhcpOptions]:
    for subnet in index.subnets.values():
        if has_dhcp(subnet):
            yield _record(subnet.id, subnet, _of_subnet(subnet, index.networks[subnet.network_id]))
    for port in index.endpoints.values():
        for version in (4, 6):
            own, theirs = _own(port, version), _subnet_of(port, index, version)
            if own and theirs is not None:
                options = _of_subnet(theirs, index.networks[theirs.network_id]) | own
                yield _record(f"{theirs.id}/{port.id}", theirs, options)


def key_of(port: PortSpec, index: Index, *, ip_version: int) -> RecordKey | None:
    """The record that the port is answered from."""
    subnet = _subnet_of(port, index, ip_version)
    if subnet is None:
        return None
    own = f"/{port.id}" if _own(port, ip_version) else ""
    return RecordKey(RecordKind.DHCP, f"{subnet.id}{own}")


def has_dhcp(subnet: SubnetSpec) -> bool:
    if not subnet.enable_dhcp:
        return False
    return subnet.ip_version == 4 or subnet.ipv6_address_mode in (STATEFUL, STATELESS)  # noqa: PLR2004 - the version


def _subnet_of(port: PortSpec, index: Index, ip_version: int) -> SubnetSpec | None:
    if any(option.name == DISABLED and option.ip_version == ip_version for option in port.dhcp):
        return None
    for fixed_ip in port.fixed_ips:
        subnet = index.subnet_of(fixed_ip)
        if subnet is not None and subnet.ip_version == ip_version and has_dhcp(subnet):
            return subnet
    return None


def _record(own_id: str, subnet: SubnetSpec, options: Mapping[str, str]) -> DhcpOptions:
    key = RecordKey(RecordKind.DHCP, own_id)
    pairs = frozenset(options.items())
    return DhcpOptions(key=key, external_ids=marks(key), cidr=subnet.cidr, options=pairs)


def _of_subnet(subnet: SubnetSpec, network: NetworkSpec) -> dict[str, str]:
    return _options_v4(subnet, network) if is_ipv4(subnet.cidr) else _options_v6(subnet)


def _options_v4(subnet: SubnetSpec, network: NetworkSpec) -> dict[str, str]:
    options = {
        "server_id": subnet.gateway_ip or SERVER_WITHOUT_GATEWAY,
        "server_mac": SERVER_MAC,
        "lease_time": str(LEASE_TIME_S),
        "mtu": str(network.mtu),
    }
    if subnet.gateway_ip:
        options["router"] = subnet.gateway_ip
    if subnet.dns_nameservers:
        options["dns_server"] = _as_set(subnet.dns_nameservers)
    if subnet.host_routes:
        # A client that gets this option ignores the router option (RFC 3442).
        routes = [f"{route.destination},{route.nexthop}" for route in subnet.host_routes]
        if subnet.gateway_ip:
            routes.append(f"0.0.0.0/0,{subnet.gateway_ip}")
        options["classless_static_route"] = _as_set(routes)
    return options


def _options_v6(subnet: SubnetSpec) -> dict[str, str]:
    options = {"server_id": SERVER_MAC}
    if subnet.dns_nameservers:
        options["dns_server"] = _as_set(subnet.dns_nameservers)
    if subnet.ipv6_address_mode == STATELESS:
        options["dhcpv6_stateless"] = "true"
    return options


def _as_set(values: tuple[str, ...] | list[str]) -> str:
    return "{" + ", ".join(values) + "}"


def _own(port: PortSpec, ip_version: int) -> dict[str, str]:
    """What the port's options say in OVN's words. Left out is what OVN does not know, and a value that
    is none of its option: nothing would be answered at all then.
    """
    found: dict[str, str] = {}
    for option in port.dhcp:
        name = NAMES[ip_version].get(option.name) if option.ip_version == ip_version else None
        value = None if name is None else _FORMS.get(name, _addresses)(option.value, ip_version)
        if name is not None and value is not None:
            found[name] = value
    return found


def _text(value: str, _ip_version: int) -> str | None:
    return f'"{value}"' if value.isprintable() and not set(value) & set('"\\') else None


def _number(value: str, _ip_version: int) -> str | None:
    return value if value.isascii() and value.isdecimal() else None


def _addresses(value: str, ip_version: int) -> str | None:
    texts = [text.strip() for text in value.strip("{}").split(",")]
    try:
        addresses = [ipaddress.ip_address(text) for text in texts]
    except ValueError:
        return None
    if any(address.version != ip_version for address in addresses):
        return None
    return texts[0] if len(texts) == 1 else _as_set(texts)


_FORMS: Mapping[str, Callable[[str, int], str | None]] = {
    "domain_name": _text,
    "domain_search_list": _text,
    "domain_search": _text,
    "bootfile_name": _text,
    "bootfile_name_alt": _text,
    "path_prefix": _text,
    "wpad": _text,
    "tftp_server": _text,
    "mtu": _number,
    "lease_time": _number,
    "default_ttl": _number,
    "tcp_ttl": _number,
    "T1": _number,
    "T2": _number,
}
"""How a value is written, where it is not addresses."""

NAMES: Mapping[int, Mapping[str, str]] = {
    4: {
        "router": "router",
        "3": "router",
        "dns-server": "dns_server",
        "6": "dns_server",
        "log-server": "log_server",
        "7": "log_server",
        "domain-name": "domain_name",
        "15": "domain_name",
        "domain-search": "domain_search_list",
        "119": "domain_search_list",
        "ntp-server": "ntp_server",
        "42": "ntp_server",
        "nis-server": "nis_server",
        "41": "nis_server",
        "mtu": "mtu",
        "26": "mtu",
        "default-ttl": "default_ttl",
        "23": "default_ttl",
        "tcp-ttl": "tcp_ttl",
        "37": "tcp_ttl",
        "lease-time": "lease_time",
        "51": "lease_time",
        "T1": "T1",
        "58": "T1",
        "T2": "T2",
        "59": "T2",
        "tftp-server": "tftp_server",
        "66": "tftp_server",
        "bootfile-name": "bootfile_name",
        "67": "bootfile_name",
        "bootfile-name-alt": "bootfile_name_alt",
        "tftp-server-address": "tftp_server_address",
        "150": "tftp_server_address",
        "server-ip-address": "next_server",
        "255": "next_server",
        "path-prefix": "path_prefix",
        "210": "path_prefix",
        "wpad": "wpad",
        "252": "wpad",
    },
    6: {
        "dns-server": "dns_server",
        "23": "dns_server",
        "domain-search": "domain_search",
        "24": "domain_search",
        "bootfile-name": "bootfile_name",
        "59": "bootfile_name",
    },
}
"""What OVN answers, by IP version: the name or the number in a port's options, and OVN's name."""
