"""What Neutron's own API tests (neutron-tempest-plugin) are told of a cloud. Called by `run.py`."""

from __future__ import annotations

from openstack.connection import Connection

REGEX = r"^(tempest\.api\.network|neutron_tempest_plugin\.api)\."
"""The tests that run when nothing else is asked for: Tempest's of the network, too."""


def settings(admin: Connection) -> dict[str, dict[str, str]]:
    """That of networks; what the cloud's extensions are is told by `run.py` already."""
    public = admin.network.find_network("public", ignore_missing=False)
    return {
        "neutron_plugin_options": {
            "available_type_drivers": "geneve,flat",
            "max_mtu": str(public.mtu),
        }
    }
