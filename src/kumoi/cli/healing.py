"""`kumoi host heal`: an operator says that a host is lost, and its servers are made again elsewhere."""

from __future__ import annotations

import argparse
from typing import Any

from keystoneauth1.exceptions import ClientException
from openstack.connection import Connection
from openstack.exceptions import SDKException

from kumoi.base.errors import Conflict, NotFound, Permanent
from kumoi.cli import choice, status
from kumoi.cli.output import say
from kumoi.config import CloudSettings, HostSettings
from kumoi.ha_policy import KEY, HaPolicy
from kumoi.hosts.cluster import leases
from kumoi.hosts.first_use import first_run


def heal(args: argparse.Namespace) -> int:
    """0 when nothing of the host is left but what is never moved."""
    cloud, here = choice.existing(args)
    try:
        api = first_run.connect(status.admin_entry(cloud, here))
        _require_lost(api, cloud, here, args.host, forced=args.force)
        failed = 0
        servers = list(api.compute.servers(all_projects=True, compute_host=args.host))
        for server in sorted(servers, key=lambda each: str(each.name)):
            failed += _heal(api, cloud, server, forced=args.force)
    except (SDKException, ClientException) as cause:
        raise Permanent(f"the API refused: {cause}") from cause
    if not servers:
        say(f"{args.host} has no servers")
    return 1 if failed else 0


def _require_lost(
    api: Connection, cloud: CloudSettings, here: HostSettings, name: str, *, forced: bool
) -> None:
    """With force the host is set down, which `openstack compute service set --up` undoes."""
    found = next((each for each in api.compute.services() if each.host == name), None)
    if found is None:
        raise NotFound("host", name, message=f"there is no host {name}: sudo ./kumoi host list")
    if forced:
        api.compute.update_service_forced_down(found, forced=True)
        return
    book = leases.open_book(cloud, here)
    if book is not None and name in book.look().held:
        raise Conflict(
            f"{name} has its lease, so it runs what it has: a server would run twice. If you know that "
            "the machine is off, use --force"
        )
    if found.state == "up":
        raise Conflict(
            f"{name} was heard of in the last {cloud.host_silent_s} s: wait, or use --force if you know "
            "that the machine is off"
        )


def _heal(api: Connection, cloud: CloudSettings, server: Any, *, forced: bool) -> int:
    """1 where it could not be moved."""
    policy = server.metadata.get(KEY, cloud.ha_policy)
    if policy == HaPolicy.NEVER and not forced:
        say(f"{server.name} ({server.id}) stays, as its {KEY} is never: --force moves it")
        return 0
    try:
        api.compute.evacuate_server(server)
    except SDKException as cause:
        say(f"{server.name} ({server.id}) stays: {getattr(cause, 'details', None) or cause}")
        return 1
    say(f"{server.name} ({server.id}) is made again on another host")
    return 0
