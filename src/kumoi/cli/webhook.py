"""`kumoi webhook`: git hosts that feed a repository here, by the pipeline's API."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from rich.table import Table

from kumoi.cli.output import cells, console, say, say_json
from kumoi.cli.run import add_cloud, client_of, when
from kumoi.pipeline.client import Client
from kumoi.pipeline.webhook import GitHost

SHOWN = ("id", "repository", "host", "url", "api_url", "deliver_url", "has_token")
COMMIT_SHOWN = 10


def add_to(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, (_act, about, example) in ACTIONS.items():
        epilog = f"example: ./kumoi webhook {example}"
        action = actions.add_parser(name, help=about, description=about, epilog=epilog)
        add_cloud(action)
        if name in ("show", "delete"):
            action.add_argument("id", help="as `kumoi webhook list` has it")
        if name in ("list", "show", "create"):
            action.add_argument("--json", action="store_true", help="for programs")
        if name == "create":
            _add_new(action)


def _add_new(action: argparse.ArgumentParser) -> None:
    action.add_argument("repository", help="its name here")
    action.add_argument("url", help="where it is cloned from, such as https://github.com/o/r.git")
    action.add_argument("--host", required=True, choices=[each.value for each in GitHost])
    action.add_argument("--api-url", default="", help="the host's API (default: by the URL)")
    action.add_argument(
        "--token-stdin",
        action="store_true",
        help="read a token from standard input: to fetch what is private, and to post the status of commits",
    )


def run(args: argparse.Namespace) -> int:
    act = ACTIONS[args.action][0]
    return act(client_of(args), args)


def create(client: Client, args: argparse.Namespace) -> int:
    body: dict[str, Any] = {
        "repository": args.repository,
        "host": args.host,
        "url": args.url,
        "api_url": args.api_url,
        "token": sys.stdin.readline().strip() if args.token_stdin else "",
    }
    credential = client.credential()
    if credential is not None:
        body["credential"] = {"id": credential[0], "secret": credential[1]}
    made = client.post("webhooks", **body)["webhook"]
    if args.json:
        say_json(made)
        return 0
    _say(made)
    say(f"{'secret':<13}{made['secret']}   (shown this once)")
    say(
        f"Give {args.host} the deliver_url and the secret; content type application/json, pushes only."
    )
    return 0


def list_(client: Client, args: argparse.Namespace) -> int:
    found = client.get("webhooks")["webhooks"]
    if args.json:
        say_json(found)
        return 0
    table = Table("Webhook", "Repository", "Host", "URL", "Looked at")
    for each in found:
        looked = when(each["looked_at"]) if each["looked_at"] else ""
        table.add_row(*cells(each["id"], each["repository"], each["host"], each["url"], looked))
    console().print(table)
    return 0


def show(client: Client, args: argparse.Namespace) -> int:
    found = client.get(f"webhooks/{args.id}")["webhook"]
    if args.json:
        say_json(found)
        return 0
    _say(found)
    table = Table("Received", "Branch", "Commit", "Outcome")
    for each in found["deliveries"]:
        outcome = each["outcome"] if each["done_at"] else "waits to be fetched"
        received, commit = when(each["received_at"]), each["commit"][:COMMIT_SHOWN]
        table.add_row(*cells(received, each["branch"], commit, outcome))
    console().print(table)
    return 0


def delete(client: Client, args: argparse.Namespace) -> int:
    client.delete(f"webhooks/{args.id}")
    say(f"webhook {args.id} is gone; environments live until their time is over")
    return 0


def _say(found: dict[str, Any]) -> None:
    for name in SHOWN:
        say(f"{name:<13}{found[name]}")


Act = Callable[[Client, argparse.Namespace], int]
ACTIONS: dict[str, tuple[Act, str, str]] = {
    "create": (
        create,
        "let a git host feed a repository",
        "create --host github shop https://github.com/o/shop.git",
    ),
    "list": (list_, "the git hosts that feed this project", "list --json"),
    "show": (show, "one, with what it told and what became of it", "show 4f1c2a9be07d"),
    "delete": (delete, "let it tell no more", "delete 4f1c2a9be07d"),
}
