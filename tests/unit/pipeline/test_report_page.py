"""The report's page is whole in itself, and what a run said is text in it."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import msgspec

from kumoi.pipeline import report_page, run_report
from kumoi.pipeline.repository_calls import ChangedCommit, CommitChanges
from kumoi.pipeline.run_report import RunReport
from kumoi.pipeline.store.environment import Environment
from kumoi.pipeline.store.result import Result
from kumoi.pipeline.store.run import Run

BEGAN = datetime(2026, 11, 28, 12, tzinfo=UTC)
EVIL = "<script>alert(1)</script>\"'&"
RUN = Run(
    id="r1", repository_id="x", project_id="p1", branch="main", commit="c" * 40, sequence=2,
    status="failed", stage="verify", waits_for="", reason="verify: 1 of 2 checks failed",
    stages=[{"name": "build", "began_at": BEGAN.isoformat(), "ended_at": (BEGAN + timedelta(seconds=3)).isoformat()},
            {"name": "verify", "began_at": (BEGAN + timedelta(seconds=3)).isoformat()}],
    created_at=BEGAN, ended_at=BEGAN + timedelta(seconds=9), owner="ann",
)  # fmt: skip
CHECKS = [
    {"suite": "verify", "name": "GET / answers", "server": "web-1", "seconds": 0.1, "outcome": "passed", "output": ""},
    {"suite": "http", "name": EVIL, "server": EVIL, "seconds": 0.2, "outcome": "failed", "output": f"no {EVIL}"},
]  # fmt: skip
BUILT = Environment(
    id="e1", run_id="r1", repository_id="x", project_id="p1", branch="main", wanted={}, status="live",
    url="http://192.0.2.7/", reason="", deletions=0, created_at=BEGAN, expires_at=BEGAN, addresses={"web-1": "10.0.0.5"},
)  # fmt: skip
CHANGES = CommitChanges("a" * 40, [ChangedCommit("c" * 40, EVIL, EVIL)], 3, f" {EVIL} | 2 ++")


def made(*, checks: list[dict[str, object]] | None = None, reason: str = "") -> RunReport:
    results = [Result("r1", "verify", passed=False, reason=reason, checks=checks or [])]
    return run_report.make(
        RUN, results, BUILT, CHANGES, now=BEGAN, project="demo", repository=EVIL,
        lasting_url="https://192.0.2.1/e/e1",
    )  # fmt: skip


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def tags(page: str) -> list[tuple[str, dict[str, str | None]]]:
    reader = _Reader()
    reader.feed(page)
    return reader.tags


def test_what_failed_stands_first_with_its_output() -> None:
    report = made(checks=CHECKS)
    assert [each.outcome for each in report.checks] == ["failed", "passed"]
    assert report.counts == {"passed": 1, "failed": 1, "skipped": 0}
    page = report_page.report(report)
    assert page.index("What failed") < page.index("Stages") < page.index("Checks")
    assert "and 3 more" in page
    assert "10.0.0.5" in page


def test_a_stage_that_failed_without_a_check_is_what_failed() -> None:
    (failure,) = made(reason="the runner could not begin").failures
    assert (failure.name, failure.output) == ("the stage as a whole", "the runner could not begin")


def test_no_word_of_a_run_is_markup_and_the_page_fetches_and_runs_nothing() -> None:
    for page in (
        report_page.report(made(checks=CHECKS)),
        report_page.ended(BUILT, EVIL, EVIL),
        report_page.without_url(BUILT, EVIL, EVIL),
    ):
        found = tags(page)
        assert not {name for name, _ in found} & {
            "script",
            "img",
            "link",
            "iframe",
            "form",
            "object",
        }
        for _name, attributes in found:
            assert not {"src", "style", "srcset"} & attributes.keys()
            assert not any(name.startswith("on") for name in attributes)
        assert "url(" not in page
        assert "@import" not in page


def test_the_policy_allows_this_pages_style_and_nothing_else() -> None:
    page = report_page.report(made(checks=CHECKS))
    (style,) = re.findall("<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = report_page.HEADERS["Content-Security-Policy"]
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}';")
    assert "unsafe" not in policy


def test_an_ended_environment_says_what_stood_there_and_how_to_get_it_back() -> None:
    over = replace(BUILT, status="deleted", reason="its time to live is over", ended_at=BEGAN)
    page = report_page.ended(over, "shop", "c" * 40)
    assert "its time to live is over" in page
    assert "kumoi run retry r1" in page
    assert "git push kumoi HEAD:refs/heads/main" in page
    odd = report_page.ended(replace(over, branch="a;id"), "shop", "c" * 40)
    assert "git push kumoi &#x27;HEAD:refs/heads/a;id&#x27;" in odd  # Nothing that a shell runs.


def test_the_stage_that_failed_is_named_and_red_and_the_others_have_their_colours() -> None:
    page = report_page.report(made(checks=CHECKS))
    assert '<span class="pill failed">failed in verify</span>' in page
    bars = [attributes["class"] for name, attributes in tags(page) if name == "rect"]
    assert bars == ["of-build", "broken"]
    assert " so far <span class=soft>1 passed, 1 failed</span>" in page
    assert "<span class=soft>verify by http, 0.20 s</span>" in page


def test_the_page_of_a_run_that_goes_on_loads_itself_again() -> None:
    goes_on = report_page.report(replace_status("running"))
    assert '<meta http-equiv=refresh content="5">' in goes_on
    assert "http-equiv=refresh" not in report_page.report(replace_status("verified"))


def replace_status(status: str) -> RunReport:
    return msgspec.structs.replace(made(), status=status)


def test_an_environment_that_is_deleted_is_not_said_to_live() -> None:
    assert "lives until" in report_page.report(made())
    over = msgspec.structs.replace(made(), environment_status="deleted")
    assert "is deleted; <a href" in report_page.report(over)
    assert "lives until" not in report_page.report(over)
    assert "192.0.2.7" not in report_page.report(over)


def test_programs_get_the_same_as_data() -> None:
    shown = msgspec.to_builtins(made(checks=CHECKS))
    assert shown["failures"][0]["server"] == EVIL
    assert shown["stages"][0] == {"name": "build", "seconds": 3.0, "is_over": True}
    assert shown["changes"]["more"] == 3
