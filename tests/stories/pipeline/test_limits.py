"""What a project may have of the pipeline, and what whoever pushes is told when it would be more."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from openstack.connection import Connection
from tests.stories.pipeline.conftest import Pusher, RunningPipeline, built, until

from kumoi.base import process
from kumoi.pipeline.push_packets import COMMANDS_MAX
from kumoi.pipeline.receive_hook import HEADS_MAX

ONE_SERVER = "servers:\n  web: {image: debian-12, flavor: tiny}\n"
MANY_SERVERS = "servers:\n  web: {image: debian-12, flavor: tiny, count: 9}\n"
MUCH_DISK = "servers:\n  web: {image: debian-12, flavor: large, count: 2}\n"
KEPT_WHOLE = 1 << 20


@pytest.fixture(scope="module")
def limits() -> dict[str, Any]:
    return {
        "project_runs": 1,
        "project_environments": 2,
        "project_environment_servers": 8,
        "project_environment_gib": 20,
        "project_repositories": 2,
        "project_repositories_mib": 4,
    }


@pytest.fixture
def small(pusher: Pusher) -> Pusher:
    """Pushes one server."""
    (pusher.folder / "kumoi.yaml").write_text(ONE_SERVER)
    pusher.commit("one server")
    return pusher


def remote_head(pusher: Pusher, branch: str) -> str:
    return pusher.git("ls-remote", pusher.url(), f"refs/heads/{branch}").out.strip()


def test_a_push_over_the_limit_of_runs_is_told_its_place_and_goes_on_in_its_turn(
    pipeline: RunningPipeline, small: Pusher, demo: Connection
) -> None:
    first = small.run_id(small.push())
    printed = small.push("main:other")
    why = "this project has 1 runs going on, as many as it may at once (project_runs)"
    assert f"waits for its turn, as number 1 of 1: {why}" in printed
    with pipeline.client(demo) as client:
        runs = client.get("/pipeline/v1/runs").json()["runs"]
        waiting = next(each for each in runs if each["branch"] == "other")
        assert f"remote: run {waiting['id']} waits for" in printed
        assert (waiting["status"], waiting["stage"]) == ("running", "receive")
        built(pipeline, client, first)
        client.post(f"/pipeline/v1/runs/{first}/cancel").raise_for_status()
        assert built(pipeline, client, waiting["id"])["stage"] == "configure"


def test_a_push_over_the_limit_of_environments_is_refused_and_may_be_repeated(
    pipeline: RunningPipeline, small: Pusher, demo: Connection
) -> None:
    small.push()
    small.push("main:second")
    printed = small.push("main:third")
    assert "push refused: this project would have 3 environments, and may have 2" in printed
    assert "(project_environments): delete one with `kumoi env delete`" in printed
    assert remote_head(small, "third") == ""
    with pipeline.client(demo) as client:
        environments = client.get("/pipeline/v1/environments").json()["environments"]
        assert len(environments) == 2
        shown = client.get("/pipeline/v1/limits").json()
        used = {each["name"]: (each["used"], each["most"]) for each in shown["limits"]}
        assert used["project_environments"] == (2, 2)
        assert used["project_environment_servers"] == (4, 8)
        assert used["project_repositories"] == (1, 2)
        assert used["project_repositories_mib"] == (1, 4)
        assert shown["kept"] == {"run_log_days": 30, "run_days": 90}
        ending = client.delete(f"/pipeline/v1/environments/{environments[0]['id']}")
        assert ending.json()["environment"]["status"] == "deleting"

        def gone() -> bool:
            """The environment's end."""
            return len(client.get("/pipeline/v1/environments").json()["environments"]) == 1

        until(gone)
    assert "remote: run" in small.push("main:third")


def test_a_push_of_more_branches_than_are_looked_at_is_refused_whole(small: Pusher) -> None:
    def push_branches(count: int) -> str:
        heads = (f"main:b{number}" for number in range(count))
        return small.git("push", small.url(), *heads, check=False).err

    said = "push refused: it moves 41 branches, and 40 at most may be moved at once"
    assert said in push_branches(HEADS_MAX + 1)
    assert "push refused: this project would have 40 environments" in push_branches(HEADS_MAX)
    assert small.git("ls-remote", small.url()).out.strip() == ""


def test_a_push_of_more_refs_than_are_read_is_refused_before_git_reads_it(
    small: Pusher, demo: Connection
) -> None:
    """Each was held whole by the pipeline, and kept a directory entry, which no quota counts."""
    tags = "".join(f"create refs/tags/{number} HEAD\n" for number in range(COMMANDS_MAX + 1))
    process.run(["git", "update-ref", "--stdin"], cwd=small.folder, stdin=tags)
    printed = small.push("refs/tags/*:refs/tags/*")
    assert f"a push moves {COMMANDS_MAX} refs at most: push some of them" in printed
    assert not small.git("ls-remote", small.url(), "refs/tags/*").out
    assert not list(demo.identity.application_credentials(user=demo.current_user_id))
    assert small.run_id(small.push())


@pytest.mark.parametrize(
    ("file", "told"),
    [
        (MANY_SERVERS, "would have 10 servers in its environments, and may have 8"),
        (MUCH_DISK, "GiB of disk in its environments, and may have 20"),
    ],
)
def test_more_servers_or_disk_than_a_project_may_have_are_refused_at_the_push(
    small: Pusher, demo: Connection, file: str, told: str
) -> None:
    (small.folder / "kumoi.yaml").write_text(file)
    small.commit("too much")
    assert told in small.push()
    assert remote_head(small, "main") == ""
    assert not list(demo.identity.application_credentials(user=demo.current_user_id))


def test_what_is_pushed_has_a_size_and_what_is_refused_takes_no_room(
    pipeline: RunningPipeline, small: Pusher, demo: Connection
) -> None:
    small.run_id(small.push())
    (small.folder / "large").write_bytes(os.urandom(5 << 20))
    small.commit("five MiB")
    printed = small.push()
    assert "MiB in its repositories, and may have 4 (project_repositories_mib)" in printed
    small.git("tag", "large")
    assert "may have 4 (project_repositories_mib)" in small.push("large")
    path = pipeline.here.state / "git" / demo.current_project_id / "hello.git"
    assert sum(each.lstat().st_size for each in path.rglob("*")) < KEPT_WHOLE
    small.git("reset", "--quiet", "--hard", "HEAD~1")
    small.commit("a small one")
    assert "remote: run" in small.push()


def test_a_repository_too_many_is_refused_and_one_that_nothing_is_made_of_can_go(
    pipeline: RunningPipeline, small: Pusher, demo: Connection, other: Connection
) -> None:
    small.git("tag", "v1")

    def push(repository: str) -> str:
        url = small.url().replace("/hello.git", f"/{repository}.git")
        return small.git("push", url, "v1", check=False).err

    assert "[new tag]" in push("one")
    assert "[new tag]" in push("two")
    assert "remote error: this project would have 3 repositories, and may have 2" in push("three")
    with pipeline.client(demo) as client, pipeline.client(other) as stranger:
        listed = client.get("/pipeline/v1/repositories").json()["repositories"]
        assert [each["name"] for each in listed] == ["one", "two"]
        assert stranger.get("/pipeline/v1/repositories").json() == {"repositories": []}
        assert stranger.delete("/pipeline/v1/repositories/one").status_code == 404
        assert client.delete("/pipeline/v1/repositories/one").status_code == 200
        assert client.delete("/pipeline/v1/repositories/one").status_code == 404
        assert not (pipeline.here.state / "git" / demo.current_project_id / "one.git").exists()
        assert "[new tag]" in push("three")
        small.push()
        assert client.delete("/pipeline/v1/repositories/three").status_code == 200
        run_id = small.run_id(small.push())
        refused = client.delete("/pipeline/v1/repositories/hello")
        assert refused.status_code == 409
        lived = pipeline.run_of(client, run_id)["environment"]["id"]
        assert f"environment {lived} was made of it" in refused.json()["error"]["message"]


def test_a_push_of_a_tag_leaves_no_credential(small: Pusher, demo: Connection) -> None:
    small.git("tag", "v1")
    assert "[new tag]" in small.push("v1")
    assert not list(demo.identity.application_credentials(user=demo.current_user_id))


def test_a_push_that_is_refused_leaves_no_credential(small: Pusher, demo: Connection) -> None:
    (small.folder / "kumoi.yaml").unlink()
    small.commit("without")
    assert "there is no kumoi.yaml" in small.push()
    assert not list(demo.identity.application_credentials(user=demo.current_user_id))


def test_a_repository_is_whole_after_a_refused_push(small: Pusher, tmp_path: Path) -> None:
    small.run_id(small.push())
    (small.folder / "large").write_bytes(os.urandom(5 << 20))
    small.commit("five MiB")
    assert "push refused" in small.push()
    small.git("clone", "--quiet", small.url(), str(tmp_path / "again"))
    assert (tmp_path / "again" / "kumoi.yaml").read_text() == ONE_SERVER
