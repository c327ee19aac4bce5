"""Stage verify, on the runner: every check, also after one has failed."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from kumoi.pipeline.runner.log import Log
from kumoi.pipeline.runner.programs import (
    HOME,
    TREE,
    Check,
    check,
    in_parallel,
    run_logged,
    tail,
)
from kumoi.pipeline.runner.servers import Servers
from kumoi.pipeline.runner.spec import SpecDriver, SpecTarget

HTTP_WITHIN_S = 15.0
HTTP_BODY_MAX = 1 << 20
JUNIT_MAX_BYTES = 8 << 20
JUNIT_FILES_MAX = 200
CASES_MAX = 2_000

# Serverspec's target, loaded before any file of the user's.
TARGET = """
require "serverspec"
set :backend, :ssh
set :host, ENV.fetch("TARGET_HOST")
set :ssh_options, user: ENV.fetch("TARGET_USER"), keys: [ENV.fetch("TARGET_KEY")], keys_only: true,
    config: false, non_interactive: true, timeout: 15, verify_host_key: :accept_new,
    user_known_hosts_file: ENV.fetch("TARGET_KNOWN_HOSTS"), global_known_hosts_file: "/dev/null"
"""


SPEC = SpecDriver()


def prepare(job: dict[str, Any]) -> None:
    """Serverspec's target, on this server's disk, and its process, which loads while others work."""
    (HOME / "rspec").mkdir(exist_ok=True)
    (HOME / "rspec" / "kumoi_target.rb").write_text(TARGET)
    helper = HOME / "rspec" / "spec_helper.rb"
    helper.unlink(missing_ok=True)
    if not (TREE / "spec" / "spec_helper.rb").exists():
        helper.write_text("# kumoi_target.rb sets everything.\n")
    if any(each["serverspec"] for each in job["verify"]):
        SPEC.start()


def verify(job: dict[str, Any], servers: Servers, log: Log) -> list[Check]:
    checks: list[Check] = []
    for number, wanted in enumerate(job["verify"]):
        for each in _one(wanted, number, servers, log):
            log.line(f"{each['outcome']}: {each['name']}", each["server"])
            checks.append(each)
    return checks


def _one(wanted: dict[str, Any], number: int, servers: Servers, log: Log) -> list[Check]:
    http, path = wanted["http"], wanted["serverspec"]
    if http:
        log.line(f"verify {http['on']}: http {http['path']}")
        ends = wanted.get("ends") or servers.in_group(http["on"])
        return in_parallel(lambda end: http_check(end, http), ends)
    if wanted["testinfra"]:
        log.line(f"verify {wanted['on']}: testinfra {wanted['testinfra']}")
        return testinfra(wanted, number, servers, log)
    if wanted["run"]:
        log.line(f"verify: {wanted['run']}")
        return command(wanted, servers, log)
    log.line(f"verify {wanted['on']}: serverspec {path}")
    return serverspec(wanted, number, servers, log)


def serverspec(wanted: dict[str, Any], number: int, servers: Servers, log: Log) -> list[Check]:
    """Run one path of Serverspec files against each server of a group; RSpec's reports as checks."""
    path, began_s = wanted["serverspec"], time.monotonic()
    targets: list[SpecTarget] = []
    reports: list[Path] = []
    for server in servers.in_group(wanted["on"]):
        report = HOME / f"rspec-{number}-{server['name']}.json"
        report.unlink(missing_ok=True)
        words = ["-I", str(HOME / "rspec"), "-r", "kumoi_target", "--no-color", "--format", "json",
                 "--out", str(report), "--format", "progress", path]  # fmt: skip
        targets.append(SpecTarget(server["name"], words, servers.target(server)))
        reports.append(report)
    statuses = SPEC.run(targets, log.line, timeout_s=wanted["timeout_s"])
    checks: list[Check] = []
    for target, report, status in zip(targets, reports, statuses, strict=True):
        found = _rspec_checks(report, target.name)
        if not found or (status != 0 and _all_passed(found)):
            text = target.output or "no examples were found"
            name = f"serverspec {path}"
            failed = check("serverspec", name, target.name, began_s, failed=True, output=text)
            found.append(failed)
        checks += found
    return checks


def testinfra(wanted: dict[str, Any], number: int, servers: Servers, log: Log) -> list[Check]:
    """Run one path of testinfra files against all servers of a group, in one process."""
    path, began_s = wanted["testinfra"], time.monotonic()
    report = HOME / f"testinfra-{number}.xml"
    report.unlink(missing_ok=True)
    names = [server["name"] for server in servers.in_group(wanted["on"])]
    hosts = ",".join(f"ssh://{name}" for name in names)
    argv = ["python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--hosts={hosts}",
            f"--ssh-config={HOME / 'ssh_config'}", f"--junit-xml={report}", path]  # fmt: skip
    status, output = run_logged(
        argv,
        lambda line: log.line(line, "testinfra"),
        timeout_s=wanted["timeout_s"],
        cwd=TREE,
        environment={**servers.environment(), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    checks = [_of_host(each, names) for each in _junit("testinfra", [report])]
    if not checks or (status != 0 and _all_passed(checks)):
        text = output or "no tests were found"
        name = f"testinfra {path}"
        checks.append(check("testinfra", name, wanted["on"], began_s, failed=True, output=text))
    return checks


def command(wanted: dict[str, Any], servers: Servers, log: Log) -> list[Check]:
    """A command on the runner; the JUnit that it writes as checks, or its status as one."""
    began_s = time.monotonic()
    for old in _matching(wanted["junit"]):
        old.unlink()
    status, output = run_logged(
        ["sh", "-c", wanted["run"]],
        lambda line: log.line(line, "runner"),
        timeout_s=wanted["timeout_s"],
        cwd=TREE,
        environment=servers.here(),
    )
    checks = _junit("command", _matching(wanted["junit"]))
    if wanted["junit"] and not checks:
        output += f"wrote no JUnit to {wanted['junit']}\n"
    failed = status != 0 or bool(wanted["junit"] and not checks)
    if not checks or (failed and _all_passed(checks)):
        if status != 0:
            output += f"ended with status {status}\n"
        name = wanted["run"]
        checks.append(check("command", name, "runner", began_s, failed=failed, output=output))
    return checks


def http_check(end: dict[str, str], http: dict[str, Any]) -> Check:
    """Repeats the request until the answer is the expected one, for as long as the file says: a service
    may just be starting, and any answer may be of what stands there until it has.
    """
    within_s = http.get("within_s", HTTP_WITHIN_S)  # A release before 0.3 does not say.
    url = f"http://{end['address']}:{http['port']}{http['path']}"
    expected = f"status {http['status']}"
    expected += f" with {http['contains']!r}" if http["contains"] else ""
    name = f"GET {http['path']} on port {http['port']} answers {expected}"
    began_s = time.monotonic()
    while True:
        status, body = _get(url)
        text = f"status {status}" if status else "no answer"
        if status == http["status"] and http["contains"] in body:
            return check("http", name, end["name"], began_s, failed=False, output=text)
        if time.monotonic() - began_s > within_s:
            text = f"expected {expected}\n     got {text}\n{body}"
            return check("http", name, end["name"], began_s, failed=True, output=text)
        time.sleep(0.1)


def _matching(pattern: str) -> list[Path]:
    """The files in the sources that a pattern names."""
    if not pattern:
        return []
    found = [path for path in sorted(TREE.glob(pattern)) if path.is_file()]
    return found[:JUNIT_FILES_MAX]


def _junit(suite: str, reports: list[Path]) -> list[Check]:
    """The test cases of JUnit files. One that cannot be read has none."""
    found: list[Check] = []
    for report in reports:
        with contextlib.suppress(OSError, ET.ParseError, ValueError):
            if report.stat().st_size <= JUNIT_MAX_BYTES:
                # What is in the tenant may harm itself: nothing of ours is here.
                cases = ET.parse(report).getroot().iter("testcase")  # noqa: S314
                found += [_case(suite, case) for case in itertools.islice(cases, CASES_MAX)]
    return found


def _case(suite: str, case: ET.Element) -> Check:
    bad = [found for tag in ("failure", "error") if (found := case.find(tag)) is not None]
    skipped = case.find("skipped") is not None
    output = (bad[0].text or bad[0].get("message") or "") if bad else ""
    return {
        "suite": suite,
        "name": case.get("name", ""),
        "server": case.get("classname", ""),
        "seconds": round(float(case.get("time") or 0), 3),
        "outcome": "failed" if bad else "skipped" if skipped else "passed",
        "output": tail(output),
    }


def _of_host(found: Check, names: list[str]) -> Check:
    """Testinfra's name is "test_port[ssh://web-1]", or with parameters "test_port[ssh://web-1-80]"."""
    test, _, rest = found["name"].removesuffix("]").partition("[ssh://")
    for name in sorted(names, key=len, reverse=True):
        if rest == name or rest.startswith(f"{name}-"):
            more = rest.removeprefix(name).lstrip("-")
            return {**found, "name": f"{test}[{more}]" if more else test, "server": name}
    return {**found, "server": ""}


def _rspec_checks(report: Path, server: str) -> list[Check]:
    """The examples of RSpec's JSON report; none where it wrote none."""
    try:
        examples = json.loads(report.read_text())["examples"]
    except (OSError, ValueError, KeyError):
        return []
    return [_rspec_check(each, server) for each in examples]


def _rspec_check(example: dict[str, Any], server: str) -> Check:
    outcome = {"passed": "passed", "failed": "failed"}.get(example["status"], "skipped")
    message = (example.get("exception") or {}).get("message", "")
    where = f"{example.get('file_path', '')}:{example.get('line_number', '')}"
    return {
        "suite": "serverspec",
        "name": example["full_description"],
        "server": server,
        "seconds": round(float(example.get("run_time") or 0), 3),
        "outcome": outcome,
        "output": tail(f"{message.strip()}\n{where}") if outcome == "failed" else "",
    }


def _all_passed(checks: list[Check]) -> bool:
    return all(each["outcome"] != "failed" for each in checks)


def _get(url: str) -> tuple[int, str]:
    """Status and body; 0 when nothing answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - http, by us
            return answer.status, answer.read(HTTP_BODY_MAX).decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read(HTTP_BODY_MAX).decode(errors="replace")
    except (OSError, ValueError) as error:
        return 0, str(getattr(error, "reason", error))  # Of urllib's, what is inside.
