"""A git push becomes verified web servers, on a real cloud: git, HTTPS, OVN, containers, cloud-init,
SSH, Serverspec and a browser, with nothing in their place.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from tests.system.browser import Browser, Page, browser
from tests.system.listed import access_rules, listed, without_credentials
from tests.system.live import ROOT, LiveCloud, another_release, eventually, live_cloud

from kumoi.base.process import Completed, run
from kumoi.hosts.install import image

pytestmark = [pytest.mark.system, pytest.mark.timeout(500)]

SWEPT_S = 180
VERIFIED_S = 240  # The first servers wait for their images to be unpacked; bench/ measures.


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCloud]:
    with live_cloud("kpsys", tmp_path_factory.mktemp("home")) as cloud:
        yield cloud


class Hello:
    """The hello example, or another one, as somebody's repository."""

    def __init__(self, live: LiveCloud, folder: Path, example: str = "hello") -> None:
        self.live = live
        self.folder = folder
        shutil.copytree(ROOT / "examples" / example, folder)
        self.git("init", "--quiet", "--initial-branch=main", ".")
        self.commit()

    def git(self, *args: str, check: bool = True, timeout_s: float = 60) -> Completed:
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        words = ["git", *who, *args]
        return run(words, cwd=self.folder, env=self.live.env, check=check, timeout_s=timeout_s)

    def commit(self) -> str:
        self.git("add", "--all", ".")
        self.git("commit", "--quiet", "--allow-empty", "-m", "a change")
        return self.git("rev-parse", "HEAD").out.strip()

    def push(self, project: str = "demo", branch: str = "main", *, waits: bool = False) -> str:
        """What git prints; with `waits` as at a terminal, until the run has ended."""
        url = self.live.config.pipeline_url.replace(
            "https://", f"https://{':'.join(login(self.live))}@"
        )
        where = f"{url}/git/{project}/{self.folder.name}.git"
        options = ["-o", "kumoi.wait=yes"] if waits else []
        words = ["push", "--force", *options, where, f"HEAD:{branch}"]
        return self.git(*words, check=False, timeout_s=VERIFIED_S).err

    def begin(self, branch: str = "main") -> str:
        """Push; the run's id."""
        printed = self.push(branch=branch)
        found = re.search(r"remote: run ([0-9a-f]+) started", printed)
        assert found, printed
        return found[1]


@pytest.fixture
def hello(live: LiveCloud, tmp_path: Path) -> Hello:
    return Hello(live, tmp_path / "hello")


@pytest.fixture
def chromium(live: LiveCloud, tmp_path: Path) -> Iterator[Browser]:
    """Somebody's who imported the cloud's authority."""
    with browser(tmp_path / "home", authority=live.here.pki_dir / "ca.crt") as opened:
        yield opened


def login(live: LiveCloud) -> tuple[str, str]:
    """The user and the password that git is asked for, and a browser."""
    auth = live.clouds_yaml["clouds"][live.config.name]["auth"]
    return auth["username"], auth["password"]


def command(live: LiveCloud, *words: str, check: bool = True) -> Completed:
    cloud = ["--os-cloud", live.config.name]
    argv = [*words[:2], *cloud, *words[2:]]
    return run(
        [shutil.which("python3", path=live.env["PATH"]) or "python3", "-m", "kumoi.main", *argv],
        env={**live.env, "PYTHONPATH": str(ROOT / "src")},
        timeout_s=VERIFIED_S,
        check=check,
    )


def shown(live: LiveCloud, run_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(command(live, "run", "show", run_id, "--json").out)
    return found


def test_a_push_becomes_verified_web_servers_and_goes_without_a_trace(
    live: LiveCloud, hello: Hello
) -> None:
    before = listed(live)
    commit = hello.git("rev-parse", "HEAD").out.strip()
    run_id = hello.begin()
    followed = command(live, "run", "follow", run_id)
    assert "verify passed" in followed.out
    found = shown(live, run_id)
    assert found["status"] == "verified"
    with urllib.request.urlopen(found["environment"]["url"], timeout=10) as answer:
        assert answer.read().decode().endswith(f"-web-1 at {commit}\n")
    suites = ET.fromstring(command(live, "run", "junit", run_id).out)
    assert [(suite.get("name"), suite.get("failures")) for suite in suites] == [
        ("configure", "0"),
        ("verify", "0"),
    ]
    names = {case.get("name") for case in suites.iter("testcase")}
    assert 'Service "hello" is expected to be running' in names
    assert "GET / on port 80 answers status 200 with 'hello'" in names

    command(live, "env", "delete", found["environment"]["id"], "--wait")
    assert without_credentials(listed(live) - before) == set()


def test_the_shop_is_verified_through_its_balancer_and_a_second_push_keeps_its_orders(
    live: LiveCloud, tmp_path: Path, chromium: Browser
) -> None:
    shop = Hello(live, tmp_path / "shop", "shop")
    before = listed(live)  # By other tests, whose environments live.
    first = verified(live, shop.begin("production"))
    page = f"{live.config.pipeline_url}/reports/demo/{first['id']}"
    assert f"\nreport: {page}\n" in command(live, "run", "show", first["id"]).out
    ordered = orders(first)
    assert ordered >= 1
    plan = command(
        live, "env", "up", "--plan", "--branch", "production", "-f", str(shop.folder / "kumoi.yaml")
    )
    assert plan.out.strip() == "= 14 kept"
    shop.commit()
    second = verified(live, shop.begin("production"))
    assert second["environment"]["id"] == first["environment"]["id"]
    assert orders(second) > ordered
    cases = ET.fromstring(command(live, "run", "junit", second["id"]).out).iter("testcase")
    kinds = {str(case.get("classname")).rpartition(".")[2] for case in cases}
    assert kinds == {"ansible", "configure", "serverspec", "testinfra", "http", "command"}
    shows_what_junit_has(live, chromium, second)
    there = command(live, "env", "ssh", "production", "db-1", "--", "hostname")
    assert there.out.strip().endswith("-db-1")
    link = f"{live.config.pipeline_url}/e/{second['environment']['id']}"
    assert chromium.open(link).of_script("location.href") == second["environment"]["url"]
    command(live, "env", "delete", "production", "--wait")
    assert without_credentials(listed(live) - before) == set()
    swept(live, second["id"])
    assert listed(live) - before == set()
    gone = chromium.open(link)
    assert (gone.status, gone.asked) == (410, [link])
    assert gone.texts("h1, .pill") == ["shop production", "deleted"]
    assert "somebody asked for it" in gone.texts(".facts")[0]
    assert gone.texts("pre")[0] == f"kumoi run retry {second['id']}"


def shows_what_junit_has(live: LiveCloud, chromium: Browser, of: dict[str, Any]) -> None:
    """The report's page of a verified run, at the address that the push prints."""
    page = report_page(live, chromium, of["id"])
    assert page.texts("h1, .pill") == ["shop production", "verified"]
    stages = [text.split()[0] for text in page.texts(".legend > span")]
    assert stages == ["receive", "build", "configure", "verify", "report"]
    cases = ET.fromstring(command(live, "run", "junit", of["id"]).out).iter("testcase")
    checks = [text.splitlines()[0] for text in page.texts("td:first-child:has(.passed)")]
    assert sorted(checks) == sorted(f"✓ {case.get('name')}" for case in cases)
    url = of["environment"]["url"]
    assert page.texts(".url a") == [url]
    shown = [text.split() for text in page.texts(".addresses tr")]
    assert {words[0] for words in shown} == {"front", "web-1", "web-2", "db-1", "runner"}
    assert ["front", "(floating)", url.split("/")[2]] in shown
    assert not any(page.texts("details pre"))  # Until asked for.
    page.of_script("document.querySelector('details summary').click()")
    assert "PLAY RECAP" in page.texts("details pre")[0]


def report_page(live: LiveCloud, chromium: Browser, run_id: str) -> Page:
    """Whole without anything else, on a telephone as well, and nothing that a browser minds."""
    url = f"{live.config.pipeline_url}/reports/demo/{run_id}"
    for size in ((390, 800), (1000, 900)):
        page = chromium.open(url, login=login(live), size=size)
        assert (page.status, page.asked, page.complaints) == (200, [url], [])
        assert page.of_script("document.documentElement.scrollWidth") <= size[0]
    return page


def test_a_pipeline_killed_in_the_middle_of_a_build_leaves_nothing_that_a_deletion_does_not_take(
    live: LiveCloud, tmp_path: Path
) -> None:
    before, rules = listed(live), list[set[str]]()
    shop = Hello(live, tmp_path / "shop", "shop")
    for made in ("network", "server", "load balancer"):
        shop.commit()
        run_id = shop.begin("cut")

        def begun(made: str = made) -> bool:
            return any(line.startswith(f"user: {made} ") for line in listed(live) - before)

        eventually(begun, within_s=VERIFIED_S, what=f"there is a {made}")
        os.kill(live.pid("pipeline"), signal.SIGKILL)
        eventually(
            lambda: command(live, "env", "delete", "cut", "--wait", check=False).status == 0,
            within_s=60,
            what="the pipeline is back and has deleted it",
        )
        assert shown(live, run_id)["status"] == "cancelled"
        rules.append(access_rules(live))
        assert without_credentials(listed(live) - before) == set()
    swept(live, run_id)
    assert listed(live) - before == set()
    assert rules[0] == rules[1] == rules[2] == access_rules(live)


def swept(live: LiveCloud, run_id: str) -> None:
    """Wait for the sweeper, with which the last of an environment goes."""
    eventually(
        lambda: shown(live, run_id)["environment"]["swept_at"],
        within_s=SWEPT_S,
        what="the sweeper has looked",
    )


def verified(live: LiveCloud, run_id: str) -> dict[str, Any]:
    """The run at its end."""
    command(live, "run", "follow", run_id, check=False)
    found = shown(live, run_id)
    assert (found["status"], found["reason"]) == ("verified", "")
    return found


def orders(of: dict[str, Any]) -> int:
    """How much tea was ordered, as the shop's page says."""
    with urllib.request.urlopen(of["environment"]["url"], timeout=30) as answer:
        found = re.search(r"tea: (\d+) ordered", answer.read().decode())
    assert found
    return int(found[1])


def test_a_server_is_configured_by_puppet_and_a_broken_manifest_fails_the_step(
    live: LiveCloud, tmp_path: Path
) -> None:
    before = listed(live)  # By other tests, whose environments live.
    puppet = Hello(live, tmp_path / "puppet", "puppet")
    # Servers here have no way to Debian, so the repository brings the packages along.
    debian_packages("puppet-agent", into=puppet.folder / "packages")
    file = puppet.folder / "kumoi.yaml"
    file.write_text(file.read_text() + "keep: true\n")
    commit = puppet.commit()
    first = verified(live, puppet.begin("puppet"))
    with urllib.request.urlopen(first["environment"]["url"], timeout=30) as answer:
        assert answer.read().decode() == f"web-1 at {commit}, configured by Puppet\n"
    (puppet.folder / "deploy/site.pp").write_text("fail('not so')\n")
    puppet.commit()
    run_id = puppet.begin("puppet")
    assert command(live, "run", "follow", run_id, check=False).status == 1
    reason = shown(live, run_id)["reason"]
    assert reason.startswith("configure: ./deploy/puppet.sh failed on web-1\n")
    assert "not so" in reason
    command(live, "env", "delete", first["environment"]["id"], "--wait")
    assert without_credentials(listed(live) - before) == set()


def debian_packages(*names: str, into: Path) -> None:
    """Those, and what they need that the servers' image lacks."""
    there = image.file_of(image.DEBIAN, image.cache_dir())
    apt = into.parent / ".git" / "apt"
    for folder in (into, apt / "lists/partial", apt / "archives/partial"):
        folder.mkdir(parents=True)
    status = run(["tar", "-I", "zstd", "-xOf", there, "./var/lib/dpkg/status"], timeout_s=60).out
    (apt / "status").write_text(status)
    where = {
        "Dir::State::lists": apt / "lists",
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt,
        "Dir::Cache::archives": apt / "archives",
    }
    options = [word for name, path in where.items() for word in ("-o", f"{name}={path}")]
    run(["apt-get", "-q", *options, "update"], timeout_s=200)
    install = ["--download-only", "--no-install-recommends", "install", *names]
    run(["apt-get", "-qy", *options, *install], timeout_s=200)
    for package in (apt / "archives").glob("*.deb"):
        package.rename(into / package.name)


def test_a_failing_check_ends_the_run_red_naming_it_and_showing_its_output(
    live: LiveCloud, hello: Hello
) -> None:
    spec = hello.folder / "spec" / "web_spec.rb"
    spec.write_text(spec.read_text().replace("port(80)", "port(81)"))
    hello.commit()
    followed = command(live, "run", "follow", hello.begin("red"), check=False)
    assert followed.status == 1
    assert re.search("^checks: .*\\b2 failed", followed.out, re.MULTILINE)
    assert 'web-1: Port "81" is expected to be listening' in followed.out
    assert 'expected Port "81" to be listening' in followed.out


def test_each_broken_sample_fails_in_its_stage_and_tells_so_everywhere(
    live: LiveCloud, tmp_path: Path, chromium: Browser
) -> None:
    before = listed(live)  # By other tests, whose environments live.
    samples = {
        stage: Hello(live, tmp_path / f"broken-{stage}", f"broken-{stage}")
        for stage in ("receive", "build", "configure", "verify")
    }
    with ThreadPoolExecutor(len(samples)) as pushes:
        pushed = pushes.map(lambda each: each.push(waits=True), samples.values())
        printed = dict(zip(samples, pushed, strict=True))
    lines = [
        line.removeprefix("remote: ").strip()
        for text in printed.values()
        for line in text.splitlines()
    ]
    for line in seen_by_whoever_pushes():
        assert line.removeprefix("remote: ").strip() in lines
    assert "[remote rejected]" in printed["receive"]
    assert "started" not in printed["receive"]
    for stage in ("build", "configure", "verify"):
        fails_in(live, chromium, stage, printed[stage])
    for environment in json.loads(command(live, "env", "list", "--json").out):
        if environment["repository"] in {"broken-configure", "broken-verify"}:
            command(live, "env", "delete", environment["id"], "--wait")
    assert without_credentials(listed(live) - before) == set()


def seen_by_whoever_pushes() -> list[str]:
    """As the samples' own document has it."""
    text = (ROOT / "examples/README.md").read_text()
    return text.partition("\n```\n")[2].partition("\n```\n")[0].splitlines()


def fails_in(live: LiveCloud, chromium: Browser, stage: str, printed: str) -> None:
    """What was printed, the run, JUnit and the page agree."""
    assert re.search(rf"^remote: FAILED after [0-9.]+ s in stage {stage}\b", printed, re.MULTILINE)
    (run_id,) = set(re.findall(r"^remote: report: \S+/reports/demo/(\w+)", printed, re.MULTILINE))
    found = shown(live, run_id)
    assert (found["status"], found["stage"]) == ("failed", stage)
    suites = ET.fromstring(command(live, "run", "junit", run_id).out)
    failures = {suite.get("name"): suite.get("failures") for suite in suites}
    assert failures.pop(stage) == "1"
    assert set(failures.values()) <= {"0"}
    page = report_page(live, chromium, run_id)
    assert page.texts("h1, .pill") == [f"broken-{stage} main", f"failed in {stage}"]
    (failure,) = page.texts(".failure pre")
    for line in failure.splitlines():
        assert line.strip() in printed
    (red,) = page.texts(".legend > span:has(.broken)")
    assert red.startswith(f"{stage} ")


def test_a_browser_that_was_not_told_of_the_clouds_authority_shows_nothing(
    live: LiveCloud, tmp_path: Path
) -> None:
    with browser(tmp_path / "home", authority=None) as stranger:
        page = stranger.open(f"{live.config.pipeline_url}/reports/demo/1", login=login(live))
    assert (page.status, page.complaints) == (0, ["net::ERR_CERT_AUTHORITY_INVALID"])


def test_a_push_without_rights_gets_one_clear_line(hello: Hello) -> None:
    printed = hello.push(project="admin")
    assert "remote error: demo has no role in project admin" in printed


def test_the_push_that_up_prints_works_where_git_is_told_another_authority(
    live: LiveCloud, hello: Hello, tmp_path: Path
) -> None:
    (command,) = [line.strip() for line in live.kumoi("up").out.splitlines() if "git push" in line]
    password = live.clouds_yaml["clouds"][live.config.name]["auth"]["password"]
    answer = tmp_path / "answer"
    answer.write_text(f"#!/bin/sh\necho '{password}'\n")
    answer.chmod(0o700)
    foreign = {"GIT_SSL_CAINFO": "/etc/ssl/certs/ca-certificates.crt", "GIT_ASKPASS": str(answer)}
    (hello.folder / "kumoi.yaml").unlink()  # So that it builds nothing.
    hello.commit()
    done = run(["sh", "-c", command], cwd=hello.folder, env={**live.env, **foreign}, check=False)
    assert "refused: there is no kumoi.yaml in commit" in done.err


def test_a_push_without_kumoi_yaml_is_refused(hello: Hello) -> None:
    (hello.folder / "kumoi.yaml").unlink()
    hello.commit()
    assert "refused: there is no kumoi.yaml in commit" in hello.push()


def test_a_run_in_progress_goes_on_across_an_update_and_the_way_back(
    live: LiveCloud, hello: Hello, tmp_path: Path
) -> None:
    """It is in the middle of configuring its servers, which wait for us, all the while."""
    before = listed(live)  # By other tests, whose environments live.
    script = hello.folder / "deploy/web.sh"
    first, rest = script.read_text().split("\n", 1)
    script.write_text(f"{first}\nuntil [ -e /go ]; do sleep 0.1; done\n{rest}")
    hello.commit()
    others = {server["ID"] for server in live.openstack("server", "list")}
    run_id = hello.begin("updated")
    eventually(
        lambda: stage(live, run_id) == "configure", within_s=VERIFIED_S, what="it configures"
    )
    for source in (another_release(tmp_path / "src"), None):
        release = live.release()
        live.kumoi("up", source=source, timeout_s=VERIFIED_S)
        assert live.release() != release
        assert stage(live, run_id) == "configure"
    for server in live.openstack("server", "list"):
        if server["ID"] not in others:
            inside = ["--target", str(live.init_pid(server["ID"])), "--user", "--mount"]
            run(["nsenter", *inside, "--setuid", "0", "--setgid", "0", "touch", "/go"])
    assert "verify passed" in command(live, "run", "follow", run_id).out
    environment = shown(live, run_id)["environment"]["id"]
    command(live, "env", "delete", environment, "--wait")
    assert without_credentials(listed(live) - before) == set()


def stage(live: LiveCloud, run_id: str) -> str:
    """In which a run is that has not ended."""
    found = shown(live, run_id)
    assert found["ended_at"] is None
    return str(found["stages"][-1]["name"]) if found["stages"] else ""


def test_a_pipeline_killed_in_every_stage_loses_nothing_and_doubles_nothing(
    live: LiveCloud, hello: Hello
) -> None:
    run_id = hello.begin("killed")

    def comes_back() -> bool:
        return command(live, "run", "show", run_id, check=False).status == 0

    for stage in ("build", "configure", "verify"):

        def there(stage: str = stage) -> bool:
            found = shown(live, run_id)
            return stage in [each["name"] for each in found["stages"]]

        eventually(there, within_s=VERIFIED_S, what=f"the run comes to {stage}")
        os.kill(live.pid("pipeline"), signal.SIGKILL)
        eventually(comes_back, within_s=30, what="the pipeline is back")
    command(live, "run", "follow", run_id)
    found = shown(live, run_id)
    assert found["status"] == "verified"
    prefix = f"env-{found['environment']['id']}"
    mine = {row["Name"] for row in live.openstack("server", "list") if prefix in row["Name"]}
    assert mine == {f"{prefix}-runner", f"{prefix}-web-1", f"{prefix}-web-2"}
