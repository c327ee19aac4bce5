"""`kumoi bench`: measures the figures and prints each beside its goal; most need a cloud that is
up.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from kumoi.base import process
from kumoi.base.errors import Invalid
from kumoi.cli import choice

CHECKOUT = Path(__file__).parents[3]
WITHOUT_CLOUD = ("api", "flood", "bounds", "cluster", "up")  # Parts that need no cloud that is up.


def add_to(parser: argparse.ArgumentParser) -> None:
    choice.add_to(parser)
    parser.add_argument("--only", metavar="PART", help="one part of them: server, api, push, …")


def run(args: argparse.Namespace) -> int:
    if not (CHECKOUT / "bench").is_dir():
        raise Invalid("the benches are in a checkout of Kumoi, and this is an installed copy")
    words = ["--only", args.only] if args.only else []
    if args.only not in WITHOUT_CLOUD:
        cloud, host = choice.existing(args)
        words += ["--name", cloud.name, "--state-dir", host.state_dir]
    where = {"PYTHONPATH": f"{CHECKOUT / 'src'}:{CHECKOUT}"}
    return process.show([sys.executable, "-m", "bench", *words], cwd=CHECKOUT, env=where)
