"""`kumoi run`: list, show and follow the runs of pushes, by the pipeline's API."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from kumoi import config
from kumoi.base.errors import NotFound, Transient
from kumoi.cli import choice
from kumoi.cli.output import cells, console, one_line, say, say_json
from kumoi.config import CloudSettings
from kumoi.pipeline.client import Client
from kumoi.pipeline.stage import Stage

COLOURS = {"verified": "green", "failed": "red", "cancelled": "yellow", "running": "cyan"}
WAIT_S = 20
AWAY_MAX_S = 60.0
AWAY_AGAIN_S = 1.0
FAILURES_SHOWN, OUTPUT_LINES = 5, 20
EXIT_NOT_VERIFIED, EXIT_CANCELLED, EXIT_AWAY = 1, 3, 75
OF_NEWEST = ("show", "follow", "log", "junit", "report")
EXITS = {"verified": 0, "failed": EXIT_NOT_VERIFIED, "cancelled": EXIT_CANCELLED}


def add_to(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, (_act, about) in ACTIONS.items():
        example = f"example: ./kumoi run {name}{EXAMPLES.get(name, '')}"
        action = actions.add_parser(name, help=about, description=about, epilog=example)
        if name in OF_NEWEST:
            action.add_argument("id", nargs="?", help="none is the newest run")
        elif name != "list":
            action.add_argument("id", help="as `git push` printed it, or `kumoi run list`")
        add_cloud(action)
        if name == "list":
            action.add_argument("--branch", help="of this branch only")
        if name in ("list", "show", "log", "report", "cancel"):
            action.add_argument("--json", action="store_true", help="for programs")


def add_cloud(parser: argparse.ArgumentParser) -> None:
    """The options that name the pipeline and the user who asks it."""
    parser.add_argument(
        "--os-cloud", default=choice.os_cloud(),
        help="entry of clouds.yaml (default: what OS_CLOUD says, or kumoi)",
    )  # fmt: skip
    parser.add_argument("--pipeline-url", help="where the pipeline is (default: beside the cloud)")


def client_of(args: argparse.Namespace) -> Client:
    """Of the pipeline that was named; or of the one that serves this cloud alone, from this machine; or
    of the one that the entry of clouds.yaml names.
    """
    here = choice.of_pipeline_alone(args.os_cloud)
    if args.pipeline_url or not config.file_of(CloudSettings, here.state).exists():
        return Client(args.os_cloud, args.pipeline_url)
    served = config.read(CloudSettings, here.state).settings
    return Client(args.os_cloud, served.pipeline_url, str(here.pki_dir / "ca.crt"))


def run(args: argparse.Namespace) -> int:
    """An exit status of EXITS, whose words the guide repeats; errors of use have main.py's."""
    act, _about = ACTIONS[args.action]
    try:
        client = client_of(args)
        if args.action in OF_NEWEST:
            args.id = args.id or newest(client)
        return act(client, args)
    except Transient as away:
        say(f"kumoi: {away.message}", file=sys.stderr)
        return EXIT_AWAY


def list_(client: Client, args: argparse.Namespace) -> int:
    found = client.get("runs")["runs"]
    if getattr(args, "branch", None):
        found = [each for each in found if each["branch"] == args.branch]
    if args.json:
        say_json(found)
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
    if args.json:
        say_json(client.get(f"runs/{args.id}")["run"])
        return 0
    _tell(client, client.get(f"runs/{args.id}/report")["report"], console())
    return 0


def report(client: Client, args: argparse.Namespace) -> int:
    """The page for people, whole in itself; or the same as JSON."""
    if args.json:
        say_json(client.get(f"runs/{args.id}/report")["report"])
    else:
        say(client.text(f"runs/{args.id}/report.html"), end="")
    return 0


def log(client: Client, args: argparse.Namespace) -> int:
    """Print the whole log as it is now; as JSON with the run's status and stage at its end."""
    offset, texts = 0, list[str]()
    while (part := client.get(f"runs/{args.id}/log", offset=offset))["text"]:
        offset += len(part["text"])
        if args.json:
            texts.append(part["text"])
        else:
            say(part["text"], end="")
    if args.json:
        state = {name: part[name] for name in ("status", "stage", "stages", "waits_for")}
        say_json({"id": args.id, **state, "text": "".join(texts)})
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
    if args.json:
        say_json(found)
        return 0
    how = "is being cancelled" if found["status"] == "running" else f"had ended: {found['status']}"
    say(f"run {args.id} {how}")
    return 0


def follow(client: Client, args: argparse.Namespace) -> int:
    """Show the run until it has ended; 0 when it is verified."""
    return follow_run(client, args.id, console())


def newest(client: Client) -> str:
    """The id of the run that began last. Raises NotFound."""
    found = client.get("runs")["runs"]
    if not found:
        raise NotFound("run", "", message="there is no run yet: push something")
    return str(found[0]["id"])


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
                    live.console.print(update["text"].rstrip("\n"), highlight=False)
    else:
        shown: set[str] = set()
        for update in _updates(client, id):
            for stage in update["stages"]:
                if stage["name"] not in shown:
                    shown.add(stage["name"])
                    out.print(f"== {stage['name']}", highlight=False)
            out.print(update["text"], end="", highlight=False, soft_wrap=True)
    found = client.get(f"runs/{id}/report")["report"]
    _tell(client, found, out)
    return EXITS.get(found["status"], EXIT_NOT_VERIFIED)


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


def _tell(client: Client, found: dict[str, Any], out: Console) -> None:
    for line in _summary(found):
        out.print(line, highlight=False, soft_wrap=True)
    page = f"{client.url}/reports/{found['project']}/{found['id']}"
    out.print(f"report: {page}", highlight=False, soft_wrap=True)


def _summary(found: dict[str, Any]) -> Iterator[str | Text]:
    """A report's lines: what failed first, then the stages, what changed, and where it is."""
    colour = COLOURS[found["status"]]
    for each in found["failures"][:FAILURES_SHOWN]:
        where = f"{each['server']}: " if each["server"] else ""
        what = f" {one_line(where + each['name'])}  "
        yield Text.assemble(("✗", "bold red"), what, (one_line(each["stage"]), "dim"))
        for line in each["output"].strip().splitlines()[-OUTPUT_LINES:]:
            yield f"    {line}"
    if len(found["failures"]) > FAILURES_SHOWN:
        yield f"and {len(found['failures']) - FAILURES_SHOWN} more failed"
    where = f"{found['repository']} {found['branch']} {found['commit'][:10]}"
    status = (found["status"], f"bold {colour}")
    yield Text.assemble(
        f"run {found['id']}: ", status, f"  {one_line(where)}  {found['seconds']:.1f} s"
    )
    yield "  ".join(f"{stage['name']} {stage['seconds']:.1f} s" for stage in found["stages"])
    counts = ", ".join(f"{count} {name}" for name, count in found["counts"].items() if count)
    yield f"checks: {counts or 'none'}"
    if found["reason"] and not found["failures"]:
        yield Text(found["reason"], colour)
    yield from _changes(found["changes"])
    # What a cancelled run built is taken back, now or in a moment.
    if found["environment_status"] == "live" and found["status"] != "cancelled":
        where = found["url"] or "no URL, since no group has ports"
        yield Text.assemble(f"environment {found['environment']}: ", (where, "bold"))
        yield f"it lives until {when(found['expires_at'])}; {found['lasting_url']} outlives it"


def _changes(found: dict[str, Any] | None) -> Iterator[str | Text]:
    if found is None or not found["commits"]:
        return
    since = f"{found['since'][:10]}, verified last" if found["since"] else "the beginning"
    yield f"changed since {since}:"
    for each in found["commits"]:
        what = f"  {each['commit'][:10]} {each['subject']}  "
        yield Text.assemble(what, (each["author"], "dim"))
    if found["more"]:
        yield f"  and {found['more']} more"
    lines = found["diffstat"].splitlines()
    if lines:
        yield f"  {lines[-1].strip()}"


def _seconds(stage: dict[str, Any]) -> float:
    text = stage.get("ended_at")
    end = datetime.fromisoformat(text) if text else datetime.now(UTC)
    return (end - datetime.fromisoformat(stage["began_at"])).total_seconds()


def when(text: str) -> str:
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")


EXAMPLES = {
    "list": " --json",
    "show": " 4f1c2a9be07d",
    "log": " 4f1c2a9be07d --json",
    "junit": " 4f1c2a9be07d > results.xml",
    "report": " 4f1c2a9be07d > report.html",
    "retry": " 4f1c2a9be07d",
    "cancel": " 4f1c2a9be07d",
}
Act = Callable[[Client, argparse.Namespace], int]
ACTIONS: dict[str, tuple[Act, str]] = {
    "list": (list_, "the newest runs"),
    "show": (show, "one run, its stages and its checks"),
    "follow": (
        follow,
        "show a run as it goes on; ends with it: 0 verified, 1 failed, 3 cancelled, 75 nobody answers",
    ),
    "log": (log, "what the runner logged"),
    "junit": (junit, "the checks as JUnit XML"),
    "report": (report, "the report as one HTML page, or as JSON"),
    "retry": (retry, "run the same commit again, and follow it"),
    "cancel": (cancel, "end one that goes on; what it built is taken back"),
}
