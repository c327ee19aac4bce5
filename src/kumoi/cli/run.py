"""`kumoi run`: list, show and follow the runs of pushes, by the pipeline's API."""

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
from kumoi.cli.output import cells, console, say
from kumoi.pipeline.client import Client
from kumoi.pipeline.stage import Stage

COLOURS = {"verified": "green", "failed": "red", "cancelled": "yellow", "running": "cyan"}
WAIT_S = 20
AWAY_MAX_S = 60.0
AWAY_AGAIN_S = 1.0


def add_to(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, (_act, about) in ACTIONS.items():
        example = f"example: ./kumoi run {name}{EXAMPLES.get(name, '')}"
        action = actions.add_parser(name, help=about, description=about, epilog=example)
        if name == "follow":
            action.add_argument("id", nargs="?", help="none is the newest run")
        elif name != "list":
            action.add_argument("id", help="as `git push` printed it, or `kumoi run list`")
        add_cloud(action)
        if name == "list":
            action.add_argument("--branch", help="of this branch only")
        if name in ("list", "show"):
            action.add_argument("--json", action="store_true", help="for programs")


def add_cloud(parser: argparse.ArgumentParser) -> None:
    """The options that name the pipeline and the user who asks it."""
    parser.add_argument("--os-cloud", default="kumoi", help="entry of clouds.yaml (default: kumoi)")
    parser.add_argument("--pipeline-url", help="where the pipeline is (default: beside the cloud)")


def run(args: argparse.Namespace) -> int:
    act, _about = ACTIONS[args.action]
    return act(Client(args.os_cloud, args.pipeline_url), args)


def list_(client: Client, args: argparse.Namespace) -> int:
    found = client.get("runs")["runs"]
    if getattr(args, "branch", None):
        found = [each for each in found if each["branch"] == args.branch]
    if args.json:
        print(json.dumps(found, indent=2))
        return 0
    table = Table("Run", "Repository", "Branch", "Commit", "Status", "Stage", "Began", "URL")
    for each in found:
        status = Text(each["status"], COLOURS[each["status"]])
        url = (each["environment"] or {}).get("url", "")
        row = cells(
            each["id"], each["repository"], each["branch"], each["commit"][:10], status,
            each["stage"], when(each["created_at"]), url,
        )  # fmt: skip
        table.add_row(*row)
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
    """Print the whole log as it is now."""
    offset = 0
    while text := client.get(f"runs/{args.id}/log", offset=offset)["text"]:
        say(text, end="")
        offset += len(text)
    return 0


def junit(client: Client, args: argparse.Namespace) -> int:
    say(client.text(f"runs/{args.id}/junit.xml"), end="")
    return 0


def retry(client: Client, args: argparse.Namespace) -> int:
    """Run the same commit again and show it, as `follow` does."""
    new = client.post(f"runs/{args.id}/retry")["run"]
    return follow_run(client, new["id"], console())


def cancel(client: Client, args: argparse.Namespace) -> int:
    found = client.post(f"runs/{args.id}/cancel")["run"]
    how = "is being cancelled" if found["status"] == "running" else f"had ended: {found['status']}"
    say(f"run {args.id} {how}")
    return 0


def follow(client: Client, args: argparse.Namespace) -> int:
    """Show the run that is named, or the newest, until it has ended; 0 when it is verified."""
    run_id = args.id
    if run_id is None:
        newest = client.get("runs")["runs"]
        if not newest:
            raise NotFound("run", "", message="there is no run yet: push something")
        run_id = newest[0]["id"]
    return follow_run(client, run_id, console())


def follow_run(client: Client, id: str, out: Console) -> int:
    """Show the log as it grows. On a terminal a line of all stages stays below it; elsewhere each
    stage that begins is a line in it.
    """
    if out.is_terminal:
        newest: list[dict[str, Any]] = []
        with Live(
            console=out, auto_refresh=True, get_renderable=lambda: _stage_line(newest)
        ) as live:
            for update in _updates(client, id):
                newest[:] = [update]
                if update["text"]:
                    live.console.print(escape(update["text"].rstrip("\n")), highlight=False)
    else:
        shown: set[str] = set()
        for update in _updates(client, id):
            for stage in update["stages"]:
                if stage["name"] not in shown:
                    shown.add(stage["name"])
                    out.print(f"== {stage['name']}", highlight=False)
            out.print(escape(update["text"]), end="", highlight=False, soft_wrap=True)
    found = client.get(f"runs/{id}")["run"]
    for line in _summary(found):
        out.print(line, highlight=False, soft_wrap=True)
    return 0 if found["status"] == "verified" else 1


def _updates(client: Client, id: str) -> Iterator[dict[str, Any]]:
    """Each answer with more of the log, or another stage, until the run has ended. A pipeline that
    does not answer is asked again for AWAY_MAX_S.
    """
    offset = 0
    stage = "none"
    away_s = 0.0
    while True:
        try:
            update = client.get(f"runs/{id}/log", offset=offset, stage=stage, wait_s=WAIT_S)
        except Transient:
            if away_s > AWAY_MAX_S:
                raise
            time.sleep(AWAY_AGAIN_S)
            away_s += AWAY_AGAIN_S
            continue
        away_s = 0.0
        offset, stage = update["next_offset"], update["stage"]
        yield update
        if update["status"] != "running" and not update["text"]:
            return


def _stage_line(updates: list[dict[str, Any]]) -> Text:
    """Every stage with its seconds so far, and what the run waits for; empty before an update."""
    line = Text()
    for update in updates:
        begun = {stage["name"]: stage for stage in update["stages"]}
        for name in Stage:
            stage = begun.get(name)
            style = "dim" if stage is None else "green" if stage.get("ended_at") else "bold cyan"
            seconds = f" {_seconds(stage):.1f}s" if stage else ""
            line.append(f" {name}{seconds} ", style)
        if update["waits_for"]:
            line.append(f"  waits for {update['waits_for']}", "dim")
    return line


def _summary(found: dict[str, Any]) -> Iterator[str]:
    colour = COLOURS[found["status"]]
    yield (
        f"run {escape(found['id'])}: [bold {colour}]{found['status']}[/]  {escape(found['repository'])} "
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
        yield f"it lives until {when(environment['expires_at'])}"


def _seconds(stage: dict[str, Any]) -> float:
    text = stage.get("ended_at")
    end = datetime.fromisoformat(text) if text else datetime.now(UTC)
    return (end - datetime.fromisoformat(stage["began_at"])).total_seconds()


def when(text: str) -> str:
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")


EXAMPLES = {
    "list": " --json",
    "show": " 4f1c2a9be07d",
    "log": " 4f1c2a9be07d",
    "junit": " 4f1c2a9be07d > results.xml",
    "retry": " 4f1c2a9be07d",
    "cancel": " 4f1c2a9be07d",
}
Act = Callable[[Client, argparse.Namespace], int]
ACTIONS: dict[str, tuple[Act, str]] = {
    "list": (list_, "the newest runs"),
    "show": (show, "one run, its stages and its checks"),
    "follow": (follow, "show a run as it goes on; ends with it, with 0 when it is verified"),
    "log": (log, "what the runner logged"),
    "junit": (junit, "the checks as JUnit XML"),
    "retry": (retry, "run the same commit again, and follow it"),
    "cancel": (cancel, "end one that goes on; what it built is taken back"),
}
