"""`kumoi demo`: the whole product in one command.

Brings the cloud up, pushes `examples/shop` as any user would, shows the run as it goes on, and
ends with the URL of the verified environment.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from rich.text import Text

from kumoi.base.errors import Invalid
from kumoi.cli import choice, components, up, work_tree
from kumoi.cli.output import console
from kumoi.cli.progress import Progress
from kumoi.cli.run import follow_run
from kumoi.components import PIPELINE, Api, with_needs
from kumoi.hosts.units import running
from kumoi.pipeline.client import Client
from kumoi.pipeline.environment import FILE_NAME

EXAMPLE = Path(__file__).parents[3] / "examples" / "shop"

NEEDED = with_needs(PIPELINE, Api.LOAD_BALANCER)


def add_to(parser: argparse.ArgumentParser) -> None:
    up.add_ranges_to(parser)
    parser.set_defaults(only_engines=False, without=[], within=[])


def run(args: argparse.Namespace) -> int:
    if not EXAMPLE.is_dir():
        raise Invalid("the example is in a checkout of Kumoi, and this is an installed copy")
    components.require(*choice.chosen(args), NEEDED, "the demo")
    progress = Progress()
    cloud, _ = up.bring_up(args, progress)
    client = Client(cloud.name, cloud.pipeline_url)
    with progress.stage(f"push examples/{EXAMPLE.name}") as stage:
        commit = work_tree.push(client, EXAMPLE, FILE_NAME, EXAMPLE.name, work_tree.DEFAULT_BRANCH)
        where = f"{cloud.pipeline_url}/git/{client.project}/{EXAMPLE.name}.git"
        stage.note(f"{commit[:10]} to {where}")
    progress.say()
    status = follow_run(client, work_tree.run_of(client, commit), console())
    progress.say()
    outcome = Text("verified", "green") if status == 0 else Text("not verified", "red")
    # The launcher became this process by exec, so the time in which it installed packages counts.
    seconds = time.time() - running.started_at(os.getpid())
    progress.say(outcome + Text(f" {seconds:.1f} s after the start of this command"))
    return status
