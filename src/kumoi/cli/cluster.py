"""`kumoi cluster`: more hosts for the cloud. One is opened to others, tokens let them in, and they leave."""

from __future__ import annotations

import argparse
import contextlib
import functools
import re
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.text import Text

from kumoi import addresses, config, members
from kumoi.base.errors import Conflict, Invalid, NotFound, Transient
from kumoi.cli import (
    choice,
    cloud_store,
    control_part,
    copies,
    down,
    forgetting,
    host,
    joining,
    other_machines,
    replicating,
    up,
)
from kumoi.cli.output import console, say, say_json, table
from kumoi.cli.progress import Progress
from kumoi.cloud.domain.host import enrolment
from kumoi.cloud.domain.host import join as domain
from kumoi.cloud.hostapi import join as hostapi
from kumoi.cloud.hostapi.client import tls_context
from kumoi.config import CloudSettings, HostSettings, Role
from kumoi.engine.db import Database
from kumoi.hosts.cluster import join_token, ovn_members, succession
from kumoi.hosts.cluster.succession import Succession
from kumoi.hosts.units import answering, keeper
from kumoi.hosts.wires import keepalived, virtual

TTL = "1h"
TTL_MAX = timedelta(days=7)
UNITS_S = {"m": 60, "h": 3_600, "d": 86_400}


def add_to(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, (_act, about, example) in ACTIONS.items():
        action = actions.add_parser(
            name, help=about, description=about, epilog=f"example: sudo ./kumoi cluster {example}"
        )
        if name == "join":
            _add_join_to(action)
        else:
            choice.add_to(action)
        if name == "create":
            _add_create_to(action)
        if name == "token":
            action.add_argument("host", nargs="?", help="its name (default: NAME-host2 and so on)")
            action.add_argument("--ttl", default=TTL, help=f"how long it is good (default: {TTL})")
        if name == "leave":
            action.add_argument(
                "--force", action="store_true", help="lose the servers that are here"
            )
        if name in ("forget", "replace"):
            action.add_argument("host", help="its name, as `cluster status` has it")
        if name == "forget":
            action.add_argument(
                "--force", action="store_true", help="also lose the servers that were there"
            )
        if name == "replace":
            action.add_argument(
                "--into",
                metavar="DIR",
                help="what the new one keeps (default: as `up --hosts` has it)",
            )
        if name in ("status", "token"):
            action.add_argument("--json", action="store_true", help="for programs")


def _add_join_to(action: argparse.ArgumentParser) -> None:
    action.add_argument("token", help="the line that `cluster token` printed")
    action.add_argument(
        "--state-dir", metavar="DIR", help="what the host keeps (default: /var/lib/CLOUD)"
    )
    action.add_argument(
        "--underlay-interface",
        metavar="LINK",
        default="",
        help="on another machine than the cloud's first: its link to that one, without addresses",
    )
    action.add_argument("--control", action="store_true", help="and then as `cluster control`")


def _add_create_to(action: argparse.ArgumentParser) -> None:
    action.add_argument(
        "--control-hosts",
        type=int,
        metavar="N",
        help="put the control plane on N hosts, 3 or 5: those on this machine, then others",
    )
    action.add_argument(
        "--on",
        action="append",
        default=[],
        metavar="HOST",
        help="one of them, on another machine; needed where more have joined",
    )
    action.add_argument(
        "--address",
        default="",
        metavar="ADDRESS",
        help="where clients find whichever of these answers (default: a free one of the underlay)",
    )
    action.add_argument(
        "--underlay-interface",
        metavar="LINK",
        help="by which hosts on other machines join: a link of this one without addresses",
    )


def run(args: argparse.Namespace) -> int:
    act, _about, _example = ACTIONS[args.action]
    return act(args)


def create(args: argparse.Namespace) -> int:
    """Of a cloud that is up."""
    progress = Progress()
    cloud, here = choice.existing(args)
    if not config.is_first(cloud, here):
        raise Conflict(f"{here.name} has joined the cloud {cloud.name}: it needs no other")
    if cloud.is_cluster:
        progress.say(f"Hosts may join the cloud {cloud.name} already")
        if not cloud.is_replicated and not up.is_open_to_hosts(cloud):  # This was cut off.
            up.open_to_hosts(up.args_of(cloud, here), cloud, here, progress)
    else:
        cloud, here = up.open_to_hosts(up.args_of(cloud, here), cloud, here, progress)
    if args.address and not (args.control_hosts or cloud.is_replicated):
        raise Conflict("--address is of several control hosts: use --control-hosts as well")
    if args.underlay_interface is not None:
        here = _lead_to_machines(cloud, here, args.underlay_interface, progress)
    if args.control_hosts:
        _put_on_several(cloud, here, args, progress)
    words = choice.words(cloud, here)
    progress.say(f"  sudo ./kumoi cluster token{words}    a line for the next host")
    return 0


def _put_on_several(
    cloud: CloudSettings, here: HostSettings, args: argparse.Namespace, progress: Progress
) -> None:
    names = other_machines.chosen(cloud, here, args.control_hosts, args.on)
    with other_machines.ordered(cloud, here, names) as machines:
        if not members.have_stores(cloud):
            replicating.replicate(
                cloud,
                here,
                progress,
                number=args.control_hosts,
                address=args.address,
                machines=machines,
            )
            return
        progress.say(f"The stores are on {len(cloud.control_hosts)} hosts already")
        before = cloud.shared_address
        cloud = replicating.share_address(cloud, here, cloud, address=args.address)
        config.write(cloud, here.state)
        up.bring_up(up.args_of(cloud, here), progress)
        is_same = before == cloud.shared_address
        replicating.complete(cloud, here, progress, machines, only_absent=is_same)


def _lead_to_machines(
    cloud: CloudSettings, here: HostSettings, link: str, progress: Progress
) -> HostSettings:
    """Raises Invalid, and has changed nothing then."""
    found = config.changed(here, underlay_interface=link)
    with choice.alone(cloud, here), progress.stage(f"the underlay leads out by {link}"):
        virtual.ensure_underlay(cloud, found)
        config.write(found, here.state)
    return found


def token(args: argparse.Namespace) -> int:
    cloud, here = choice.existing(args)
    name = args.host or _next_name(cloud, here)
    line = joining.make_token(cloud, here, name, _duration(args.ttl))
    read = join_token.read(line)
    if args.json:
        until = datetime.fromtimestamp(read.expires_at, UTC).isoformat(timespec="seconds")
        shown = {"host": read.host, "address": read.address, "expires_at": until, "token": line}
        say_json(shown)
    else:
        say(line)
    return 0


def join(args: argparse.Namespace) -> int:
    progress = Progress()
    name = join_token.read(args.token).cloud
    if not re.fullmatch(choice.NAME_PATTERN, name):
        raise Invalid("the token names no cloud", field="token")
    state_dir = str(Path(args.state_dir or f"/var/lib/{name}").absolute())
    cloud, here = joining.prepare(
        args.token, state_dir, progress, underlay_interface=args.underlay_interface
    )
    up.bring_up(up.args_of(cloud, here), progress)
    progress.say(
        f"{here.name} has joined the cloud {cloud.name}. Where its APIs run: sudo ./kumoi host list"
    )
    return take_control(cloud, here, progress) if args.control else 0


def control(args: argparse.Namespace) -> int:
    return take_control(*choice.existing(args), Progress())


def take_control(cloud: CloudSettings, here: HostSettings, progress: Progress) -> int:
    control_part.follow(cloud, here, progress)
    progress.say(
        f"{here.name} has the control plane: sudo ./kumoi cluster status{choice.words(cloud, here)}"
    )
    return 0


def leave(args: argparse.Namespace) -> int:
    """Repeatable: a host that the control plane does not know any more is only taken down."""
    progress = Progress()
    cloud, here = choice.existing(args)
    if config.is_first(cloud, here):
        raise Conflict(
            f"{here.name} is the cloud's first host: `down --purge` ends the whole cloud"
        )
    if cloud.control_host(here.name) is not None:
        raise Conflict(
            f"{here.name} has a member of the cloud's stores, which need all of theirs: it cannot leave yet"
        )
    with choice.alone(cloud, here), progress.stage("stop roles"):
        keeper.stop_roles(cloud, here)  # An agent would say that the host is there.
    try:
        with progress.stage("leave the cloud") as stage:
            try:
                _say_good_bye(cloud, here, forced=args.force)
            except (hostapi.NotAHost, FileNotFoundError):
                stage.note("it was no host of it any more")
    except Conflict:
        up.bring_up(up.args_of(cloud, here), progress)
        raise
    with choice.alone(cloud, here):
        down.take_down(cloud, here, progress, with_data=False)  # OVN's controller says good-bye.
        down.take_down(cloud, here, progress, with_data=True)
    return 0


def _say_good_bye(cloud: CloudSettings, here: HostSettings, *, forced: bool) -> None:
    """To whichever control host answers. Raises what the last one answers."""
    tls = tls_context(here.pki_dir, here.name)
    *urls, last = addresses.host_api_urls(cloud, here.name)
    for url in urls:
        with contextlib.suppress(Transient):
            joining.from_here(here, functools.partial(hostapi.leave, url, tls, forced=forced))
            return
    joining.from_here(here, functools.partial(hostapi.leave, last, tls, forced=forced))


def forget(args: argparse.Namespace) -> int:
    cloud, here = _with_store(args)
    forgetting.forget(cloud, here, args.host, forced=args.force)
    return 0


def replace(args: argparse.Namespace) -> int:
    cloud, here = _with_store(args)
    number = args.host.rpartition("-host")[2]
    usual = f"/var/lib/{cloud.name}" + (f"-{number}" if number != "1" else "")
    directory = str(Path(args.into or usual).absolute())
    forgetting.replace(cloud, here, args.host, directory)
    return 0


def status(args: argparse.Namespace) -> int:
    """0 when every host is up, nothing is on fewer disks than there are control hosts, and the stores and OVN's
    databases bear a loss.
    """
    cloud, here = choice.existing(args)
    hosts = host.listed(cloud, here)
    expected = _expected(cloud, here)
    forgotten = forgetting.forgotten(cloud, here)
    ovn = ovn_members.look(cloud, here)
    seen = copies.look(cloud, here) if members.have_stores(cloud) else None
    holders = keepalived.holders(cloud, [here, *choice.others_here(cloud, here)])
    stores = succession.look(cloud, here) if cloud.is_replicated else None
    if args.json:
        shown = {
            "name": cloud.name,
            "open_to_hosts": cloud.is_cluster,
            "underlay": cloud.underlay_cidr,
            "control_plane": here.name,
            "control_hosts": [host.table for host in cloud.control_hosts],
            "shared_address": cloud.shared_address,
            "shared_address_holders": holders,
            "store": asdict(stores) if stores else None,
            "ovn": [asdict(each) for each in ovn],
            "copies": seen.table if seen else None,
            "hosts": hosts,
            "expected": expected,
            "forgotten": forgotten,
        }
        say_json(shown)
    else:
        out = console()
        how = "open to other hosts" if cloud.is_cluster else "of one host"
        out.print(f"The cloud {cloud.name} is {how}; {_control_plane(stores, here)}")
        if stores and stores.leader and stores.missing:
            lacks = "; ".join(stores.missing)
            out.print(
                Text(f"The stores do not bear the loss of a host now, they lack: {lacks}", "red")
            )
        if cloud.shared_address:
            out.print(_shared_address(cloud, here, holders))
        for each in ovn:
            out.print(ovn_members.words(each))
        host.show(hosts)
        if expected:
            out.print(table("Expected", expected))
        for line in seen.lines if seen else ():
            out.print(Text(line, "red"))
        for name in forgotten:
            out.print(Text(forgetting.words(cloud, here, name), "red"))
    is_whole = not (forgotten or (seen and seen.missing) or (stores and stores.missing))
    is_whole = is_whole and all(each.is_whole for each in ovn)
    return 0 if is_whole and all(row["state"] == "up" for row in hosts) else 1


def _control_plane(stores: Succession | None, here: HostSettings) -> str:
    """Where it is."""
    if stores is None:
        return f"{here.name} alone has its control plane"
    if not stores.leader:
        return "no member of its stores leads: nothing can be changed"
    return (
        f"its stores follow {stores.leader} on {', '.join(stores.followers)}. APIs, workers and the pipeline run on each of these, which "
        "have images, pushed repositories and the authorities' keys as well"
    )


def _shared_address(cloud: CloudSettings, here: HostSettings, holders: list[str]) -> Text:
    """Where clients are, and who answers there. Of other machines it is not seen which one has it."""
    found = f"Clients are at {cloud.shared_address}"
    near = {here.name, *(each.name for each in choice.others_here(cloud, here))}
    has_far = any(each.name not in near for each in cloud.control_hosts)
    if (
        not holders
        and has_far
        and answering.answers(f"tcp:{cloud.shared_address}:{cloud.api_port}")
    ):
        return Text(f"{found}, which a host on another machine has")
    if not holders:
        return Text(f"{found}, which no host on this machine has", "red")
    return Text(f"{found}, which {' and '.join(holders)} has")


def _expected(cloud: CloudSettings, here: HostSettings) -> list[dict[str, Any]]:
    """Hosts that have a token and have not joined."""
    with _store(cloud, here) as database, database.read() as connection:
        return [
            {
                "host": row.host_id,
                "address": row.address,
                "until": row.expires_at.isoformat(timespec="seconds"),
            }
            for row in domain.expected(connection)
        ]


def _next_name(cloud: CloudSettings, here: HostSettings) -> str:
    with _store(cloud, here) as database, database.read() as connection:
        taken = {here.name, *enrolment.names(connection), *domain.names(connection)}
    number = 2
    while f"{cloud.name}-host{number}" in taken:
        number += 1
    return f"{cloud.name}-host{number}"


def _with_store(args: argparse.Namespace) -> tuple[CloudSettings, HostSettings]:
    cloud, here = choice.existing(args)
    _require_store(cloud, here)
    return cloud, here


def _require_store(cloud: CloudSettings, here: HostSettings) -> None:
    """Raises NotFound on a host that has none."""
    if Role.API not in here.roles:
        raise NotFound(
            "store", cloud.name, message=f"{here.name} has no store: ask where the APIs run"
        )


def _store(cloud: CloudSettings, here: HostSettings) -> contextlib.closing[Database]:
    _require_store(cloud, here)
    return cloud_store.opened(cloud, here)


def _duration(text: str) -> timedelta:
    """Raises Invalid."""
    match = re.fullmatch(r"([1-9]\d{0,4})([mhd])", text)
    lives = timedelta(seconds=int(match[1]) * UNITS_S[match[2]]) if match else None
    if lives is None or lives > TTL_MAX:
        raise Invalid(f"--ttl {text} is not such as 30m, 1h or 2d, 7d at most", field="ttl")
    return lives


Act = Callable[[argparse.Namespace], int]
ACTIONS: dict[str, tuple[Act, str, str]] = {
    "create": (create, "let other hosts join the cloud that is up here", "create"),
    "token": (token, "a line with which one host joins", "token rack7-blade3 --ttl 1h"),
    "join": (join, "make this machine a host of the cloud that the token is of", "join TOKEN"),
    "control": (
        control,
        "give this machine, which has joined, a part of the control plane when the first host orders it",
        "control",
    ),
    "leave": (leave, "take this host out of its cloud, and off this machine", "leave"),
    "forget": (forget, "a host that never comes back is none any more", "forget kumoi-host2"),
    "replace": (
        replace,
        "an empty host in the place of a control host that was forgotten",
        "replace kumoi-host2",
    ),
    "status": (status, "the cloud's hosts, and those that are expected", "status --json"),
}
