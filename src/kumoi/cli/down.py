"""`kumoi down`: stop the cloud, from any state; with --purge nothing is left of it."""

from __future__ import annotations

import argparse

from kumoi.cli import choice
from kumoi.cli.progress import Progress
from kumoi.hosts import clouds_yaml, teardown


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
        with progress.stage("stop processes, servers and links"):
            teardown.stop(settings)
        if args.purge:
            with progress.stage("remove what it kept"):
                teardown.purge(settings)
                clouds_yaml.remove(choice.person(), settings)
    return 0
