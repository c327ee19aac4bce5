"""Stage report: what there is to say of a run, for programs and for the page. Pure.

Called by the API. What changed comes from git, by the unit that owns the repositories.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from kumoi.pipeline.progress import OUTCOMES, stage_seconds
from kumoi.pipeline.repository_calls import CommitChanges
from kumoi.pipeline.store.environment import Environment
from kumoi.pipeline.store.result import Result
from kumoi.pipeline.store.run import Run

FAILED = "failed"
WHOLE = "the stage as a whole"


class StageReport(msgspec.Struct, frozen=True):
    name: str
    seconds: float
    is_over: bool


class CheckReport(msgspec.Struct, frozen=True):
    """`output` is its end."""

    stage: str
    server: str
    suite: str
    name: str
    seconds: float
    outcome: str
    output: str


class RunReport(msgspec.Struct, frozen=True):
    """Times in seconds. `failures` are the checks that failed, and they stand first in `checks`, too.
    `addresses` are those of servers and balancers by their short names. `changes` is None where git
    cannot tell any more.
    """

    id: str
    project: str
    repository: str
    branch: str
    commit: str
    owner: str
    status: str
    stage: str
    reason: str
    created_at: datetime
    ended_at: datetime | None
    seconds: float
    stages: list[StageReport]
    counts: dict[str, int]
    failures: list[CheckReport]
    checks: list[CheckReport]
    environment: str
    environment_status: str
    url: str
    lasting_url: str
    expires_at: datetime | None
    addresses: dict[str, str]
    changes: CommitChanges | None


def make(
    run: Run,
    results: Sequence[Result],
    built: Environment | None,
    changes: CommitChanges | None,
    *,
    now: datetime,
    project: str,
    repository: str,
    lasting_url: str,
) -> RunReport:
    checks = [check for each in results for check in _checks(each)]
    checks.sort(key=lambda each: each.outcome != FAILED)  # Stable: in their order, failures first.
    end = run.ended_at or now
    return RunReport(
        id=run.id,
        project=project,
        repository=repository,
        branch=run.branch,
        commit=run.commit,
        owner=run.owner,
        status=run.status,
        stage=run.stage,
        reason=run.reason,
        created_at=run.created_at,
        ended_at=run.ended_at,
        seconds=round((end - run.created_at).total_seconds(), 3),
        stages=[
            StageReport(
                each["name"], round(stage_seconds(each, now), 3), bool(each.get("ended_at"))
            )
            for each in run.stages
        ],
        counts={name: sum(each.outcome == name for each in checks) for name in OUTCOMES},
        failures=[each for each in checks if each.outcome == FAILED],
        checks=checks,
        environment=built.id if built else "",
        environment_status=built.status if built else "",
        url=built.url if built else "",
        lasting_url=lasting_url if built else "",
        expires_at=built.expires_at if built else None,
        addresses=dict(built.addresses or {}) if built else {},
        changes=changes,
    )


def _checks(of: Result) -> list[CheckReport]:
    """A stage that failed without a failed check is one itself."""
    found = [_check(of.stage, each) for each in of.checks]
    if not of.passed and all(each.outcome != FAILED for each in found):
        whole = {"name": WHOLE, "outcome": FAILED, "output": of.reason or "failed"}
        found.insert(0, _check(of.stage, whole))
    return found


def _check(stage: str, said: dict[str, Any]) -> CheckReport:
    return CheckReport(
        stage=stage,
        server=said.get("server", ""),
        suite=said.get("suite", ""),
        name=said["name"],
        seconds=said.get("seconds", 0.0),
        outcome=said["outcome"],
        output=said.get("output", ""),
    )
