"""`kumoi upgrade`: the cloud goes to this checkout's release while everybody works, and can go back.

On the cloud's first host it says whose turn it is; on another machine it waits for that (cli/upgrade_part.py).
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable
from dataclasses import asdict

from rich.text import Text

from kumoi import config, members
from kumoi.base.errors import Conflict, NotFound
from kumoi.base.release import version_of
from kumoi.cli import choice, upgrade_machines, upgrade_part, upgrading
from kumoi.cli.output import console, say, say_json, table
from kumoi.cli.progress import Progress
from kumoi.cli.upgrade_plan import HostRelease, Plan
from kumoi.cloud.domain.host import cluster_version
from kumoi.config import CloudSettings, HostSettings
from kumoi.engine.db import Database, now
from kumoi.hosts.cluster.upgrade_orders import UpgradeAction
from kumoi.hosts.units import releases

WATCH_S = 60.0
STEPS = (
    ("look", "what is half broken is mended first", "every process well, every member follows"),
    (
        "release",
        "no later step waits for files, and each can be taken back without any",
        "on each host",
    ),
    ("stores", "new code may start anywhere then, and the old bears it", "their tables expanded"),
    (
        "control hosts",
        "a host newer than its control plane may not act",
        "API, engines, servers well",
    ),
    (
        "agents",
        "one at a time, the first one watched alone: a fault meets one host",
        "heard of, servers well",
    ),
    ("finalize", "until then all of it can be taken back", "your word: `upgrade finalize`"),
)


def add_to(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, (_act, about) in ACTIONS.items():
        example = f"example: sudo ./kumoi upgrade {name}"
        action = actions.add_parser(name, help=about, description=about, epilog=example)
        if name == "plan":
            action.add_argument("--json", action="store_true", help="for programs")
        if name == "run":
            action.add_argument(
                "--watch",
                type=float,
                default=WATCH_S,
                metavar="SECONDS",
                help="how long the first host without a control plane is looked at alone (default: 60)",
            )
        if name == "rollback":
            action.add_argument(
                "--to", default="", metavar="RELEASE", help="its id (default: the one before)"
            )
        choice.add_to(action)


def run(args: argparse.Namespace) -> int:
    act, _about = ACTIONS[args.action]
    return act(args)


def plan(args: argparse.Namespace) -> int:
    """0 when it may begin."""
    cloud, first = _with_store(args)
    found = upgrading.plan(cloud, first)
    if args.json:
        steps = [{"step": step, "why": why, "waits_for": waits} for step, why, waits in STEPS]
        hosts = [asdict(host) | {"to_do": not host.is_of(found.target)} for host in found.hosts]
        finalized = _finalized(cloud, first)
        shown = {"target": found.target, "finalized": finalized, "steps": steps}
        seen = {"doubts": list(found.doubts), "notices": found.notices}
        say_json(shown | {"hosts": hosts} | seen)
    else:
        _show(found)
    return 1 if found.doubts else 0


def run_(args: argparse.Namespace) -> int:
    """Repeatable: what is done already is not done again."""
    cloud, here = choice.existing(args)
    progress = Progress()
    if not config.is_first(cloud, here):
        upgrade_part.follow(cloud, here, UpgradeAction.RUN, progress)
        progress.say(
            f"{here.name} is of {releases.release_id()}. On the first host: finalize, or rollback"
        )
        return 0
    names = upgrading.on_machines(cloud, here)
    ordered = upgrade_machines.ordered(cloud, here, names, UpgradeAction.RUN, releases.release_id())
    with ordered as machines:
        left = upgrading.run(cloud, here, progress, watch_s=args.watch, machines=machines)
    words = choice.words(cloud, here)
    for host in left.elsewhere:
        progress.say(f"{host.name}, {_to_do(left, host)}")
    progress.say(f"The hosts that are up are of {left.target}. What to do next:")
    progress.say(f"  sudo ./kumoi upgrade finalize{words}    when you are content")
    progress.say(f"  sudo ./kumoi upgrade rollback{words}    back to the release before")
    return 0


def rollback(args: argparse.Namespace) -> int:
    """The stores keep their new tables, which the older release bears."""
    cloud, here = choice.existing(args)
    progress = Progress()
    if not config.is_first(cloud, here):
        upgrade_part.follow(cloud, here, UpgradeAction.ROLLBACK, progress, wanted=args.to)
        return 0
    wanted = upgrading.older(cloud, here, args.to)
    finalized = _finalized(cloud, here)
    if finalized and cluster_version.is_below(wanted, finalized):
        raise Conflict(f"the cloud was finalized at {finalized}: it does not go back to {wanted}")
    names = upgrading.on_machines(cloud, here)
    with upgrade_machines.ordered(cloud, here, names, UpgradeAction.ROLLBACK, wanted) as machines:
        done = upgrading.go_back(cloud, here, wanted, progress, machines)
    say(f"{', '.join(done)} {'is' if len(done) == 1 else 'are'} of {wanted} again")
    for host in upgrading.plan(cloud, here).hosts:
        if host.is_off and not host.is_of(wanted):
            say(
                f"{host.name} is off: when it is back, `up` there in a checkout of {version_of(wanted)}"
            )
    return 0


def finalize(args: argparse.Namespace) -> int:
    cloud, first = _with_store(args)
    found = upgrading.plan(cloud, first)
    late = [host for host in found.elsewhere if host.is_control]
    if unsure := [host.name for host in late if host.has_members]:
        raise Conflict(
            f"{' and '.join(unsure)} not heard of, and members of the stores answer there: what else runs there may be "
            "of an older release. On it sudo ./kumoi status, then upgrade run or down"
        )
    with _store(cloud, first) as database, database.write() as connection:
        release = cluster_version.finalize(connection, now(connection))
    say(
        f"The cloud {cloud.name} is of {release}. Hosts of an older release may not act until they are"
    )
    for host in found.elsewhere:
        if host.is_off:
            say(f"{host.name}, {_to_do(found, host)}")
    return 0


def _show(found: Plan) -> None:
    out = console()
    rows = [
        {"step": f"{number}. {step}", "why there": why, "waits for": waits}
        for number, (step, why, waits) in enumerate(STEPS, 1)
    ]
    out.print(table(f"To {found.target}", rows))
    hosts = [
        {
            "host": host.name,
            "control host": "yes" if host.is_control else "",
            "runs": list(host.releases) or "nothing",
            "heard of": "" if host.path else host.seen or "never",
            "to do": _to_do(found, host),
        }
        for host in found.hosts
    ]
    out.print(table("Hosts, in their order", hosts))
    for notice in found.notices:
        out.print(notice, highlight=False)
    for doubt in found.doubts:
        out.print(Text.assemble(("In doubt:", "red"), f" {doubt}"), highlight=False)


def _to_do(found: Plan, host: HostRelease) -> str:
    """In words, for people."""
    if host.path:
        return "nothing" if host.is_of(found.target) else "upgrade"
    if not host.is_up:
        return "off: when it is back, sudo ./kumoi up there in a checkout of this release"
    return "there: sudo ./kumoi upgrade run"


def _with_store(args: argparse.Namespace) -> tuple[CloudSettings, HostSettings]:
    """Of a control host on any machine. Raises NotFound where it is none."""
    cloud, here = choice.existing(args)
    if not config.is_first(cloud, here) and cloud.control_host(here.name) is None:
        raise NotFound(
            "store",
            cloud.name,
            message=f"{here.name} has none of the stores of {cloud.name}: call this on a control host",
        )
    return cloud, here


def _finalized(cloud: CloudSettings, first: HostSettings) -> str:
    with _store(cloud, first) as database, database.read() as connection:
        return cluster_version.release(connection)


def _store(cloud: CloudSettings, first: HostSettings) -> contextlib.closing[Database]:
    url = members.cloud_database(cloud, first)
    return contextlib.closing(Database(url, wake_dir=first.wake_dir))


Act = Callable[[argparse.Namespace], int]
ACTIONS: dict[str, tuple[Act, str]] = {
    "plan": (plan, "what would be done on which host, in which order, and why"),
    "run": (
        run_,
        "upgrade every host, one after the other, each until it is well; on each machine",
    ),
    "rollback": (
        rollback,
        "all of it back to the release before, hosts first, control plane last; on each machine",
    ),
    "finalize": (finalize, "the upgrade is over: no host of an older release may act any more"),
}
