"""`kumoi run`: what became of a push. It asks the pipeline's API as a user of clouds.yaml."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from kumoi.base.errors import NotFound, Transient
from kumoi.pipeline.client import Client

STAGES = ("receive", "build", "configure", "verify", "report")
COLOURS = {"verified": "green", "failed": "red", "cancelled": "yellow", "running": "cyan"}
WAIT_S = 20
AWAY_MAX_S = 60.0
AWAY_AGAIN_S = 1.0
WIDTH_ELSEWHERE = 200


def add_to(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, (_act, about) in ACTIONS.items():
        action = actions.add_parser(name, help=about, description=about)
        if name == "follow":
            action.add_argument("id", nargs="?", help="none is the newest run")
        elif name != "list":
            action.add_argument("id", help="as `git push` printed it, or `kumoi run list`")
        add_cloud(action)
        if name in ("list", "show"):
            action.add_argument("--json", action="store_true", help="for programs")


def add_cloud(parser: argparse.ArgumentParser) -> None:
    """Whom to ask, and as whom."""
    parser.add_argument("--os-cloud", default="kumoi", help="entry of clouds.yaml (default: kumoi)")
    parser.add_argument("--pipeline-url", help="where the pipeline is (default: beside the cloud)")


def run(args: argparse.Namespace) -> int:
    act, _about = ACTIONS[args.action]
    return act(Client(args.os_cloud, args.pipeline_url), args)


def list_(client: Client, args: argparse.Namespace) -> int:
    found = client.get("runs")["runs"]
    if args.json:
        print(json.dumps(found, indent=2))
        return 0
    table = Table("Run", "Repository", "Branch", "Commit", "Status", "Stage", "Began", "URL")
    for each in found:
        status = Text(each["status"], COLOURS[each["status"]])
        url = (each["environment"] or {}).get("url", "")
        table.add_row(
            each["id"], each["repository"], each["branch"], each["commit"][:10], status,
            each["stage"], _when(each["created_at"]), url,
        )  # fmt: skip
    console().print(table)
    return 0


def show(client: Client, args: argparse.Namespace) -> int:
    found = client.get(f"runs/{args.id}")["run"]
    if args.json:
        print(json.dumps(found, indent=2))
    else:
        for line in _summary(found):
            console().print(line, highlight=False)
    return 0


def log(client: Client, args: argparse.Namespace) -> int:
    """All there is of it now."""
    offset = 0
    while text := client.get(f"runs/{args.id}/log", offset=offset)["text"]:
        print(text, end="")
        offset += len(text)
    return 0


def junit(client: Client, args: argparse.Namespace) -> int:
    print(client.text(f"runs/{args.id}/junit.xml"), end="")
    return 0


def follow(client: Client, args: argparse.Namespace) -> int:
    """Until the run has ended; 0 when it is verified."""
    return follow_run(client, args.id or _newest(client), console())


def follow_run(client: Client, id: str, out: Console) -> int:
    """On a terminal the stages stand below the log and move; elsewhere each is a line."""
    if out.is_terminal:
        news: list[dict[str, Any]] = []
        with Live(console=out, auto_refresh=True, get_renderable=lambda: _stages(news)) as live:
            for new in _news(client, id):
                news[:] = [new]
                if new["text"]:
                    live.console.print(escape(new["text"].rstrip("\n")), highlight=False)
    else:
        told: set[str] = set()
        for new in _news(client, id):
            for stage in new["stages"]:
                if stage["name"] not in told:
                    told.add(stage["name"])
                    out.print(f"== {stage['name']}", highlight=False)
            out.print(escape(new["text"]), end="", highlight=False, soft_wrap=True)
    found = client.get(f"runs/{id}")["run"]
    for line in _summary(found):
        out.print(line, highlight=False, soft_wrap=True)
    return 0 if found["status"] == "verified" else 1


def _newest(client: Client) -> str:
    found = client.get("runs")["runs"]
    if not found:
        raise NotFound("run", "", message="there is no run yet: push something")
    return str(found[0]["id"])


def console() -> Console:
    plain = Console()
    return plain if plain.is_terminal else Console(width=WIDTH_ELSEWHERE)


def _news(client: Client, id: str) -> Iterator[dict[str, Any]]:
    """The log and the stages as they come. A pipeline that is away for a moment is waited for."""
    offset = 0
    stage = "none"
    away_s = 0.0
    while True:
        try:
            new = client.get(f"runs/{id}/log", offset=offset, stage=stage, wait_s=WAIT_S)
        except Transient:
            if away_s > AWAY_MAX_S:
                raise
            time.sleep(AWAY_AGAIN_S)
            away_s += AWAY_AGAIN_S
            continue
        away_s = 0.0
        offset, stage = new["next_offset"], new["stage"]
        yield new
        if new["status"] != "running" and not new["text"]:
            return


def _stages(news: list[dict[str, Any]]) -> Text:
    """One line: every stage, how long it took or takes, and what is waited for."""
    line = Text()
    for new in news:
        there = {stage["name"]: stage for stage in new["stages"]}
        for name in STAGES:
            stage = there.get(name)
            style = "dim" if stage is None else "green" if stage.get("ended_at") else "bold cyan"
            seconds = f" {_seconds(stage):.1f}s" if stage else ""
            line.append(f" {name}{seconds} ", style)
        if new["waits_for"]:
            line.append(f"  waits for {new['waits_for']}", "dim")
    return line


def _summary(found: dict[str, Any]) -> Iterator[str]:
    colour = COLOURS[found["status"]]
    yield (
        f"run {found['id']}: [bold {colour}]{found['status']}[/]  {escape(found['repository'])} "
        f"{escape(found['branch'])} {found['commit'][:10]}"
    )
    yield "  ".join(f"{stage['name']} {_seconds(stage):.1f} s" for stage in found["stages"])
    for result in found.get("results", []):
        outcomes = [check["outcome"] for check in result["checks"]]
        counted = ", ".join(
            f"{outcomes.count(each)} {each}" for each in ("passed", "failed", "skipped")
            if outcomes.count(each)
        )  # fmt: skip
        yield f"{result['stage']}: {counted or 'nothing to do'}"
    if found["reason"]:
        yield f"[{colour}]{escape(found['reason'])}[/]"
    environment = found["environment"]
    if environment and environment["status"] == "live":
        where = environment["url"] or "no URL, since no group has ports"
        yield f"environment {environment['id']}: [bold]{escape(where)}[/]"
        yield f"it lives until {_when(environment['expires_at'])}"


def _seconds(stage: dict[str, Any]) -> float:
    ended = stage.get("ended_at")
    until = datetime.fromisoformat(ended) if ended else datetime.now(UTC)
    return (until - datetime.fromisoformat(stage["began_at"])).total_seconds()


def _when(text: str) -> str:
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")


Act = Callable[[Client, argparse.Namespace], int]
ACTIONS: dict[str, tuple[Act, str]] = {
    "list": (list_, "the newest runs"),
    "show": (show, "one run, its stages and its checks"),
    "follow": (follow, "show a run as it goes on; ends with it, with 0 when it is verified"),
    "log": (log, "what the runner logged"),
    "junit": (junit, "the checks as JUnit XML"),
}
