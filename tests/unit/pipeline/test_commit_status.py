"""How each kind of git host is told of a run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kumoi.base.secret import Secret
from kumoi.pipeline import commit_status
from kumoi.pipeline.store.delegation import Delegation
from kumoi.pipeline.store.run import Run, RunStatus
from kumoi.pipeline.store.webhook import Webhook
from kumoi.pipeline.webhook import GitHost

BEGAN = datetime(2026, 11, 28, tzinfo=UTC)
COMMIT = "c" * 40


def hook(host: GitHost, url: str) -> Webhook:
    return Webhook(
        id="w1", repository_id="r1", project_id="p1", host=host, url=url,
        api_url=commit_status.api_url(host, url), secret=Secret("s"), token=Secret("the-token"),
        acting=Delegation("c", Secret("s")), user_name="u", created_at=BEGAN, refused={},
    )  # fmt: skip


def run(status: RunStatus, reason: str = "") -> Run:
    return Run(
        id="r", repository_id="x", project_id="p1", branch="f/x", commit=COMMIT, sequence=1,
        status=status, stage="build", waits_for="", reason=reason, stages=[], created_at=BEGAN,
        ended_at=None if status == RunStatus.RUNNING else BEGAN + timedelta(seconds=4.64),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("host", "url", "to", "header"),
    [
        (GitHost.GITHUB, "https://github.com/o/r.git",
         f"https://api.github.com/repos/o/r/statuses/{COMMIT}", ("Authorization", "Bearer the-token")),
        (GitHost.GITHUB, "https://git.corp/o/r",
         f"https://git.corp/api/v3/repos/o/r/statuses/{COMMIT}", ("Authorization", "Bearer the-token")),
        (GitHost.GITLAB, "https://gitlab.com/g/s/r.git",
         f"https://gitlab.com/api/v4/projects/g%2Fs%2Fr/statuses/{COMMIT}", ("PRIVATE-TOKEN", "the-token")),
        (GitHost.GITEA, "https://codeberg.org:444/o/r.git",
         f"https://codeberg.org:444/api/v1/repos/o/r/statuses/{COMMIT}", ("Authorization", "token the-token")),
    ],
)  # fmt: skip
def test_each_host_has_its_own_place_and_login(
    host: GitHost, url: str, to: str, header: tuple[str, str]
) -> None:
    told, headers, body = commit_status.request(
        hook(host, url), run(RunStatus.VERIFIED), "https://k/"
    )
    assert told == to
    assert headers[header[0]] == header[1]
    assert (body["state"], body["description"]) == ("success", "verified in 4.6 s")
    assert body["target_url"] == "https://k/"


@pytest.mark.parametrize("host", GitHost)
def test_every_state_has_a_word_and_a_reason_is_one_short_line(host: GitHost) -> None:
    url = "https://git.corp/o/r.git"
    for status in RunStatus:
        reason = "verify: 1 of 9 " + "x" * 200 + "\nsecond line"
        _to, _headers, body = commit_status.request(hook(host, url), run(status, reason), "")
        assert body["state"]
        assert "\n" not in body["description"]
        assert len(body["description"]) <= 140
