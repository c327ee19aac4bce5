"""`kumoi test`: runs every check and test on this machine, with no other step.

Stops at the first group that fails, unless with --keep-going. The closing lines have each group's
result.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text

from kumoi.base import process
from kumoi.base.errors import Invalid
from kumoi.cli.progress import Progress
from kumoi.hosts.install import packages

CHECKOUT = Path(__file__).parents[3]
CODE = ("src", "tests", "bench", "kumoi")


@dataclass(frozen=True, slots=True)
class CheckGroup:
    """Commands by the name of a program of our Python environment, and its arguments."""

    name: str
    commands: tuple[tuple[str, ...], ...]


# A file's tests stay together, since they share a cloud or a database.
TOGETHER = ("-n", "2", "--dist", "loadscope")


def _pytest(name: str, *words: str) -> CheckGroup:
    return CheckGroup(name, (("pytest", "-rfE", "--disable-warnings", *words),))


GROUPS = (
    CheckGroup("lint", (("ruff", "check", *CODE), ("ruff", "format", "--check", *CODE))),
    CheckGroup("types", (("mypy",),)),
    CheckGroup("contract", (("lint-imports",),)),
    _pytest("guards", *TOGETHER, "tests/guards"),
    _pytest("unit", *TOGETHER, "tests/unit", "tests/flows"),
    _pytest("stories", *TOGETHER, "tests/stories", "tests/cluster"),
    _pytest("security", *TOGETHER, "tests/security"),
    _pytest("upgrade", *TOGETHER, "tests/upgrade"),
    _pytest("system", *TOGETHER, "tests/system"),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    group: str
    passed: bool
    seconds: float


def add_to(parser: argparse.ArgumentParser) -> None:
    names = [group.name for group in GROUPS]
    parser.add_argument("--only", action="append", choices=names, help="may be given several times")
    parser.add_argument(
        "--keep-going", action="store_true", help="run what follows a group that failed"
    )


def run(args: argparse.Namespace) -> int:
    if not (CHECKOUT / "tests").is_dir():
        raise Invalid("the tests are in a checkout of Kumoi, and this is an installed copy")
    progress = Progress()
    chosen = [group for group in GROUPS if not args.only or group.name in args.only]
    names = {group.name for group in chosen}
    if os.geteuid() != 0 and "system" in names:
        raise Invalid("the system tests need root: sudo ./kumoi test, or --only the others")
    if {"unit", "stories", "security", "upgrade", "system"} & names:
        with progress.stage("system packages") as stage:
            more = packages.FOR_SYSTEM_TESTS if "system" in names else ()
            added = packages.ensure((*packages.NEEDED, *packages.FOR_TESTS, *more))
            stage.note(f"installed {len(added)}" if added else "all there")
    outcomes: list[Outcome] = []
    for group in chosen:
        outcomes.append(_run(group, progress))
        if not outcomes[-1].passed and not args.keep_going:
            break
    _summary(progress, chosen, outcomes)
    return 0 if all(outcome.passed for outcome in outcomes) else 1


def _run(group: CheckGroup, progress: Progress) -> Outcome:
    began = time.monotonic()
    passed = True
    for program, *arguments in group.commands:
        # A directory without tests yet is no failure.
        words = [
            word
            for word in arguments
            if not word.startswith("tests/") or any((CHECKOUT / word).rglob("test_*.py"))
        ]
        progress.say(Text.assemble((group.name, "bold"), f": {program} {' '.join(words)}"))
        status = process.show(
            [Path(sys.executable).parent / program, *words],
            cwd=CHECKOUT,
            env={"PYTHONPATH": f"{CHECKOUT / 'src'}:{CHECKOUT}"},
        )
        passed = passed and status == 0
    return Outcome(group.name, passed, time.monotonic() - began)


def _summary(progress: Progress, chosen: list[CheckGroup], outcomes: list[Outcome]) -> None:
    progress.say()
    for outcome in outcomes:
        sign = ("passed", "green") if outcome.passed else ("failed", "red")
        seconds = f" {outcome.seconds:7.1f} s"
        progress.say(Text.assemble(f"{outcome.group:<10} ", sign, seconds))
    for group in chosen[len(outcomes) :]:
        progress.say(Text.assemble(f"{group.name:<10} ", ("not run", "yellow")))
