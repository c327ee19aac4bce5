"""`kumoi bench`: the figures of the cloud that is up, each beside what it must reach."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from kumoi.base import process
from kumoi.base.errors import Invalid
from kumoi.cli import choice

CHECKOUT = Path(__file__).parents[3]


def add_to(parser: argparse.ArgumentParser) -> None:
    choice.add_to(parser)
    parser.add_argument("--only", metavar="PART", help="one part of them: server, api, push, …")


def run(args: argparse.Namespace) -> int:
    if not (CHECKOUT / "bench").is_dir():
        raise Invalid("the benches are in a checkout of Kumoi, and this is an installed copy")
    cloud, host = choice.existing(args)
    words = ["--name", cloud.name, "--state-dir", host.state_dir]
    words += ["--only", args.only] if args.only else []
    where = {"PYTHONPATH": f"{CHECKOUT / 'src'}:{CHECKOUT}"}
    return process.show([sys.executable, "-m", "bench", *words], cwd=CHECKOUT, env=where)
