"""`kumoi repository`: what was pushed, and what the project may have of the pipeline."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from rich.table import Table

from kumoi.cli.output import cells, console, say, say_json
from kumoi.cli.run import add_cloud, client_of, when
from kumoi.pipeline.client import Client

MIB = 1 << 20


def add_to(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, (_act, about, example) in ACTIONS.items():
        epilog = f"example: ./kumoi repository {example}"
        action = actions.add_parser(name, help=about, description=about, epilog=epilog)
        add_cloud(action)
        if name == "delete":
            action.add_argument("repository", help="its name, without .git")
        else:
            action.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    act = ACTIONS[args.action][0]
    return act(client_of(args), args)


def list_(client: Client, args: argparse.Namespace) -> int:
    found = client.get("repositories")["repositories"]
    if args.json:
        say_json(found)
        return 0
    table = Table("Repository", "MiB", "Made")
    for each in found:
        size = f"{each['size_bytes'] / MIB:.1f}"
        table.add_row(*cells(each["name"], size, when(each["created_at"])))
    console().print(table)
    return 0


def limits(client: Client, args: argparse.Namespace) -> int:
    found = client.get("limits")
    if args.json:
        say_json(found)
        return 0
    table = Table("What", "Used", "Limit", "Setting")
    for each in found["limits"]:
        table.add_row(*cells(each["about"], each["used"], each["most"], each["name"]))
    for name, days in found["kept"].items():
        table.add_row(*cells("days that it is kept", "", days, name))
    console().print(table)
    return 0


def delete(client: Client, args: argparse.Namespace) -> int:
    client.delete(f"repositories/{args.repository}")
    say(f"repository {args.repository} is deleted, with its runs")
    return 0


ACTIONS: dict[str, tuple[Callable[[Client, argparse.Namespace], int], str, str]] = {
    "list": (list_, "the project's repositories and their sizes", "list"),
    "limits": (limits, "what the project has of the pipeline, and may have", "limits"),
    "delete": (delete, "delete one, with its runs and their reports", "delete hello"),
}
