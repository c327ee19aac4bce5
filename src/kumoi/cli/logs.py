"""`kumoi logs`: the log of one process of the cloud, or the list of all logs."""

from __future__ import annotations

import argparse

from kumoi.base import process
from kumoi.base.errors import NotFound
from kumoi.cli import choice
from kumoi.cli.output import say
from kumoi.config import CloudSettings, HostSettings
from kumoi.hosts.units import keeper, systemd

LINES = 50


def add_to(parser: argparse.ArgumentParser) -> None:
    choice.add_to(parser)
    parser.add_argument("unit", nargs="?", help="as `kumoi status` names it; none lists them")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what is added")
    parser.add_argument("-n", "--lines", type=int, default=LINES, help=f"default: {LINES}")


def run(args: argparse.Namespace) -> int:
    cloud, host = choice.existing(args)
    if keeper.is_systemd(host):
        return _of_systemd(cloud, host, args)
    names = sorted(path.stem for path in host.log_dir.glob("*.log"))
    if args.unit is None:
        for name in names:
            say(f"{name:<16} {host.log_dir / name}.log")
        return 0
    if args.unit not in names:
        known = f"{', '.join(names)} have one" if names else "nothing has one yet"
        raise NotFound("log", args.unit, message=f"there is no log of {args.unit}: {known}")
    follow = ["--follow=name"] if args.follow else []
    file = host.log_dir / f"{args.unit}.log"
    return process.show(["tail", *follow, f"--lines={args.lines}", file])


def _of_systemd(cloud: CloudSettings, host: HostSettings, args: argparse.Namespace) -> int:
    """Its journal has them, of each instance that a unit ever had."""
    name = systemd.every_instance(cloud, host, args.unit or "*")
    if args.unit is None:
        return process.show(["systemctl", "list-units", "--all", "--no-legend", name])
    follow = ["--follow"] if args.follow else []
    shown = [f"--unit={name}", "--output=cat", f"--lines={args.lines}"]
    return process.show(["journalctl", "--no-pager", *shown, *follow])
