"""`kumoi down`: stop the cloud, from any state; with --purge nothing is left of it."""

from __future__ import annotations

import argparse
import contextlib

from kumoi import config
from kumoi.cli import choice
from kumoi.cli.progress import Progress
from kumoi.cloud.agent import purge
from kumoi.config import CloudSettings, HostSettings
from kumoi.hosts import teardown
from kumoi.hosts.first_use import clouds_yaml
from kumoi.hosts.units import keeper, ownership
from kumoi.hosts.wires import virtual

GRACE_S = 5.0  # For servers to halt.


def add_to(parser: argparse.ArgumentParser) -> None:
    choice.add_to(parser)
    parser.add_argument(
        "--purge", action="store_true", help="also remove every server, image and setting"
    )


def run(args: argparse.Namespace) -> int:
    progress = Progress()
    cloud, host = choice.chosen(args)
    choice.require_ours(cloud, host)
    for other in choice.others_here(cloud, host):
        progress.say(f"Host {other.name}:")
        theirs = config.read(CloudSettings, other.state).settings
        with choice.alone(theirs, other):
            take_down(theirs, other, progress, with_data=args.purge)
    if not host.state.exists() and not virtual.is_there(cloud, host):
        progress.say(f"The cloud {cloud.name} is not here: nothing to do")
        return 0
    with choice.alone(cloud, host) if host.state.exists() else contextlib.nullcontext():
        take_down(cloud, host, progress, with_data=args.purge)
    return 0


def take_down(
    cloud: CloudSettings, host: HostSettings, progress: Progress, *, with_data: bool
) -> None:
    """Stop the roles first, since they would start servers again; then the servers, while they have
    a network; then everything else. Where the data is removed, too, nothing need end gracefully.
    """
    with progress.stage("stop roles"):
        keeper.stop_roles(cloud, host, at_once=with_data)
    with progress.stage("stop servers") as stage:
        count = purge.stop_servers(host, grace_s=0 if with_data else GRACE_S)
        stage.note(f"{count} ran" if count else "none ran")
    with progress.stage("stop engines, remove links"):
        teardown.stop(cloud, host, at_once=with_data)
    if not with_data:
        ownership.give_back(cloud, host)
    else:
        with progress.stage("remove what it kept"):
            teardown.purge(host)
            purge.forget(host)
            if config.is_first(cloud, host):
                clouds_yaml.remove(choice.person(), cloud)
