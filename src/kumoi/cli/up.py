"""`kumoi up`: from whatever is there to a running cloud; again and again without harm."""

from __future__ import annotations

import argparse
import sys

from kumoi import config
from kumoi.cli import choice
from kumoi.cli.progress import Progress
from kumoi.config import Settings
from kumoi.hosts import control, running, units, virtual

ENGINES_TIMEOUT_S = 30.0
ROLES_TIMEOUT_S = 30.0


def add_to(parser: argparse.ArgumentParser) -> None:
    choice.add_to(parser)
    parser.add_argument("--public-cidr", metavar="CIDR", help="floating IPs (default: a free /24)")
    parser.add_argument("--underlay-cidr", metavar="CIDR", help="between machine and virtual host")
    parser.add_argument("--only-engines", action="store_true", help="without our own roles")


def run(args: argparse.Namespace) -> int:
    progress = Progress()
    settings = choice.chosen(args)
    if args.public_cidr:
        settings = config.changed(settings, public_cidr=args.public_cidr)
    if args.underlay_cidr:
        settings = config.changed(settings, underlay_cidr=args.underlay_cidr)
    make_directories(settings)
    with choice.alone(settings):
        choice.config_file(settings).write_text(config.render(settings))
        start_processes(settings, progress, only_engines=args.only_engines)
    return 0


def make_directories(settings: Settings) -> None:
    for path in (settings.state, settings.run_dir, settings.log_dir, settings.wake_dir):
        path.mkdir(parents=True, exist_ok=True)


def start_processes(settings: Settings, progress: Progress, *, only_engines: bool) -> None:
    """The virtual host, then every process under the supervisor."""
    with progress.stage("virtual host"):
        if virtual.ensure_links(settings):
            control.stop(settings)  # What still runs lives in a namespace that is no more.
        if not running.found(settings.state_dir):
            virtual.ensure_databases(settings)
    wanted = units.table(settings, config=choice.config_file(settings), only_engines=only_engines)
    with progress.stage("engines: Open vSwitch, OVN") as stage:
        control.ensure(settings, wanted, command=_supervise(settings, only_engines))
        names = [unit.name for unit in wanted if unit.kind is units.Kind.ENGINE]
        control.wait_ready(settings, names, timeout_s=ENGINES_TIMEOUT_S, tell=stage.tell)
    names = [unit.name for unit in wanted if unit.kind is units.Kind.ROLE]
    if names:
        with progress.stage(f"roles: {', '.join(names)}") as stage:
            control.wait_ready(settings, names, timeout_s=ROLES_TIMEOUT_S, tell=stage.tell)


def _supervise(settings: Settings, only_engines: bool) -> list[str]:
    command = [sys.executable, "-m", "kumoi.main", "supervise"]
    command += ["--config", str(choice.config_file(settings))]
    return [*command, "--only-engines"] if only_engines else command
