"""What Octavia's own tests (octavia-tempest-plugin) are told of a cloud. Called by `run.py`."""

from __future__ import annotations

from openstack.connection import Connection

REGEX = r"octavia_tempest_plugin\.tests\.api\."
"""The tests that run when nothing else is asked for."""

NOT_OFFERED = {
    r"UDP_LC|LC_UDP|(?i:udp_(LC|least)|least_connections_udp)": "LEAST_CONNECTIONS of datagrams:"
    " OVN gives them their member and nobody counts",
}
"""Tests that do not run, and why. They fail for an answer of 501."""

SettingsText = dict[str, dict[str, str]]


def settings(admin: Connection) -> SettingsText:
    """Nothing is switched off but what the cloud itself says it has not."""
    balancing = admin.load_balancer
    providers = {one.name: one.description for one in balancing.providers()}
    (provider,) = providers
    return {
        "service_available": {"load_balancer": "true", "barbican": "true"},
        "load_balancer": {
            "provider": provider,
            "availability_zone": "nova",
            "enabled_provider_drivers": _dict(providers),
            "expected_flavor_capability": _capabilities(admin, provider, "flavor"),
            "expected_availability_zone_capability": _capabilities(
                admin, provider, "availability_zone"
            ),
            # How often the tests look; the defaults are for servers that boot.
            "check_interval": "0.2",
            "build_interval": "0.2",
            "lb_build_interval": "0.2",
            "check_timeout": "60",
            "lb_build_timeout": "60",
            "enable_security_groups": "true",
        },
    }


def _capabilities(admin: Connection, provider: str, kind: str) -> str:
    words = f"{kind}_capabilities"
    found = admin.load_balancer.get(f"/lbaas/providers/{provider}/{words}").json()[words]
    return _dict({one["name"]: one["description"] for one in found})


def _dict(pairs: dict[str, str]) -> str:
    return ",".join(f"{name}:{text}" for name, text in pairs.items())
