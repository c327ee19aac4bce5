"""What another CI does: the samples' shell, run as it stands, with the real command line."""

from __future__ import annotations

import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml
from openstack.connection import Connection
from tests.stories.pipeline.conftest import ROOT, Pusher, RunningPipeline, Start

from kumoi.base import process
from kumoi.cli.run import EXIT_AWAY

pytestmark = pytest.mark.timeout(400)  # The command line begins ten times.

CI = ROOT / "examples" / "ci"
KUMOI = """#!/bin/sh
PYTHONPATH='{source}' exec '{python}' -m kumoi.main "$@" --pipeline-url '{url}'
"""


@pytest.fixture
def variables(
    pipeline: RunningPipeline, app: Pusher, demo: Connection, tmp_path: Path
) -> Iterator[dict[str, str]]:
    """Those of the sample, and what finds the cloud."""
    mine = demo.identity.create_application_credential(demo.current_user_id, name="ci")
    login = {"application_credential_id": mine.id, "application_credential_secret": mine.secret}
    entry = {
        "auth_type": "v3applicationcredential",
        "auth": {"auth_url": f"{pipeline.cloud.url}/identity/v3", **login},
        "region_name": pipeline.cloud.config.region,
        "cacert": str(pipeline.here.pki_dir / "ca.crt"),
    }
    clouds = tmp_path / "clouds.yaml"
    clouds.write_text(yaml.safe_dump({"clouds": {"story": entry}}))
    command = tmp_path / "kumoi"
    facts = {"source": ROOT / "src", "python": sys.executable, "url": pipeline.config.pipeline_url}
    command.write_text(KUMOI.format(**facts))
    command.chmod(0o755)
    with tempfile.TemporaryDirectory() as short:  # Sockets' paths have a limit.
        yield {
            **app.environment,
            "KUMOI": str(command),
            "KUMOI_REMOTE": app.url(user=mine.id, password=mine.secret),
            "OS_CLOUD": "story",
            "OS_CLIENT_CONFIG_FILE": str(clouds),
            "XDG_STATE_HOME": short,
        }


def verify(app: Pusher, variables: dict[str, str]) -> process.Completed:
    return process.run(
        [CI / "verify.sh"], cwd=app.folder, env=variables, check=False, timeout_s=180
    )


def test_a_ci_gets_junit_a_page_and_an_exit_status(
    app: Pusher, variables: dict[str, str], start_runner: Start
) -> None:
    file = app.folder / "kumoi.yaml"
    file.write_text(file.read_text() + "keep: true\n")
    (app.folder / ".gitignore").write_text("results.xml\nreport.html\n")
    app.commit("good")
    threading.Thread(target=start_runner, daemon=True).start()  # As soon as its server is there.
    good = verify(app, variables)
    assert (good.status, good.err) == (0, "")
    suites = ET.parse(app.folder / "results.xml").getroot()
    assert {suite.get("failures") for suite in suites} == {"0"}
    assert (app.folder / "report.html").read_text().startswith("<!doctype html>")
    assert verify(app, variables).status == 0  # The branch is there already.

    (app.folder / "broken-verify").touch()
    app.commit("bad")
    bad = verify(app, variables)
    assert bad.status == 1
    assert bad.out.index("✗ web-2: Port 80 is listening") < bad.out.index(": failed  hello main")
    assert "expected Port 80 to be listening" in (app.folder / "report.html").read_text()

    file.write_text("servers: [")
    app.commit("not YAML")
    refused = verify(app, variables)
    assert refused.status == 1
    assert "push to main refused: kumoi.yaml" in refused.err
    assert variables["KUMOI_REMOTE"].split("@")[0].split("://")[1] not in refused.err


def test_nobody_who_answers_has_a_status_of_its_own(variables: dict[str, str]) -> None:
    command = Path(variables["KUMOI"])
    command.write_text(
        re.sub("--pipeline-url '.*'", "--pipeline-url https://127.0.0.1:9", command.read_text())
    )
    away = process.run([command, "run", "list", "--os-cloud", "story"], env=variables, check=False)
    assert away.status == EXIT_AWAY
    assert "the pipeline at https://127.0.0.1:9 does not answer" in away.err


def test_the_samples_call_the_shell_that_is_tested() -> None:
    jenkins, gitlab = (
        (CI / "Jenkinsfile").read_text(),
        yaml.safe_load((CI / ".gitlab-ci.yml").read_text()),
    )
    assert re.search(r"^ *ci/verify\.sh$", jenkins, re.MULTILINE)
    assert jenkins.count("{") == jenkins.count("}")
    assert gitlab["verify"]["script"] == ["ci/verify.sh"]
    assert gitlab["verify"]["artifacts"]["reports"] == {"junit": "results.xml"}
