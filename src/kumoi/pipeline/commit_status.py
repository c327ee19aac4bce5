"""What git hosts are told of runs: a status at the commit, by the token that was registered.

Level-driven: the store knows what was told of each run, so that a kill loses nothing; what was told
twice is the same.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from kumoi.base import log
from kumoi.base.clock import Clock
from kumoi.base.errors import KumoiError
from kumoi.engine.db import Database
from kumoi.pipeline import guarded_http
from kumoi.pipeline.guarded_http import Guard
from kumoi.pipeline.project_turns import ProjectTurns
from kumoi.pipeline.store import webhook
from kumoi.pipeline.store.run import Run, RunStatus
from kumoi.pipeline.store.webhook import ToTell, Webhook
from kumoi.pipeline.webhook import GitHost

TRIES_MAX = 6
FIRST_PAUSE_S = 10.0
CONTEXT = "kumoi"
TEXT_MAX = 140
GITHUB, GITHUB_API = "github.com", "https://api.github.com"
STATES = {
    GitHost.GITHUB: {RunStatus.RUNNING: "pending", RunStatus.VERIFIED: "success",
                     RunStatus.FAILED: "failure", RunStatus.CANCELLED: "error"},
    GitHost.GITEA: {RunStatus.RUNNING: "pending", RunStatus.VERIFIED: "success",
                    RunStatus.FAILED: "failure", RunStatus.CANCELLED: "error"},
    GitHost.GITLAB: {RunStatus.RUNNING: "running", RunStatus.VERIFIED: "success",
                     RunStatus.FAILED: "failed", RunStatus.CANCELLED: "canceled"},
}  # fmt: skip


class CommitStatuses:
    """The reconciler from runs to git hosts. `pipeline_url` is where people reach the pipeline."""

    def __init__(self, database: Database, clock: Clock, guard: Guard, pipeline_url: str) -> None:
        self._database = database
        self._clock = clock
        self._guard = guard
        self._pipeline_url = pipeline_url
        self.turns = ProjectTurns(clock)

    def round(self) -> None:
        """A status for each project that has no turn now, its oldest."""
        now = self._clock.now()
        with self._database.read() as connection:
            due = webhook.list_to_tell(connection, now, tries_max=TRIES_MAX)
        self.turns.give({each.webhook.project_id: partial(self._tell, each) for each in due})

    def _tell(self, each: ToTell) -> None:
        try:
            target = f"{self._pipeline_url}/reports/{each.project_name}/{each.run.id}"
            url, headers, body = request(each.webhook, each.run, target)
            asked = guarded_http.asked(
                self._guard, url, method="POST", headers=headers, body=msgspec.json.encode(body)
            )
            with asked:
                pass
        except KumoiError as error:
            log.warning("commit_status.not_told", run=each.run.id, reason=error.message)
            again_at = self._clock.now() + timedelta(seconds=FIRST_PAUSE_S * 2**each.tries)
            with self._database.write() as connection:
                webhook.note_not_told(connection, each, again_at, error.message)
            return
        with self._database.write() as connection:
            webhook.note_told(connection, each, each.run.status)
        log.event("commit_status.told", run=each.run.id, status=each.run.status)


def api_url(host: GitHost, url: str) -> str:
    """Where a host's API is, by the URL of a repository there."""
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc}"
    if host == GitHost.GITHUB:
        return GITHUB_API if parts.hostname == GITHUB else f"{origin}/api/v3"
    return f"{origin}/api/v4" if host == GitHost.GITLAB else f"{origin}/api/v1"


def request(of: Webhook, run: Run, report_url: str) -> tuple[str, dict[str, str], dict[str, Any]]:
    """The URL, headers and body that tell a host of a run. Pure."""
    host = GitHost(of.host)
    path = urlsplit(of.url).path.strip("/").removesuffix(".git")
    state = STATES[host][RunStatus(run.status)]
    about = {"state": state, "target_url": report_url, "description": _words(run)}
    token = of.token.reveal()
    headers = {"Content-Type": "application/json"}
    if host == GitHost.GITLAB:
        url = f"{of.api_url}/projects/{quote(path, safe='')}/statuses/{run.commit}"
        return (
            url,
            {**headers, "PRIVATE-TOKEN": token},
            {**about, "name": CONTEXT, "ref": run.branch},
        )
    scheme = "Bearer" if host == GitHost.GITHUB else "token"
    url = f"{of.api_url}/repos/{quote(path)}/statuses/{run.commit}"
    return url, {**headers, "Authorization": f"{scheme} {token}"}, {**about, "context": CONTEXT}


def _words(run: Run) -> str:
    """One line on how it is."""
    if run.status == RunStatus.RUNNING:
        return f"{run.stage} goes on"
    seconds = (run.ended_at - run.created_at).total_seconds() if run.ended_at else 0.0
    if run.status == RunStatus.VERIFIED:
        return f"verified in {seconds:.1f} s"
    first = run.reason.partition("\n")[0]
    return f"{run.status}: {first}"[:TEXT_MAX]
