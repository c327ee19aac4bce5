"""JUnit XML as other tools read it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree as ET

from kumoi.pipeline import configure, report, verify
from kumoi.pipeline.store.result import Result
from kumoi.pipeline.store.run import Run

RUN = Run(
    "r1", "repo", "p1", "main", "c" * 40, 1, "failed", "verify", "", "no room", [],
    datetime(2026, 1, 1, tzinfo=UTC),
)  # fmt: skip


def check(name: str, outcome: str = "passed", output: str = "") -> dict[str, Any]:
    return {
        "suite": "serverspec", "name": name, "server": "web-1", "seconds": 0.5,
        "outcome": outcome, "output": output,
    }  # fmt: skip


def stage_result(
    stage: str, *, passed: bool, checks: list[dict[str, Any]], reason: str = ""
) -> Result:
    return Result(run_id="r1", stage=stage, passed=passed, reason=reason, checks=checks)


def test_a_report_has_a_suite_per_stage_and_a_case_per_check() -> None:
    results = [
        stage_result("configure", passed=True, checks=[]),
        stage_result(
            "verify", passed=False, checks=[check("a"), check("b", "failed", "no\nport <80>\x00")]
        ),
    ]
    assert report.junit(RUN, results) == (
        "<?xml version='1.0' encoding='utf-8'?>\n"
        '<testsuites name="run r1">\n'
        '  <testsuite name="configure" tests="0" failures="0" skipped="0" time="0.000" '
        'timestamp="2026-01-01T00:00:00+00:00">\n'
        "    <properties>\n"
        f'      <property name="commit" value="{"c" * 40}" />\n'
        '      <property name="branch" value="main" />\n'
        "    </properties>\n"
        "  </testsuite>\n"
        '  <testsuite name="verify" tests="2" failures="1" skipped="0" time="1.000" '
        'timestamp="2026-01-01T00:00:00+00:00">\n'
        "    <properties>\n"
        f'      <property name="commit" value="{"c" * 40}" />\n'
        '      <property name="branch" value="main" />\n'
        "    </properties>\n"
        '    <testcase name="a" classname="web-1.serverspec" time="0.500" />\n'
        '    <testcase name="b" classname="web-1.serverspec" time="0.500">\n'
        '      <failure message="no">no\nport &lt;80&gt;\N{REPLACEMENT CHARACTER}</failure>\n'
        "    </testcase>\n"
        "  </testsuite>\n"
        "</testsuites>\n"
    )


def test_a_stage_that_failed_without_a_failed_check_is_a_case_of_its_own() -> None:
    text = report.junit(RUN, [stage_result("configure", passed=False, reason="no SSH", checks=[])])
    assert 'tests="1" failures="1"' in text
    assert '<failure message="no SSH">no SSH</failure>' in text


def test_a_run_that_failed_where_no_runner_told_of_it_has_a_failure_in_its_suites() -> None:
    configured = stage_result("configure", passed=True, checks=[check("a")])
    suites = ET.fromstring(report.junit(RUN, [configured]))
    assert [(each.get("name"), each.get("failures")) for each in suites] == [
        ("configure", "0"),
        ("verify", "1"),
    ]
    (failure,) = suites.iter("failure")
    assert failure.text == "no room"
    whole = replace(RUN, status="verified", reason="")
    assert not list(ET.fromstring(report.junit(whole, [configured])).iter("failure"))


def test_a_failure_names_the_check_and_shows_its_last_lines() -> None:
    output = "".join(f"line {number}\n" for number in range(1, 31))
    failed = stage_result("configure", passed=False, checks=[check("./web.sh", "failed", output)])
    lines = configure.failure(failed).splitlines()
    assert lines[0] == "configure: ./web.sh failed on web-1"
    assert lines[1:] == [f"    line {number}" for number in range(11, 31)]


def test_many_failures_are_counted_and_the_first_shown() -> None:
    checks = [check(f"c{number}", "failed", "x") for number in range(8)]
    text = verify.failure(stage_result("verify", passed=False, checks=[*checks, check("good")]))
    assert text.splitlines()[0] == "verify: 8 of 9 checks failed"
    assert text.splitlines()[-1] == "  and 3 more"
