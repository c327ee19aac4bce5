"""A cloud of several hosts goes to another release, back, and there again, while everybody works.

The cloud is up already, with its stores on three hosts, and nobody else's servers on it:

    sudo ./kumoi up --hosts 3; sudo ./kumoi cluster create --control-hosts 3

Where it was brought up by an older checkout, the other release is this checkout's. Where it is of this one already, the
other is a copy that differs by a comment: that shows the order and the overlap, not that two schemas bear each other.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import steady
from bench.idle import places_of
from bench.measure import Figure, until
from bench.steady import Steady
from kumoi.base import process
from kumoi.cli import status
from kumoi.config import CloudSettings
from kumoi.drill import pings, tenant
from kumoi.drill.copies import Copies
from kumoi.drill.load import LoadCall
from kumoi.drill.pings import Pinging
from kumoi.drill.place import DrillHost
from kumoi.drill.pushes import RepeatedPushes
from kumoi.drill.tenant import DrillTenant
from kumoi.hosts.units import releases

SOURCE = Path(__file__).parents[1] / "src"
NOTHING_S = 60.0
COMMAND_S = 3_600.0
TRIES = 4  # A step that doubts stops the command, and whoever called calls again.
ANSWERED_S = 60.0
NEVER = float("inf")
REACHED = 0.95  # Of the rate that is wanted.
SHOWN = 10


@dataclass(slots=True)
class _Traffic:
    """All that goes on meanwhile."""

    made: DrillTenant
    pinging: Sequence[Pinging]
    calls: Steady
    copies: Copies
    pushes: RepeatedPushes

    def lost(self) -> int:
        """Pings."""
        return sum(each.lost() for each in self.pinging)


@dataclass(frozen=True, slots=True)
class _Phase:
    """Something that was done under traffic. `tries` is how often a command was called."""

    what: str
    began_s: float
    ended_s: float
    pings_lost: int
    tries: int = 0
    is_done: bool = True


def figures(name: str, state_dir: str) -> list[Figure]:
    """The cloud is of the other release afterwards, and not finalized."""
    places = places_of(Path(state_dir))
    cloud, host = places[0].cloud, places[0].host
    where = ["--name", name, "--state-dir", state_dir]
    entry = status.admin_entry(cloud, host)
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kumoi-bench-")))
        source = _other_release(places[0], directory)
        admin = stack.enter_context(contextlib.closing(tenant.connect(entry)))
        if others := tenant.others_servers(admin):
            raise RuntimeError(f"{others} servers of others would feel this")
        made = stack.enter_context(tenant.made(admin, entry, _tell))
        traffic = stack.enter_context(_traffic(made, places, cloud, directory))
        phases = [_nothing(traffic)]
        for what, code, action in (
            ("to the other release", source, "run"),
            ("back", SOURCE, "rollback"),
            ("to the other release again", source, "run"),
        ):
            phases.append(_command(traffic, what, code, [action, *where]))
            if not phases[-1].is_done:
                break
        traffic.copies.stop()
        traffic.pushes.stop()
        found, journal = traffic.calls.stop()
        lost = steady.written_is_there(made.connect(), journal)
    _show_troubles(found, traffic.pushes.troubles)
    return [
        *(figure for phase in phases for figure in _of_phase(phase, found)),
        *_of_all(traffic, found, lost),
    ]


def _of_phase(phase: _Phase, calls: Sequence[LoadCall]) -> Iterator[Figure]:
    mine = [call for call in calls if phase.began_s <= call.began_s < phase.ended_s]
    took_s = phase.ended_s - phase.began_s
    yield Figure(phase.what, [took_s], "s")
    if phase.tries:
        yield Figure("  calls of the command", [phase.tries if phase.is_done else NEVER], "", 1)
    yield Figure("  calls", [len(mine) / took_s], "per s", REACHED * steady.PER_S, at_least=True)
    yield Figure("  each", [1_000 * (call.ended_s - call.began_s) for call in mine], "ms")
    slowest = max(mine, key=lambda call: call.ended_s - call.began_s)
    yield Figure(f"  slowest: {slowest.name}", [slowest.ended_s - slowest.began_s], "s")
    yield Figure("  calls failed", [sum(bool(call.trouble) for call in mine)], "", 0)
    yield Figure("  pings lost", [phase.pings_lost], "", 0)


def _of_all(traffic: _Traffic, calls: Sequence[LoadCall], lost: Sequence[str]) -> list[Figure]:
    pushes = traffic.pushes
    unfinished = pushes.begun - pushes.done - len(pushes.troubles)
    return [
        Figure("in all: calls", [len(calls)], ""),
        Figure("  calls failed", [sum(bool(call.trouble) for call in calls)], "", 0),
        Figure("  acknowledged writes lost", [len(lost)], "", 0),
        Figure("  servers seen on two hosts", [len(traffic.copies.twice)], "", 0),
        Figure("  pipeline runs verified", [pushes.done], "", 1, at_least=True),
        Figure("  pipeline runs failed", [len(pushes.troubles)], "", 0),
        Figure("  pipeline runs that did not end", [unfinished], "", 0),
    ]


@contextlib.contextmanager
def _traffic(
    made: DrillTenant, places: Sequence[DrillHost], cloud: CloudSettings, directory: Path
) -> Iterator[_Traffic]:
    """Once pings are answered and each client has logged in."""
    tenant.furnish(made, places, _tell)
    names = [place.host.name for place in places]
    calls, copies = Steady(made.entry), Copies(list(made.servers.values()), names)
    pushes = RepeatedPushes(made.entry, cloud.pipeline_url, directory)
    with (
        pings.under_way(tenant.streams(made, places), directory) as pinging,
        contextlib.ExitStack() as ends,
    ):
        until(lambda: all(each.is_answered() for each in pinging), within_s=ANSWERED_S)
        for each in (copies, pushes, calls):
            ends.callback(each.stop)
            each.start()
        yield _Traffic(made, pinging, calls, copies, pushes)


def _nothing(traffic: _Traffic) -> _Phase:
    before, began_s = traffic.lost(), time.monotonic()
    time.sleep(NOTHING_S)
    ended_s = time.monotonic()
    return _Phase("nothing is changed", began_s, ended_s, traffic.lost() - before)


def _command(traffic: _Traffic, what: str, source: Path, words: Sequence[str]) -> _Phase:
    """`kumoi upgrade` with these words, as often as it needs."""
    before, began_s, tries, status_ = traffic.lost(), time.monotonic(), 0, 1
    while status_ and tries < TRIES:
        tries += 1
        _tell(f"upgrade {words[0]}, {tries} of {TRIES}")
        done = process.run(
            [sys.executable, "-m", "kumoi.main", "upgrade", *words],
            env={"PYTHONPATH": str(source)},
            timeout_s=COMMAND_S,
            check=False,
        )
        status_ = done.status
        _tell(done.out + done.err)
    ended_s = time.monotonic()
    lost = traffic.lost() - before
    return _Phase(what, began_s, ended_s, lost, tries, is_done=not status_)


def _other_release(first: DrillHost, directory: Path) -> Path:
    """Where its code is: this checkout's, or a copy where the cloud is of that."""
    (api,) = first.pids("api")
    if releases.of_process(api, first.host.release_dir) != releases.release_id():
        return SOURCE
    copy = directory / "src"
    shutil.copytree(SOURCE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    with (copy / "kumoi/__init__.py").open("a") as file:
        file.write("# Another release.\n")
    return copy


def _show_troubles(calls: Sequence[LoadCall], of_runs: Sequence[str]) -> None:
    of_calls = [f"{call.name}: {call.trouble}" for call in calls if call.trouble]
    for text in (*of_calls[:SHOWN], *of_runs[:SHOWN]):
        _tell(text)


def _tell(text: str) -> None:
    print(text, file=sys.stderr)
