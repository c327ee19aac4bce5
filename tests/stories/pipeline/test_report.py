"""What is said of a run to people and programs, and what stands at the URL of what has ended."""

from __future__ import annotations

import ssl

import httpx
from openstack.connection import Connection
from tests.stories.pipeline.conftest import Pusher, RunningPipeline, Start, until

from kumoi.pipeline import report_page


def test_a_report_says_what_failed_where_and_since_when(
    pipeline: RunningPipeline, app: Pusher, demo: Connection, other: Connection, start_runner: Start
) -> None:
    file = app.folder / "kumoi.yaml"
    file.write_text(file.read_text() + "keep: true\n")
    good = app.commit("good")
    first = app.run_id(app.push())
    start_runner()
    with pipeline.client(demo) as client:
        assert pipeline.ended(client, first)["status"] == "verified"
        (app.folder / "broken-verify").touch()
        app.commit("this <b>broke</b> it")
        second = app.run_id(app.push())
        assert pipeline.ended(client, second)["status"] == "failed"

        where = f"/pipeline/v1/runs/{second}"
        report = client.get(f"{where}/report").json()["report"]
        assert (report["status"], report["counts"]) == (
            "failed",
            {"passed": 5, "failed": 1, "skipped": 0},
        )
        (failure,) = report["failures"]
        assert (failure["server"], failure["name"]) == ("web-2", "Port 80 is listening")
        assert "expected Port 80 to be listening" in failure["output"]
        assert report["checks"][0] == failure
        assert report["changes"]["since"] == good
        assert [each["subject"] for each in report["changes"]["commits"]] == [
            "this <b>broke</b> it"
        ]
        assert "broken-verify | 0" in " ".join(report["changes"]["diffstat"].split())
        assert set(report["addresses"]) == {"runner", "web-1", "web-2"}
        assert client.get(f"/pipeline/v1/runs/{first}/report").json()["report"]["failures"] == []

        page = client.get(f"{where}/report.html")
        assert (
            page.headers["Content-Security-Policy"]
            == report_page.HEADERS["Content-Security-Policy"]
        )
        assert "this &lt;b&gt;broke&lt;/b&gt; it" in page.text
    with pipeline.client(other) as stranger:
        assert stranger.get(f"{where}/report").status_code == 404
        assert stranger.get(f"{where}/report.html").status_code == 404
    _opened_by_a_browser(pipeline, app, other, second, page.text)


def _opened_by_a_browser(
    pipeline: RunningPipeline, app: Pusher, other: Connection, run_id: str, page: str
) -> None:
    """It logs in as git does."""
    with pipeline.client(other) as browser:
        del browser.headers["X-Auth-Token"]
        where = f"/reports/{app.project}/{run_id}"
        asked = browser.get(where)
        assert asked.status_code == 401
        assert asked.headers["WWW-Authenticate"].startswith("Basic ")
        shown = browser.get(where, auth=(app.user, app.password))
        assert shown.status_code == 200
        assert shown.text == page
        theirs = other.current_project.name
        mine = (theirs, theirs)  # As the fixtures make a tenant.
        assert browser.get(where, auth=mine).status_code == 403
        assert browser.get(f"/reports/{theirs}/{run_id}", auth=mine).status_code == 404


def test_the_link_to_an_environment_without_a_url_says_so_while_it_lives(
    pipeline: RunningPipeline, pusher: Pusher, demo: Connection
) -> None:
    (pusher.folder / "kumoi.yaml").write_text(
        "servers: {worker: {image: debian-12, flavor: small}}\n"
    )
    pusher.commit("nobody reaches it")
    run_id = pusher.run_id(pusher.push())
    with pipeline.client(demo) as client:
        environment = pipeline.run_of(client, run_id)["environment"]
    trusted = ssl.create_default_context(cafile=pipeline.here.pki_dir / "ca.crt")
    with httpx.Client(verify=trusted) as anybody:
        page = anybody.get(f"{pipeline.config.pipeline_url}/e/{environment['id']}")
    assert page.status_code == 200
    assert "Here stands commit" in page.text
    assert f"kumoi env ssh {environment['id']} SERVER" in page.text
    assert page.headers["Content-Security-Policy"]


def test_a_link_to_an_environment_leads_there_and_later_says_what_stood_there(
    pipeline: RunningPipeline, pusher: Pusher, demo: Connection
) -> None:
    run_id = pusher.run_id(pusher.push())
    with pipeline.client(demo) as client:

        def url() -> str:
            """The environment's URL."""
            return str(pipeline.run_of(client, run_id)["environment"]["url"])

        live = until(url)
        environment = pipeline.run_of(client, run_id)["environment"]
        report = client.get(f"/pipeline/v1/runs/{run_id}/report").json()["report"]
        link = report["lasting_url"]
        assert link == f"{pipeline.config.pipeline_url}/e/{environment['id']}"
        trusted = ssl.create_default_context(cafile=pipeline.here.pki_dir / "ca.crt")
        with httpx.Client(verify=trusted) as anybody:
            led = anybody.get(link)
            assert (led.status_code, led.headers["Location"]) == (302, live)
            client.delete(f"/pipeline/v1/environments/{environment['id']}").raise_for_status()

            def gone() -> httpx.Response | None:
                """The page of what has ended."""
                answer = anybody.get(link)
                return answer if answer.status_code == 410 and "deleted" in answer.text else None

            page = until(gone)
            assert "somebody asked for it" in page.text
            assert f"kumoi run retry {run_id}" in page.text
            assert page.headers["Content-Security-Policy"]
            assert anybody.get(f"{pipeline.config.pipeline_url}/e/000000000000").status_code == 404
