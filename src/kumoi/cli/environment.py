"""`kumoi environment`: list, show and delete the environments that pushes have built."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

from rich.table import Table

from kumoi.base.errors import Permanent
from kumoi.cli.output import cells, console, say
from kumoi.cli.run import add_cloud
from kumoi.pipeline.client import Client

WAIT_MAX_S = 900.0
LOOK_AGAIN_S = 0.5
COMMIT_SHOWN = 10


def add_to(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, (_act, about) in ACTIONS.items():
        action = actions.add_parser(name, help=about, description=about)
        add_cloud(action)
        if name != "list":
            action.add_argument("id", help="as `kumoi environment list` shows it")
        if name == "list":
            action.add_argument("--all", action="store_true", help="the deleted ones too")
        if name == "delete":
            action.add_argument("--wait", action="store_true", help="until nothing of it is left")
        else:
            action.add_argument("--json", action="store_true", help="for programs")


def run(args: argparse.Namespace) -> int:
    act, _about = ACTIONS[args.action]
    return act(Client(args.os_cloud, args.pipeline_url), args)


def list_(client: Client, args: argparse.Namespace) -> int:
    found: list[dict[str, Any]] = client.get("environments", all=int(args.all))["environments"]
    if args.json:
        print(json.dumps(found, indent=2))
        return 0
    table = Table("Environment", "Branch", "Commit", "Run", "Status", "URL", "Expires")
    for each in found:
        status = each["status"] if not each["reason"] else f"{each['status']}: {each['reason']}"
        expires = each["expires_at"][:19].replace("T", " ")
        about = (each["id"], each["branch"], each["commit"][:COMMIT_SHOWN], each["run_id"])
        table.add_row(*cells(*about, status, each["url"], expires))
    console().print(table)
    return 0


def show(client: Client, args: argparse.Namespace) -> int:
    found: dict[str, Any] = client.get(f"environments/{args.id}")["environment"]
    if args.json:
        print(json.dumps(found, indent=2))
        return 0
    for name, value in found.items():
        say(f"{name:<12}{value if value is not None else ''}")
    return 0


def delete(client: Client, args: argparse.Namespace) -> int:
    found = client.delete(f"environments/{args.id}")["environment"]
    deadline_s = time.monotonic() + WAIT_MAX_S
    while args.wait and found["status"] != "deleted":
        if time.monotonic() > deadline_s:
            raise Permanent(f"environment {args.id} is still there: {found['reason']}")
        time.sleep(LOOK_AGAIN_S)
        found = client.get(f"environments/{args.id}")["environment"]
    print(f"environment {args.id} is {'deleted' if args.wait else 'being deleted'}")
    return 0


Act = Callable[[Client, argparse.Namespace], int]
ACTIONS: dict[str, tuple[Act, str]] = {
    "list": (list_, "the environments that are there"),
    "show": (show, "one, with the commit that it was built of"),
    "delete": (delete, "delete one, with everything in it"),
}
