"""What Keystone's own tests (keystone-tempest-plugin) are told of a cloud. Called by `run.py`."""

from __future__ import annotations

from openstack.connection import Connection

UNOFFERED = (
    *("consumer", "oauth1_tokens"),
    *("identity_providers?", "mapping", "mapping_rules", "protocol", "service_providers?"),
    "policy_association",
)
"""Files of tests of OAuth 1.0a, of federation and of policies bound to endpoints. No setting of theirs says that a
cloud has none.
"""
REGEX = (
    r"^keystone_tempest_plugin\.tests\.(api|rbac)\."
    rf"(?!(.*\.)?test_({'|'.join(UNOFFERED)})\.)"
)
"""The tests that run when nothing else is asked for. Their accounts have a role of their own and no other."""


def settings(_admin: Connection) -> dict[str, dict[str, str]]:
    """Roles count where a token is for, always."""
    return {
        "auth": {"admin_system": "all", "create_isolated_networks": "false", "tempest_roles": ""},
        "enforce_scope": {"keystone": "true"},
    }
