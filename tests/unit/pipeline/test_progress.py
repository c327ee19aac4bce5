"""What is told of a run, once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from kumoi.pipeline.progress import RunProgress
from kumoi.pipeline.store.result import Result
from kumoi.pipeline.store.run import Run, RunStatus

BEGAN = datetime(2026, 11, 28, 12, tzinfo=UTC)
URL, REPORT = "http://192.0.2.7/", "https://192.0.2.1/reports/demo/r1"


def stage(name: str, at_s: float, seconds: float | None) -> dict[str, Any]:
    began = BEGAN + timedelta(seconds=at_s)
    ended = (
        {} if seconds is None else {"ended_at": (began + timedelta(seconds=seconds)).isoformat()}
    )
    return {"name": name, "began_at": began.isoformat(), **ended}


def run(*stages: dict[str, Any], status: RunStatus = RunStatus.RUNNING, reason: str = "") -> Run:
    ended_at = None if status == RunStatus.RUNNING else BEGAN + timedelta(seconds=9.26)
    return Run(
        id="r1", repository_id="x", project_id="p1", branch="main", commit="c" * 40, sequence=1,
        status=status, stage="verify", waits_for="", reason=reason, stages=list(stages),
        created_at=BEGAN, ended_at=ended_at,
    )  # fmt: skip


def test_each_stage_is_told_as_it_ends_and_only_once() -> None:
    progress = RunProgress()
    first = run(stage("receive", 0, 0.2), stage("build", 0.2, None))
    assert progress.has_news(first)
    assert progress.lines(first, [], "", REPORT) == ["receive      0.2 s"]
    assert not progress.has_news(first)
    later = replace(first, stages=[stage("receive", 0, 0.2), stage("build", 0.2, 3), stage("configure", 3.2, 1)])  # fmt: skip
    checks = [{"outcome": "passed"}, {"outcome": "passed"}, {"outcome": "skipped"}]
    results = [Result("r1", "configure", passed=True, reason="", checks=checks)]
    assert progress.lines(later, results, URL, REPORT) == [
        "build        3.0 s",
        "configure    1.0 s  2 passed, 1 skipped",
    ]


def test_a_verified_run_ends_with_its_url_and_a_failed_one_with_its_reason() -> None:
    good = run(status=RunStatus.VERIFIED)
    assert RunProgress().lines(good, [], URL, REPORT) == [
        f"verified in 9.3 s: {URL}",
        f"report: {REPORT}",
    ]
    bad = run(status=RunStatus.FAILED, reason="verify: 1 of 2 checks failed\n  web-1: port 80")
    assert RunProgress().lines(bad, [], URL, REPORT) == [
        "",
        "FAILED after 9.3 s in stage verify",
        "verify: 1 of 2 checks failed",
        "  web-1: port 80",
        f"report: {REPORT}",
    ]


def test_a_run_whose_turn_has_not_come_says_what_it_waits_for_once() -> None:
    progress = RunProgress()
    waiting = replace(run(stage("receive", 0, None)), stage="receive", waits_for="run r0 to end")
    assert progress.has_news(waiting)
    assert progress.lines(waiting, [], "", REPORT) == ["waits for run r0 to end"]
    assert not progress.has_news(waiting)
    assert progress.lines(replace(waiting, waits_for=""), [], "", REPORT) == []
