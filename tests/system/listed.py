"""All that can be listed of a live cloud through its APIs, as a user and as the admin: a line per object, with its
name and tags. What two pictures do not share was made, or went, between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from openstack.connection import Connection
from tests.system.live import LiveCloud

Lists = dict[str, Callable[[Connection], Iterable[Any]]]

OF_ANYBODY: Lists = {
    "server": lambda cloud: cloud.compute.servers(details=False),
    "server group": lambda cloud: cloud.compute.server_groups(),
    "keypair": lambda cloud: cloud.compute.keypairs(),
    "image": lambda cloud: cloud.image.images(),
    "hidden image": lambda cloud: cloud.image.images(is_hidden=True),
    "network": lambda cloud: cloud.network.networks(),
    "subnet": lambda cloud: cloud.network.subnets(),
    "router": lambda cloud: cloud.network.routers(),
    "port": lambda cloud: cloud.network.ports(),
    "floating IP": lambda cloud: cloud.network.ips(),
    "security group": lambda cloud: cloud.network.security_groups(),
    "security group rule": lambda cloud: cloud.network.security_group_rules(),
    "load balancer": lambda cloud: cloud.load_balancer.load_balancers(),
    "listener": lambda cloud: cloud.load_balancer.listeners(),
    "pool": lambda cloud: cloud.load_balancer.pools(),
    "health monitor": lambda cloud: cloud.load_balancer.health_monitors(),
    "secret": lambda cloud: cloud.key_manager.secrets(),
    "application credential": lambda cloud: cloud.identity.application_credentials(
        user=cloud.current_user_id
    ),
    "trust": lambda cloud: cloud.identity.trusts(trustor_user_id=cloud.current_user_id),
}
OF_THE_ADMIN: Lists = {
    **OF_ANYBODY,
    "server": lambda cloud: cloud.compute.servers(details=False, all_projects=True),
    "user": lambda cloud: cloud.identity.users(),
    "project": lambda cloud: cloud.identity.projects(),
    "role assignment": lambda cloud: cloud.identity.role_assignments(),
    "credential": lambda cloud: cloud.identity.credentials(),
    "flavor": lambda cloud: cloud.compute.flavors(details=False),
}


CREDENTIALS = "user: application credential "


def without_credentials(lines: set[str]) -> set[str]:
    """By a push's own credential the sweeper looks once more, a minute after the environment went."""
    return {line for line in lines if not line.startswith(CREDENTIALS)}


def listed(live: LiveCloud) -> set[str]:
    found: set[str] = set()
    for who, lists in (("user", OF_ANYBODY), ("admin", OF_THE_ADMIN)):
        with live.connect(admin=who == "admin") as cloud:
            found |= {f"{who}: {line}" for line in _lines(cloud, lists)}
    return found


def access_rules(live: LiveCloud) -> set[str]:
    """Of the user. As in Keystone they stay when a credential goes, and the next one uses the same."""
    with live.connect() as cloud:
        return {str(rule.id) for rule in cloud.identity.access_rules(cloud.current_user_id)}


def _lines(cloud: Connection, lists: Lists) -> Iterator[str]:
    for noun, list_them in lists.items():
        for each in list_them(cloud):
            tags = sorted(getattr(each, "tags", None) or [])
            who = each.id or f"{each.user} {each.group} {each.role} {each.scope}"
            yield f"{noun} {who} {each.name or ''} {' '.join(tags)}".strip()
    # Kumoi has no volumes; where a cloud has, they would be listed here.
    assert not cloud.has_service("block-storage")
