"""A git host tells of pushes, and what it tells of is fetched, built and reported back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from openstack.connection import Connection
from tests.stories.pipeline.conftest import Pusher, RunningPipeline, built, until
from tests.stories.pipeline.git_host import TOKEN, Deliverer, FakeGitHost, push_as

from kumoi.engine import audit, migrate

HOSTS = ("github", "gitlab", "gitea")


@pytest.fixture
def git_host(tmp_path: Path) -> Iterator[FakeGitHost]:
    folder = tmp_path / "host"
    folder.mkdir()
    host = FakeGitHost(folder)
    yield host
    host.close()


@dataclass
class Fed:
    """A repository here that a git host feeds, and a developer's work tree."""

    pusher: Pusher
    url: str
    client: httpx.Client
    deliverer: Deliverer

    def push(self, branch: str = "main") -> str:
        """To the git host; the commit."""
        commit = self.pusher.git("rev-parse", "HEAD").out.strip()
        push_as(self.pusher.folder, self.url, f"HEAD:refs/heads/{branch}")
        return commit

    def outcome(self) -> str:
        """Of the newest delivery."""

        def done() -> str | None:
            """The delivery's outcome."""
            shown = self.client.get(f"/pipeline/v1/webhooks/{self.deliverer.hook['id']}")
            newest = shown.json()["webhook"]["deliveries"][0]
            return newest["outcome"] if newest["done_at"] else None

        return until(done)

    def runs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.client.get("/pipeline/v1/runs").json()["runs"]
        return found


@pytest.fixture
def fed(
    pipeline: RunningPipeline, pusher: Pusher, demo: Connection, git_host: FakeGitHost
) -> Iterator[Fed]:
    url = git_host.repository("shop")
    with pipeline.client(demo) as client:
        yield Fed(pusher, url, client, Deliverer(client, create(client, url)))


def pushes_recorded(pipeline: RunningPipeline, who: str) -> list[dict[str, Any]]:
    """The audit's pushes of an initiator."""
    engine = migrate.engine(pipeline.config.pipeline_database_url)
    among = {"initiator_id": who, "action": "update/push"}
    with engine.connect() as connection:
        found = list(audit.events(audit.find(connection, among)))
    engine.dispose()
    return found


def create(client: httpx.Client, url: str, host: str = "gitea", **more: Any) -> dict[str, Any]:
    body = {"repository": "shop", "host": host, "url": url, "token": TOKEN, **more}
    answer = client.post("/pipeline/v1/webhooks", json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()["webhook"]
    return made


@pytest.mark.parametrize("host", HOSTS)
def test_a_push_to_a_git_host_is_fetched_and_built_as_whoever_registered(
    pipeline: RunningPipeline, pusher: Pusher, demo: Connection, git_host: FakeGitHost, host: str
) -> None:
    url = git_host.repository("shop")
    with pipeline.client(demo) as client:
        hook = create(client, url, host, api_url=f"{git_host.url}/api")
        fed = Fed(pusher, url, client, Deliverer(client, hook))
        commit = fed.push()
        assert fed.deliverer.deliver("main", commit).status_code == 202
        assert fed.outcome().startswith(f"main is at {commit[:10]}: run ")
        (run,) = fed.runs()
        assert (run["commit"], run["branch"], run["repository"]) == (commit, "main", "shop")
        assert built(pipeline, client, run["id"])["reason"] == ""
        mine = [server.user_id for server in demo.compute.servers(details=True)]
        assert set(mine) == {demo.current_user_id}
        client.post(f"/pipeline/v1/runs/{run['id']}/cancel").raise_for_status()
        last = {"github": "error", "gitlab": "canceled", "gitea": "error"}[host]

        def told() -> bool:
            """What the git host was told."""
            return bool(git_host.statuses) and git_host.statuses[-1]["state"] == last

        until(told)
        newest = git_host.statuses[-1]
        assert newest["path"].endswith(f"/statuses/{commit}")
        assert TOKEN in newest["login"]
        assert run["id"] in newest["target_url"]
        (event,) = pushes_recorded(pipeline, f"webhook/{hook['id']}")
        assert event["initiator"]["project_id"] == demo.current_project_id
        assert event["outcome"] == "success"
        assert event["requestPath"] == url


def test_a_newer_push_supersedes_the_older_run_and_a_branch_that_is_gone_takes_its_environment(
    pipeline: RunningPipeline, fed: Fed, demo: Connection
) -> None:
    fed.deliverer.deliver("try", fed.push("try"))
    fed.outcome()
    (first,) = fed.runs()
    fed.pusher.commit("newer")
    fed.deliverer.deliver("try", fed.push("try"))
    fed.outcome()
    newer = fed.runs()[0]
    ended = pipeline.ended(fed.client, first["id"])
    assert (ended["status"], ended["reason"]) == ("cancelled", f"run {newer['id']} is newer")
    built(pipeline, fed.client, newer["id"])

    fed.deliverer.deliver("main", fed.push("main"))
    fed.outcome()
    push_as(fed.pusher.folder, fed.url, ":refs/heads/try")
    commit = fed.pusher.commit("another push, of another branch")
    fed.push("main")
    fed.deliverer.deliver("main", commit)  # Nobody says that `try` is gone.
    assert "try was deleted" in fed.outcome()

    def gone() -> bool:
        """The environment's end."""
        found = pipeline.run_of(fed.client, newer["id"])
        return str(found["environment"]["status"]) == "deleted"

    until(gone)


def test_a_delivery_that_is_forged_or_repeated_begins_nothing(
    pipeline: RunningPipeline, fed: Fed
) -> None:
    commit = fed.push()
    forged = fed.deliverer.deliver("main", commit, secret="guessed-by-somebody")
    assert forged.status_code == 401
    unknown = Deliverer(fed.client, {**fed.deliverer.hook, "id": "000000000000"})
    assert unknown.deliver("main", commit).text == forged.text
    assert fed.runs() == []
    assert fed.deliverer.deliver("main", commit, id="once").status_code == 202
    fed.outcome()
    again = fed.deliverer.deliver("main", commit, id="once")
    assert (again.status_code, again.json()["message"]) == (
        200,
        "this delivery was received before",
    )
    assert fed.deliverer.deliver("main", commit, id="under another id").status_code == 202
    assert fed.outcome() == "nothing new: the branches are as they were"
    assert len(fed.runs()) == 1


def test_a_commit_that_vanished_is_no_error_where_the_branch_moved_on(fed: Fed) -> None:
    vanished = fed.push()
    fed.pusher.git("commit", "--quiet", "--amend", "--allow-empty", "-m", "instead")
    commit = fed.push()
    fed.deliverer.deliver("main", vanished)
    assert commit[:10] in fed.outcome()
    assert [run["commit"] for run in fed.runs()] == [commit]


def test_a_branch_without_a_readable_file_is_refused_in_words_and_leaves_nothing(fed: Fed) -> None:
    (fed.pusher.folder / "kumoi.yaml").write_text("servers: [")
    fed.pusher.commit("not YAML")
    fed.deliverer.deliver("main", fed.push())
    assert "push to main refused: kumoi.yaml" in fed.outcome()
    assert fed.runs() == []


def test_a_redirect_is_not_followed(fed: Fed, git_host: FakeGitHost) -> None:
    commit = fed.push()
    other = FakeGitHost(git_host.folder)
    try:
        git_host.redirects_to = f"{other.url}/shop.git/info/refs"
        fed.deliverer.deliver("main", commit)
        assert fed.outcome() == (
            "127.0.0.1 redirects to 127.0.0.1, which is not followed: register that URL"
        )
        assert other.asked == []
    finally:
        other.close()
    assert fed.runs() == []


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://169.254.169.254/x.git", "an internal address"),
        ("https://10.1.2.3/x.git", "10.1.2.3, an internal address"),
        ("https://[::1]/x.git", "an internal address"),
        ("https://[::ffff:10.0.0.1]/x.git", "an internal address"),
        ("https://user:word@example.org/x.git", "holds no login"),
        ("file:///etc/passwd", "begins with https://"),
        ("ext::sh -c id", "printable"),
        ("git@example.org:x.git", "begins with https://"),
    ],
)
def test_an_internal_address_is_refused_when_it_is_registered(
    pipeline: RunningPipeline, demo: Connection, url: str, says: str
) -> None:
    with pipeline.client(demo) as client:
        body = {"repository": "shop", "host": "github", "url": url}
        answer = client.post("/pipeline/v1/webhooks", json=body)
        assert answer.status_code == 400
        assert says in answer.json()["error"]["message"]
        assert answer.json()["error"]["field"] == "url"
        assert client.get("/pipeline/v1/webhooks").json() == {"webhooks": []}


@pytest.mark.parametrize("token", ["a\nX-More: b", "\u20ac"])
def test_a_token_that_no_header_can_have_is_refused_when_it_is_registered(
    pipeline: RunningPipeline, demo: Connection, token: str
) -> None:
    with pipeline.client(demo) as client:
        body = {"repository": "x", "host": "gitea", "url": "https://example.org/x.git"}
        answer = client.post("/pipeline/v1/webhooks", json={**body, "token": token})
    assert answer.status_code == 400
    assert "no HTTP header can have" in answer.text


def test_webhooks_are_their_projects_own_and_go_with_their_credential(
    pipeline: RunningPipeline, fed: Fed, demo: Connection, other: Connection
) -> None:
    hook = fed.deliverer.hook
    where = f"/pipeline/v1/webhooks/{hook['id']}"
    (listed,) = fed.client.get("/pipeline/v1/webhooks").json()["webhooks"]
    assert listed["deliver_url"] == f"{pipeline.config.pipeline_url}{where}/deliver"
    assert not {"secret", "token"} & listed.keys()
    with pipeline.client(other) as stranger:
        assert stranger.get("/pipeline/v1/webhooks").json() == {"webhooks": []}
        assert stranger.get(where).status_code == 404
        assert stranger.delete(where).status_code == 404
    again = fed.client.post(
        "/pipeline/v1/webhooks", json={"repository": "shop", "host": "gitea", "url": fed.url}
    )
    assert (again.status_code, again.json()["error"]["message"]) == (
        409,
        "repository shop has a webhook",
    )
    pushed = fed.pusher.git(
        "push", fed.pusher.url().replace("hello.git", "shop.git"), "main", check=False
    ).err
    assert f"shop is fetched from {fed.url}: push there" in pushed

    def credentials() -> list[str]:
        found = demo.identity.application_credentials(user=demo.current_user_id)
        return [each.name for each in found if each.name.startswith("kumoi-webhook-shop-")]

    assert len(credentials()) == 1
    assert fed.client.delete(where).status_code == 204
    assert fed.client.get(where).status_code == 404
    assert fed.deliverer.deliver("main", "0" * 40).status_code == 401
    assert credentials() == []


def test_who_logs_in_by_an_application_credential_registers_with_it(
    pipeline: RunningPipeline, demo: Connection, git_host: FakeGitHost
) -> None:
    mine = demo.identity.create_application_credential(demo.current_user_id, name="ci")
    with pipeline.client(demo) as client:
        credential = {"id": mine.id, "secret": mine.secret}
        hook = create(client, git_host.repository("shop"), credential=credential)
        wrong = {"id": mine.id, "secret": "another"}
        body = {"repository": "more", "host": "gitea", "url": hook["url"], "credential": wrong}
        assert client.post("/pipeline/v1/webhooks", json=body).status_code == 401
        client.delete(f"/pipeline/v1/webhooks/{hook['id']}").raise_for_status()
    assert [each.name for each in demo.identity.application_credentials(demo.current_user_id)] == ["ci"]  # fmt: skip
