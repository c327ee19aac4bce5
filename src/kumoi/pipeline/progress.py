"""A run's progress as whoever pushes sees it: each stage as it ends, then the verified URL, or the
check that failed first. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kumoi.pipeline.stage import Stage
from kumoi.pipeline.store.result import Result
from kumoi.pipeline.store.run import Run, RunStatus

OUTCOMES = ("passed", "failed", "skipped")
NAME_WIDTH = 10


@dataclass(slots=True)
class RunProgress:
    """What of one run was told, and is not told again."""

    told: int = 0
    waits_for: str = ""

    def has_news(self, run: Run) -> bool:
        waits = _turn(run) != self.waits_for
        return run.ended_at is not None or waits or len(_ended(run)) > self.told

    def lines(self, run: Run, results: Sequence[Result], url: str, report_url: str) -> list[str]:
        """The lines that are new. `url` is the environment's, `report_url` the report's page."""
        by_stage = {each.stage: each for each in results}
        ended = _ended(run)
        new = [_stage_line(each, by_stage.get(each["name"])) for each in ended[self.told :]]
        self.told = len(ended)
        if _turn(run) != self.waits_for:
            self.waits_for = _turn(run)
            new += [f"waits for {self.waits_for}"] if self.waits_for else []
        return [*new, *_end(run, url, report_url)] if run.ended_at else new


def counted(outcomes: Iterable[str]) -> str:
    """Such as "9 passed, 1 failed"; empty without checks."""
    counts = Counter(outcomes)
    return ", ".join(f"{counts[each]} {each}" for each in OUTCOMES if counts[each])


def stage_seconds(stage: dict[str, Any], now: datetime) -> float:
    """How long it took, or takes so far."""
    text = stage.get("ended_at")
    end = datetime.fromisoformat(text) if text else now
    return (end - datetime.fromisoformat(stage["began_at"])).total_seconds()


def _turn(run: Run) -> str:
    """What it waits for before anything of it begins."""
    return run.waits_for if run.stage == Stage.RECEIVE else ""


def _ended(run: Run) -> list[dict[str, Any]]:
    return [stage for stage in run.stages if stage.get("ended_at")]


def _stage_line(stage: dict[str, Any], of: Result | None) -> str:
    seconds = stage_seconds(stage, datetime.fromisoformat(stage["ended_at"]))
    checks = (
        f"  {counted(each['outcome'] for each in of.checks)}"
        if of is not None and of.checks
        else ""
    )
    return f"{stage['name']:<{NAME_WIDTH}}{seconds:6.1f} s{checks}"


def _end(run: Run, url: str, report_url: str) -> Iterator[str]:
    """What became of the run. Its reason names what failed first, with the output."""
    seconds = (run.ended_at - run.created_at).total_seconds() if run.ended_at else 0.0
    if run.status == RunStatus.VERIFIED:
        yield f"verified in {seconds:.1f} s: {url or 'it has no URL, since no group has ports'}"
    else:
        yield ""
        yield f"{run.status.upper()} after {seconds:.1f} s in stage {run.stage}"
        yield from run.reason.splitlines()
    yield f"report: {report_url}"
