"""`kumoi host`: the hosts of the cloud, and which of them are in service."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from keystoneauth1.exceptions import ClientException
from openstack.connection import Connection
from openstack.exceptions import SDKException

from kumoi.base.errors import Permanent
from kumoi.cli import choice, healing, host_drain, status
from kumoi.cli.output import OperatorConsole, console, say, say_json, table
from kumoi.cli.progress import Progress
from kumoi.config import CloudSettings, HostSettings, Role
from kumoi.hosts.first_use import first_run

DRAINED = "kumoi host drain"
INTERRUPTED = 130


def add_to(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, (_act, about) in ACTIONS.items():
        example = f"example: sudo ./kumoi host {name}{'' if name == 'list' else ' kumoi-host2'}"
        action = actions.add_parser(name, help=about, description=about, epilog=example)
        if name == "list":
            action.add_argument("--json", action="store_true", help="for programs")
        else:
            action.add_argument("host", help="its name, as `host list` has it")
        if name == "drain":
            action.add_argument(
                "--reason", default=DRAINED, help="shown by `openstack compute service`"
            )
            action.add_argument(
                "--stop", action="store_true", help="stop the servers that cannot be moved"
            )
            action.add_argument(
                "--keep-servers", action="store_true", help="leave all servers where they are"
            )
            action.add_argument(
                "--connections-s",
                type=int,
                metavar="SECONDS",
                help="how long connections through balancers to a server may take to end (default: 30)",
            )
            action.add_argument(
                "--json", action="store_true", help="what became of each server, for programs"
            )
        if name == "heal":
            action.add_argument(
                "--force", action="store_true", help="it is lost, whatever it or anything says"
            )
        choice.add_to(action)


def run(args: argparse.Namespace) -> int:
    act, _about = ACTIONS[args.action]
    return act(args)


def list_(args: argparse.Namespace) -> int:
    """0 when every host is up."""
    found = listed(*choice.existing(args))
    if args.json:
        say_json(found)
    else:
        show(found)
    return 0 if all(row["state"] == "up" for row in found) else 1


def drain(args: argparse.Namespace) -> int:
    """0 when nothing runs there any more."""
    progress = Progress(OperatorConsole(highlight=False, soft_wrap=True, stderr=args.json))
    options = host_drain.DrainOptions(args.stop, args.connections_s)
    done = host_drain.Drained()
    try:
        with _asked(args) as api:
            with progress.stage("no new servers, gateways, proxies"):
                host_drain.disable(api, args.host, args.reason)
            if not args.keep_servers:
                host_drain.empty(api, args.host, progress, options, done)
    except KeyboardInterrupt:
        progress.say(
            "\ninterrupted: a server on its way arrives. `drain` goes on, `undrain` undoes"
        )
        return INTERRUPTED
    finally:
        if args.json:
            say_json({"host": args.host, "servers": done.shown()})
    left = done.count("left")
    longest_s = done.longest_pause_s()
    pause = "" if longest_s is None else f" (longest pause {longest_s:.2f} s)"
    progress.say(
        f"{done.count('moved')} moved{pause}, {done.count('stopped')} stopped, {left} run on {args.host} yet"
    )
    progress.say(f"back in service: sudo ./kumoi host undrain {args.host}")
    return 1 if left else 0


def undrain(args: argparse.Namespace) -> int:
    with _asked(args) as api:
        ended = host_drain.enable(api, args.host)
    say(f"{args.host} gets new servers, gateways and proxies again")
    if ended:
        say(f"{ended} moves of servers from it were cancelled")
    return 0


def listed(cloud: CloudSettings, here: HostSettings) -> list[dict[str, Any]]:
    """The cloud's hosts. Raises Permanent when the API does not answer."""
    hosts, _servers, trouble = status.hosts_and_servers(cloud, here, status.processes(cloud, here))
    if trouble:
        raise Permanent(f"the hosts are not known: {trouble}")
    each = (Role.API.value, Role.WORKER.value, Role.AGENT.value)  # Where nobody says otherwise.
    roles: dict[str, tuple[str, ...]] = {host.name: each for host in cloud.control_hosts}
    roles |= {host.name: host.roles for host in (here, *choice.others_here(cloud, here))}
    return [
        {
            "name": row["name"],
            "address": row["address"],
            "roles": list(roles.get(row["name"], (Role.AGENT.value,))),
            "state": row["state"],
            "status": row["status"],
            "reason": row["reason"],
            "release": row["release"],
            "protocol": row["protocol"],
            "servers": row["servers"],
            "ram_promised_mib": row["ram_promised_mib"],
            "ram_promised_max_mib": row["ram_promised_max_mib"],
        }
        for row in hosts
    ]


def show(hosts: list[dict[str, Any]]) -> None:
    rows = [
        {
            **{key: value for key, value in row.items() if not key.startswith("ram_promised")},
            "memory promised": f"{row['ram_promised_mib']} of {row['ram_promised_max_mib']} MiB",
        }
        for row in hosts
    ]
    out = console()
    out.print(table("Hosts", rows) if rows else "No hosts")


@contextlib.contextmanager
def _asked(args: argparse.Namespace) -> Iterator[Connection]:
    """The cloud's APIs, as its administrator. Raises Permanent."""
    cloud, here = choice.existing(args)
    try:
        yield first_run.connect(status.admin_entry(cloud, here))
    except (SDKException, ClientException) as cause:
        raise Permanent(f"the API refused: {cause}") from cause


Act = Callable[[argparse.Namespace], int]
ACTIONS: dict[str, tuple[Act, str]] = {
    "list": (list_, "every host: its roles, release, servers, and whether it is heard of"),
    "drain": (drain, "a host out of service: its servers move to others, with their disks"),
    "undrain": (undrain, "in service again"),
    "heal": (healing.heal, "it is lost: make its servers again elsewhere, from their images"),
}
