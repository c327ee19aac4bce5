"""What may be said of a listener of each protocol. Pure; in Octavia's words."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from kumoi.cloud.domain.load_balancer import tls
from kumoi.cloud.domain.load_balancer.refusal import invalid, option

TERMINATED = "TERMINATED_HTTPS"
HEADERS = ("X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto")
TLS_HEADERS = (
    "X-SSL-Client-Verify",
    "X-SSL-Client-Has-Cert",
    "X-SSL-Client-DN",
    "X-SSL-Client-CN",
    "X-SSL-Issuer",
    "X-SSL-Client-SHA1",
    "X-SSL-Client-Not-Before",
    "X-SSL-Client-Not-After",
)
REFERENCES = ("default_tls_container_ref", "sni_container_refs", "client_ca_tls_container_ref")
NO_AUTHENTICATION = "NONE"


def require(protocol: str, said: Mapping[str, Any], changed: Mapping[str, Any]) -> None:
    """`said` is the listener as it is to be, `changed` what is new of it. Raises Invalid."""
    _require_headers(protocol, changed.get("insert_headers") or {})
    _require_references(protocol, said, changed)
    _require_client_authentication(said)
    tls.require(changed)
    _require_hsts(protocol, said)


def require_cidrs(vips: list[str], cidrs: list[str]) -> None:
    """Each is of the version of an address of the balancer. Raises Invalid."""
    versions = {ipaddress.ip_address(vip).version for vip in vips}
    for cidr in cidrs:
        if ipaddress.ip_network(cidr).version not in versions:
            raise invalid(f"CIDR {cidr} IP version incompatible with all VIPs {vips} IP version.")


def networks(cidrs: list[str]) -> list[str]:
    """As they are meant: an address is a network of one. Raises Invalid."""
    try:
        return [str(ipaddress.ip_network(cidr, strict=False)) for cidr in cidrs]
    except ValueError as cause:
        raise invalid("allowed_cidrs must be a list of networks.", "allowed_cidrs") from cause


def _require_headers(protocol: str, headers: Mapping[str, str]) -> None:
    if headers and protocol not in ("HTTP", TERMINATED):
        raise option("insert-headers", f"a {protocol} protocol listener.")
    if not set(headers) <= {*HEADERS, *TLS_HEADERS}:
        raise option(list(headers), "insert_headers")
    of_tls = [name for name in headers if name in TLS_HEADERS]
    if of_tls and protocol != TERMINATED:
        raise option(of_tls, f"{protocol} protocol listener.")
    for value in headers.values():
        if value.lower() not in ("true", "false"):
            raise option(value, "insert_headers: true or false")


def _require_references(protocol: str, said: Mapping[str, Any], changed: Mapping[str, Any]) -> None:
    if protocol != TERMINATED:
        if any(changed.get(name) for name in REFERENCES):
            raise invalid(
                "Certificate container references are not allowed on "
                f"{protocol} protocol listeners."
            )
        return
    if not said.get("default_tls_container_ref") and not said.get("sni_container_refs"):
        raise invalid(
            "An SNI or default certificate container reference must be provided for "
            f"{protocol} protocol listeners."
        )


def _require_client_authentication(said: Mapping[str, Any]) -> None:
    mode, authority = said.get("client_authentication"), said.get("client_ca_tls_container_ref")
    if mode not in (None, NO_AUTHENTICATION) and not authority:
        raise invalid(
            f"Client authentication setting {mode} requires a client CA container reference."
        )
    if said.get("client_crl_container_ref") and not authority:
        raise invalid(
            "A client authentication CA reference is required to specify a client authentication "
            "revocation list."
        )


def _require_hsts(protocol: str, said: Mapping[str, Any]) -> None:
    is_used = said.get("hsts_max_age") is not None
    if not is_used and (said.get("hsts_include_subdomains") or said.get("hsts_preload")):
        raise invalid(
            "HSTS configuration options hsts_include_subdomains and hsts_preload only make sense if "
            "hsts_max_age is set as well."
        )
    if is_used and protocol != TERMINATED:
        raise invalid(
            "The HSTS feature can only be used for listeners using the TERMINATED_HTTPS protocol."
        )
