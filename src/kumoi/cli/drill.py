"""`kumoi drill`: breaks everything in turn on a cloud that is up, under traffic, and prints what that cost."""

from __future__ import annotations

import argparse
import contextlib
import logging
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from kumoi import config
from kumoi.base.errors import Conflict, Invalid, Permanent
from kumoi.cli import choice, components, status
from kumoi.cli.output import OperatorConsole, console, one_line, say, say_json, table
from kumoi.cli.progress import Progress, ProgressStage
from kumoi.components import PIPELINE, Api, with_needs
from kumoi.config import CloudSettings, HostSettings
from kumoi.drill import pings, tenant
from kumoi.drill.copies import Copies
from kumoi.drill.drilling import Drilling
from kumoi.drill.load import Load
from kumoi.drill.outcome import COLUMNS, NEVER, DrillOutcome, is_good
from kumoi.drill.pings import Pinging
from kumoi.drill.place import DrillHost
from kumoi.drill.plan import HOST, Drilled, choose
from kumoi.drill.pushes import RepeatedPushes
from kumoi.drill.redundancy import Redundancy
from kumoi.drill.tenant import DrillTenant
from kumoi.hosts.install import packages

NEEDED = with_needs(Api.COMPUTE, Api.NETWORK, Api.IMAGE)
PACKAGES = ("iputils-ping",)
MINUTES = 10.0
TROUBLES_SHOWN = 5
ANSWERS_S, POLL_S = 60.0, 0.3
NO_TIME = "no time was left"


def add_to(parser: argparse.ArgumentParser) -> None:
    choice.add_to(parser)
    parser.add_argument(
        "--minutes",
        type=float,
        default=MINUTES,
        help=f"no fault begins later than that (default: {MINUTES:g})",
    )
    parser.add_argument("--only", metavar="COMPONENT", default="", help="one unit, or one host")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--yes", action="store_true", help="also where others have servers")


def run(args: argparse.Namespace) -> int:
    """0 when all was redundant again each time, nothing acknowledged was lost and no server ran twice."""
    cloud, host = choice.existing(args)
    components.require(cloud, host, NEEDED, "a drill")
    places = _places(cloud, host)
    drills = _drills(places, args.only)
    progress = Progress(OperatorConsole(stderr=True, highlight=False, soft_wrap=True))
    entry = status.admin_entry(cloud, host)
    for name in ("keystoneauth", "openstack"):  # Each call of theirs that is cut is counted.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    admin = tenant.connect(entry)
    _require_consent(tenant.others_servers(admin), yes=args.yes)
    packages.ensure(PACKAGES)
    pushes: RepeatedPushes | None = None
    outcomes: list[DrillOutcome] = []
    try:
        with choice.alone(cloud, host), _ended_by_a_signal():
            redundancy = Redundancy(places, admin)
            if missing := redundancy.missing():
                raise Conflict(f"the cloud is not whole as it is, missing: {', '.join(missing)}")
            with contextlib.ExitStack() as stack:
                traffic = contextlib.ExitStack()
                stack.callback(_removed, traffic, progress)
                pushes, drilling = _begin(traffic, places, entry, redundancy, progress)
                _perform(drilling, drills, args.minutes, progress, outcomes)
    finally:  # Also what was counted before somebody interrupted.
        if outcomes:
            _print(outcomes, pushes, as_json=args.json)
    return 0 if is_good(outcomes) else 1


def _begin(
    stack: contextlib.ExitStack,
    places: Sequence[DrillHost],
    entry: dict[str, Any],
    redundancy: Redundancy,
    progress: Progress,
) -> tuple[RepeatedPushes | None, Drilling]:
    """The traffic, which ends with the stack."""
    directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kumoi-drill-")))
    first = places[0]
    with progress.stage("a project with servers, a floating IP and clients") as stage:
        made = stack.enter_context(tenant.made(redundancy.admin, entry, stage.tell))
        tenant.furnish(made, places, stage.tell)
        pinging = stack.enter_context(_pinging(made, places, directory, stage.tell))
        load = Load(made.connect)
        copies = Copies(list(made.servers.values()), [place.host.name for place in places])
        pushes = _pushes(first.cloud, first.host, made, directory)
        traffic: list[Load | Copies | RepeatedPushes] = [
            load,
            copies,
            *([pushes] if pushes else []),
        ]
        for each in traffic:
            stack.callback(each.stop)
            each.start()
    by_host = {place.host.name: place for place in places}
    return pushes, Drilling(by_host, load, pinging, copies, redundancy, made.connect())


def _perform(
    drilling: Drilling,
    drills: Sequence[Drilled],
    minutes: float,
    progress: Progress,
    outcomes: list[DrillOutcome],
) -> None:
    """One after the other, into `outcomes`; what leaves something missing is the last."""
    ends_s = time.monotonic() + 60 * minutes
    for drilled in drills:
        if time.monotonic() > ends_s:
            outcomes.append(DrillOutcome(drilled, skipped=NO_TIME))
            continue
        with progress.stage(drilled.words) as stage:
            outcomes.append(drilling.perform(drilled, stage.tell))
            _note(stage, outcomes[-1])
        if outcomes[-1].redundant_s == NEVER:
            break


def _removed(traffic: contextlib.ExitStack, progress: Progress) -> None:
    with progress.stage("end the traffic, remove the project"):
        traffic.close()


def _places(cloud: CloudSettings, host: HostSettings) -> list[DrillHost]:
    """The cloud's hosts on this machine, the first before the others. Raises Conflict."""
    others = choice.others_here(cloud, host)
    if not others:
        raise Conflict(
            f"the cloud {cloud.name} has one host here, and a drill needs two: "
            f"sudo ./kumoi up --hosts 3{choice.words(cloud, host)}"
        )
    theirs = [
        DrillHost(config.read(CloudSettings, other.state).settings, other) for other in others
    ]
    return [DrillHost(cloud, host), *theirs]


def _drills(places: Sequence[DrillHost], only: str) -> list[Drilled]:
    """Raises Invalid when there is no such component."""
    by_host = {place.host.name: place.components() for place in places}
    found = choose(by_host, only)
    if only and len(found) == 1:
        names = sorted({name for each in by_host.values() for name in each})
        raise Invalid(
            f"there is no component {only}: {', '.join(names)}; {HOST}; {', '.join(by_host)}",
            field="only",
        )
    return found


def _require_consent(others: int, *, yes: bool) -> None:
    """Raises Conflict without it."""
    if not others or yes:
        return
    what = f"{others} server{'' if others == 1 else 's'} of others are on this cloud and feel what is broken"
    if not sys.stdin.isatty():
        raise Conflict(f"{what}: say --yes if that may be")
    say(f"{what}. Go on? [y/N] ", end="", file=sys.stderr)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise Conflict("nothing was done")


@contextlib.contextmanager
def _ended_by_a_signal() -> Iterator[None]:
    """The first one interrupts; what was broken is mended, and what was made removed, whatever comes then."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def interrupt(_number: int, _frame: object) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _pushes(
    cloud: CloudSettings, host: HostSettings, made: DrillTenant, directory: Path
) -> RepeatedPushes | None:
    """None where the cloud has no pipeline."""
    if PIPELINE in components.off_of(cloud, host):
        return None
    return RepeatedPushes(made.entry, cloud.pipeline_url, directory)


@contextlib.contextmanager
def _pinging(
    made: DrillTenant, places: Sequence[DrillHost], directory: Path, tell: Callable[[str], None]
) -> Iterator[list[Pinging]]:
    """Once all of them are answered."""
    with pings.under_way(tenant.streams(made, places), directory) as found:
        ends_s = time.monotonic() + ANSWERS_S
        while silent := [each.stream.name for each in found if not each.is_answered()]:
            if time.monotonic() > ends_s:
                raise Permanent(f"no ping is answered: {', '.join(silent)}")
            tell(f"not answered yet: {', '.join(silent)}")
            time.sleep(POLL_S)
        yield found


def _note(stage: ProgressStage, outcome: DrillOutcome) -> None:
    if outcome.skipped:
        stage.note(f"skipped: {outcome.skipped}")
        return
    shown = {name: outcome.row[name] for name in COLUMNS}
    stage.note(", ".join(f"{name} {value}" for name, value in shown.items()))
    if outcome.missing:
        stage.note(f"still missing: {', '.join(outcome.missing)}")


def _print(
    outcomes: Sequence[DrillOutcome], pushes: RepeatedPushes | None, *, as_json: bool
) -> None:
    runs = {
        "done": pushes.done if pushes else 0,
        "failed": len(pushes.troubles) if pushes else 0,
        "slowest_s": round(pushes.slowest_s, 1) if pushes else 0.0,
        "troubles": pushes.troubles if pushes else [],
    }
    if as_json:
        document = {"faults": [each.document for each in outcomes], "pipeline_runs": runs}
        say_json(document)
        return
    out = console()
    drilled = [each for each in outcomes if each.skipped != NO_TIME]
    out.print(table("What it cost", [each.row for each in drilled]))
    if late := len(outcomes) - len(drilled):
        out.print(f"Not reached in the time: {late} faults; more --minutes, or --only")
    out.print(f"Pipeline runs: {runs['done']} done, {runs['failed']} failed")
    troubles = [text for each in outcomes for text in each.troubles]
    troubles += [] if pushes is None else pushes.troubles
    for text in troubles[:TROUBLES_SHOWN]:
        out.print(Text(f"  {one_line(text)}"))
