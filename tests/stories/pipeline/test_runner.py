"""What the runner does and tells. The very script of its user data runs, with stand-ins for the
programs that reach the servers.
"""

from __future__ import annotations

import base64
from typing import Any
from xml.etree import ElementTree as ET

from openstack.connection import Connection
from tests.stories.pipeline.conftest import ENVIRONMENT, Pusher, RunningPipeline, Start, until

# On the runner, since it has no group.
TELLS_ALL = """  - run: |
      cat "$KUMOI_SSH_KEY"
      base64 "$KUMOI_SSH_KEY"
      secret=$(printf "fetched-%s" secret)
      echo "::add-mask::$secret"
      echo "a $secret for $(grep -o "^web-1" "$KUMOI_INVENTORY")"
verify:
"""


def test_a_good_commit_is_verified_with_log_and_junit(
    pipeline: RunningPipeline, app: Pusher, demo: Connection, start_runner: Start
) -> None:
    (app.folder / "kumoi.yaml").write_text(ENVIRONMENT.replace("verify:\n", TELLS_ALL))
    app.commit("a step that tells secrets")
    run_id = app.run_id(app.push())
    start_runner()
    with pipeline.client(demo) as client:
        ended = pipeline.ended(client, run_id)
        assert (ended["status"], ended["reason"]) == ("verified", "")
        where = f"/pipeline/v1/environments/{ended['environment']['id']}/key"
        key: str = client.post(where).json()["key"]["private_key"]
        text = client.get(f"/pipeline/v1/runs/{run_id}/log").json()["text"]
        junit = ET.fromstring(client.get(f"/pipeline/v1/runs/{run_id}/junit.xml").text)
    assert f"[web-2] configuring web-2 at {ended['commit']}" in text
    assert "[web-1] ran against 10.0.0." in text
    assert [(suite.get("name"), suite.get("tests")) for suite in junit] == [
        ("configure", "3"),
        ("verify", "4"),
    ]
    told = ET.tostring(junit, encoding="unicode") + str(ended)
    coded = base64.encodebytes(key.encode()).decode()
    for line in [*key.splitlines(), *coded.splitlines(), "fetched-secret"]:
        assert line not in text
        assert line not in told
    assert "[runner] a *** for web-1" in text
    assert {suite.get("failures") for suite in junit} == {"0"}


def test_a_failing_check_ends_the_run_red_naming_it_and_showing_its_output(
    pipeline: RunningPipeline, app: Pusher, demo: Connection, start_runner: Start
) -> None:
    (app.folder / "broken-verify").touch()
    app.commit("a port that nobody listens on")
    run_id = app.run_id(app.push())
    start_runner()
    with pipeline.client(demo) as client:
        ended = pipeline.ended(client, run_id)
        junit = ET.fromstring(client.get(f"/pipeline/v1/runs/{run_id}/junit.xml").text)
    assert ended["status"] == "failed"
    assert ended["stage"] == "verify"
    assert ended["environment"]["status"] == "live"
    assert ended["reason"] == (
        "verify: 1 of 4 checks failed\n"
        "  web-2: Port 80 is listening\n"
        "    expected Port 80 to be listening\n"
        "    ./spec/web_spec.rb:5"
    )
    failed = junit.findall(".//testcase[failure]")
    assert [case.get("classname") for case in failed] == ["web-2.serverspec"]


def test_a_failing_configure_step_ends_the_run_and_nothing_is_verified(
    pipeline: RunningPipeline, app: Pusher, demo: Connection, start_runner: Start
) -> None:
    (app.folder / "broken-deploy").touch()
    app.commit("a full disk")
    run_id = app.run_id(app.push())
    start_runner()
    with pipeline.client(demo) as client:
        ended = pipeline.ended(client, run_id)
    assert ended["status"] == "failed"
    assert ended["reason"].startswith("configure: ./deploy.sh failed on web-1\n")
    assert "the disk is full" in ended["reason"]
    assert "ended with status 3" in ended["reason"]
    assert [each["stage"] for each in ended["results"]] == ["configure"]


def test_a_pipeline_that_is_killed_meanwhile_costs_the_runner_only_time(
    pipeline: RunningPipeline, app: Pusher, demo: Connection, start_runner: Start
) -> None:
    (app.folder / "deploy.sh").write_text(
        "#!/bin/sh\nfor n in 1 2 3 4 5 6 7 8; do echo line $n; sleep 0.25; done\n"
    )
    app.commit("slow")
    run_id = app.run_id(app.push())
    start_runner()
    with pipeline.client(demo) as client:

        def log() -> str:
            """The runner's log."""
            text: str = client.get(f"/pipeline/v1/runs/{run_id}/log").json()["text"]
            return text if "line 2" in text else ""

        until(log)
        pipeline.kill()
        pipeline.start()
        ended = pipeline.ended(client, run_id)
        whole = client.get(f"/pipeline/v1/runs/{run_id}/log").json()["text"]
    assert ended["status"] == "verified"
    for server in ("web-1", "web-2"):
        for number in range(1, 9):
            assert whole.count(f"[{server}] line {number}\n") == 1


def test_a_token_is_claimed_once_and_its_session_ends_with_the_run(
    pipeline: RunningPipeline, app: Pusher, demo: Connection, start_runner: Start
) -> None:
    run_id = app.run_id(app.push())
    script = start_runner()
    facts: dict[str, Any] = {}
    line = next(item for item in script.read_text().splitlines() if item.startswith("CONFIG: "))
    exec(line, facts)
    with pipeline.client(demo) as client:
        assert pipeline.ended(client, run_id)["status"] == "verified"
        headers = {"Authorization": f"Bearer {facts['CONFIG']['token']}"}
        again = client.post("/runner/v1/claim", json={"session": "x" * 40}, headers=headers)
        assert again.status_code == 401


def test_a_kept_environments_next_push_is_the_same_runners_on_the_same_servers(
    pipeline: RunningPipeline, app: Pusher, demo: Connection, start_runner: Start
) -> None:
    (app.folder / "kumoi.yaml").write_text(ENVIRONMENT + "keep: true\n")
    app.commit("keep it")
    first = app.run_id(app.push())
    script = start_runner()
    with pipeline.client(demo) as client:
        assert pipeline.ended(client, first)["status"] == "verified"
        servers = {server.id for server in demo.compute.servers()}
        commit = app.commit("a change of the application")
        second = app.run_id(app.push())
        ended = pipeline.ended(client, second)
        assert (ended["status"], ended["reason"]) == ("verified", "")
        assert (
            f"configuring web-1 at {commit}"
            in client.get(f"/pipeline/v1/runs/{second}/log").json()["text"]
        )
        assert {server.id for server in demo.compute.servers()} == servers
        environment = ended["environment"]
        assert environment["run_id"] == second
        assert [
            each["id"] for each in client.get("/pipeline/v1/environments").json()["environments"]
        ] == [environment["id"]]

        session = (script.parent / "runner" / "session").read_text()
        headers = {"Authorization": f"Bearer {session}"}
        assert client.get("/runner/v1/tree", headers=headers).status_code == 401  # It has ended.
        short = client.post("/runner/v1/next?session_hash=x", headers=headers)
        assert short.status_code == 400
        client.delete(f"/pipeline/v1/environments/{environment['id']}").raise_for_status()

        def refused() -> bool:
            """The end of what its session opens."""
            answer = client.post(f"/runner/v1/next?session_hash={'0' * 64}", headers=headers)
            return answer.status_code == 401

        until(refused)
