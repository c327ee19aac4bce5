"""`kumoi down`: stop the cloud, from any state; with --purge nothing is left of it."""

from __future__ import annotations

import argparse

from kumoi.cli import choice
from kumoi.cli.progress import Progress
from kumoi.cloud.agent.purge import purge
from kumoi.hosts import clouds_yaml, control, teardown


def add_to(parser: argparse.ArgumentParser) -> None:
    choice.add_to(parser)
    parser.add_argument(
        "--purge", action="store_true", help="also remove every server, image and setting"
    )


def run(args: argparse.Namespace) -> int:
    progress = Progress()
    settings = choice.chosen(args)
    if not settings.state.exists():
        with progress.stage("remove links"):
            teardown.stop(settings)
        return 0
    with choice.alone(settings):
        with progress.stage("stop processes"):
            control.stop(settings)
        with progress.stage("stop servers"):
            purge(settings, data=args.purge)
        with progress.stage("remove links, mounts and namespaces"):
            teardown.stop(settings)
        if args.purge:
            with progress.stage("remove what it kept"):
                teardown.purge(settings)
                clouds_yaml.remove(choice.person(), settings)
    return 0
