"""`kumoi secret`: what steps need and nobody commits, such as a database's password. No command shows a value."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Callable

from rich.table import Table

from kumoi.cli.output import cells, console, say, say_json
from kumoi.cli.run import add_cloud, client_of, when
from kumoi.pipeline.client import Client


def add_to(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, (_act, about, example) in ACTIONS.items():
        epilog = f"example: ./kumoi secret {example}"
        action = actions.add_parser(name, help=about, description=about, epilog=epilog)
        add_cloud(action)
        action.add_argument("repository", help="its name, without .git")
        if name == "list":
            action.add_argument("--json", action="store_true", help="for programs")
        else:
            action.add_argument("name", help="as kumoi.yaml names it, such as DB_PASSWORD")


def run(args: argparse.Namespace) -> int:
    act = ACTIONS[args.action][0]
    return act(client_of(args), args)


def set_(client: Client, args: argparse.Namespace) -> int:
    if sys.stdin.isatty():
        value = getpass.getpass(f"{args.name}: ")
    else:
        value = sys.stdin.read().removesuffix("\n")
    client.put(f"repositories/{args.repository}/secrets/{args.name}", value=value)
    say(f"secret {args.name} of {args.repository} is set; runs that begin from now on have it")
    return 0


def list_(client: Client, args: argparse.Namespace) -> int:
    found = client.get(f"repositories/{args.repository}/secrets")["secrets"]
    if args.json:
        say_json(found)
        return 0
    table = Table("Secret", "Set", "By")
    for each in found:
        table.add_row(*cells(each["name"], when(each["set_at"]), each["user_id"]))
    console().print(table)
    return 0


def delete(client: Client, args: argparse.Namespace) -> int:
    client.delete(f"repositories/{args.repository}/secrets/{args.name}")
    say(f"secret {args.name} of {args.repository} is gone")
    return 0


Act = Callable[[Client, argparse.Namespace], int]
ACTIONS: dict[str, tuple[Act, str, str]] = {
    "set": (set_, "read a value from standard input, or ask for it", "set shop DB_PASSWORD <file"),
    "list": (list_, "the names of a repository's secrets", "list shop --json"),
    "delete": (delete, "forget one", "delete shop DB_PASSWORD"),
}
