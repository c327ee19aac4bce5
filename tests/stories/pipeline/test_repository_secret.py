"""Secrets of a repository: given by who may push, used by its steps, shown to nobody."""

from __future__ import annotations

import base64
import hashlib
from xml.etree import ElementTree as ET

import pytest
from openstack.connection import Connection
from tests.stories.pipeline.conftest import ENVIRONMENT, Pusher, RunningPipeline, Start, built

VALUE = "Xk9 'never' to be $HOWN"
CODED = base64.b64encode(VALUE.encode()).decode()
PROOF = hashlib.sha256(VALUE.encode()).hexdigest()
SECRETS = "/pipeline/v1/repositories/hello/secrets"
NAMED = "secrets:\n  - DB_PASSWORD\n"
MISSING = "kumoi.yaml:{line}: secrets.0: there is no secret DB_PASSWORD: kumoi secret set hello DB_PASSWORD"

# Shows the secret in two forms, says that it was the right one, and whether a command line above has it.
TELLS = """#!/bin/sh
echo "the password is $DB_PASSWORD"
printf %s "$DB_PASSWORD" | base64
printf %s "$DB_PASSWORD" | sha256sum
read -r more && echo "there is more to read: $more"
pid=$$
while [ "$pid" -gt 1 ]; do
    case "$(tr '\\0' ' ' </proc/$pid/cmdline)" in *"$DB_PASSWORD"*) echo "a command line tells it" ;; esac
    pid=$(sed 's/.*) . \\([0-9]*\\) .*/\\1/' /proc/$pid/stat)
done
"""
STEPS = ENVIRONMENT.replace(
    "verify:\n", "  - {run: ./deploy.sh}\nverify:\n  - {run: ./deploy.sh}\n"
)


def test_a_secret_reaches_every_step_and_check_and_no_log_report_or_answer(
    pipeline: RunningPipeline, app: Pusher, demo: Connection, start_runner: Start
) -> None:
    (app.folder / "kumoi.yaml").write_text(STEPS + NAMED)
    (app.folder / "deploy.sh").write_text(TELLS)
    app.commit("steps that tell")
    with pipeline.client(demo) as client:
        told = client.put(f"{SECRETS}/DB_PASSWORD", json={"value": VALUE})
        assert told.status_code == 200
        run_id = app.run_id(app.push())
        start_runner()
        ended = pipeline.ended(client, run_id)
        assert (ended["status"], ended["reason"]) == ("verified", "")
        where = f"/pipeline/v1/runs/{run_id}"
        log = client.get(f"{where}/log").json()["text"]
        answers = [told, *(client.get(path) for path in (
            SECRETS, where, f"{where}/log", f"{where}/junit.xml", f"{where}/report",
            f"{where}/report.html", "/pipeline/v1/environments", "/pipeline/v1/repositories",
        ))]  # fmt: skip
    for who in ("web-1", "web-2", "runner"):
        assert f"[{who}] the password is ***" in log
        assert f"[{who}] {PROOF}  -" in log
    assert log.count(PROOF) == 4
    assert "there is more to read" not in log
    assert "a command line tells it" not in log
    here = pipeline.here
    logs = [path.read_text() for path in here.log_dir.glob("*.log")]
    for text in [*(each.text for each in answers), *logs, str(ended)]:
        assert VALUE not in text
        assert CODED not in text
    assert [each["name"] for each in answers[1].json()["secrets"]] == ["DB_PASSWORD"]
    ET.fromstring(answers[4].text)


def test_a_push_that_names_a_secret_which_is_not_set_is_refused_with_its_line(
    pipeline: RunningPipeline, pusher: Pusher, demo: Connection
) -> None:
    file = pusher.folder / "kumoi.yaml"
    file.write_text(file.read_text() + NAMED)
    pusher.commit("a secret")
    line = len(file.read_text().splitlines())
    printed = pusher.push()
    assert f"remote: push refused: {MISSING.format(line=line)}" in printed
    with pipeline.client(demo) as client:
        client.put(f"{SECRETS}/DB_PASSWORD", json={"value": VALUE}).raise_for_status()
        run_id = pusher.run_id(pusher.push())
        built(pipeline, client, run_id)
        client.post(f"/pipeline/v1/runs/{run_id}/cancel").raise_for_status()
        pipeline.ended(client, run_id)

        assert client.delete(f"{SECRETS}/DB_PASSWORD").status_code == 204
        before = {server.id for server in demo.compute.servers()}
        again = client.post(f"/pipeline/v1/runs/{run_id}/retry").json()["run"]["id"]
        ended = pipeline.ended(client, again)
        assert (ended["status"], ended["stage"]) == ("failed", "build")
        assert ended["reason"] == MISSING.format(line=line)
        assert {server.id for server in demo.compute.servers()} <= before


def test_a_reader_sees_names_and_sets_and_deletes_nothing_and_another_project_sees_nothing(
    pipeline: RunningPipeline,
    pusher: Pusher,
    admin: Connection,
    demo: Connection,
    other: Connection,
) -> None:
    reader = admin.identity.create_user(name=f"reads-{pusher.project}", password="reads-only")
    role = next(admin.identity.roles(name="reader"))
    project = admin.identity.find_project(pusher.project)
    admin.identity.assign_project_role_to_user(project, reader, role)
    with pipeline.client(demo) as client:
        client.put(f"{SECRETS}/DB_PASSWORD", json={"value": VALUE}).raise_for_status()
    with (
        pipeline.cloud.connect(reader.name, "reads-only", pusher.project) as reading,
        pipeline.client(reading) as client,
    ):
        shown = client.get(SECRETS)
        assert [each["name"] for each in shown.json()["secrets"]] == ["DB_PASSWORD"]
        assert VALUE not in shown.text
        assert client.put(f"{SECRETS}/DB_PASSWORD", json={"value": "another1"}).status_code == 403
        assert client.delete(f"{SECRETS}/DB_PASSWORD").status_code == 403
        assert client.get(f"{SECRETS}/DB_PASSWORD").status_code == 405
    with pipeline.client(other) as client:
        assert client.get(SECRETS).status_code == 404
        assert client.delete(f"{SECRETS}/DB_PASSWORD").status_code == 404


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("db_password", VALUE),
        ("KUMOI_URL", VALUE),
        ("PATH", VALUE),
        ("DB_PASSWORD", "short"),
        ("DB_PASSWORD", "with a \x00 in it"),
        ("DB_PASSWORD", "x" * 8_193),
        ("DB_PASSWORD", None),
    ],
)
def test_what_no_variable_could_be_is_refused_and_not_shown(
    pipeline: RunningPipeline, demo: Connection, name: str, value: str | None
) -> None:
    with pipeline.client(demo) as client:
        refused = client.put(f"{SECRETS}/{name}", json={"value": value})
    assert refused.status_code == 400
    assert VALUE not in refused.text


def test_a_repository_takes_its_secrets_along(pipeline: RunningPipeline, demo: Connection) -> None:
    where = "/pipeline/v1/repositories/not-pushed"
    with pipeline.client(demo) as client:
        client.put(f"{where}/secrets/DB_PASSWORD", json={"value": VALUE}).raise_for_status()
        client.put(f"{where}/secrets/DB_PASSWORD", json={"value": VALUE * 2}).raise_for_status()
        assert len(client.get(f"{where}/secrets").json()["secrets"]) == 1
        client.delete(where).raise_for_status()
        assert client.get(f"{where}/secrets").status_code == 404
        client.put(f"{where}/secrets/OTHER", json={"value": VALUE}).raise_for_status()
        names = [each["name"] for each in client.get(f"{where}/secrets").json()["secrets"]]
        assert names == ["OTHER"]
        client.delete(where).raise_for_status()
