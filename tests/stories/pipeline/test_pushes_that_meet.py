"""Pushes that come at once, and those that set a branch back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from openstack.connection import Connection
from tests.stories.pipeline.conftest import Pusher, RunningPipeline, built, until


def test_two_pushes_at_once_to_two_branches_have_a_run_each(
    pipeline: RunningPipeline, pusher: Pusher, demo: Connection
) -> None:
    with ThreadPoolExecutor(2) as threads:
        printed = list(threads.map(pusher.push, ("main:one", "main:two")))
    ids = {pusher.run_id(each) for each in printed}
    assert len(ids) == 2
    with pipeline.client(demo) as client:
        for each in ids:
            assert built(pipeline, client, each)["reason"] == ""
        runs = client.get("/pipeline/v1/runs").json()["runs"]
        assert {each["id"] for each in runs} == ids
        assert {each["branch"] for each in runs} == {"one", "two"}
        environments = client.get("/pipeline/v1/environments").json()["environments"]
        assert {each["run_id"] for each in environments} == ids


def test_of_pushes_at_once_to_one_branch_the_one_that_is_there_in_the_end_is_what_runs(
    pipeline: RunningPipeline, pusher: Pusher, demo: Connection
) -> None:
    pusher.push()
    commits = []
    for number in range(3):
        pusher.git("checkout", "--quiet", "-B", f"side-{number}", "main")
        commits.append(pusher.commit(f"side {number}"))
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(pusher.push, (f"+side-{number}:main" for number in range(3))))
    head = pusher.git("ls-remote", pusher.url(), "refs/heads/main").out.split()[0]
    assert head in commits
    with pipeline.client(demo) as client:

        def settled() -> bool:
            """One run goes on, and it is of the branch's head."""
            runs = client.get("/pipeline/v1/runs").json()["runs"]
            return [each["commit"] for each in runs if not each["ended_at"]] == [head]

        until(settled)


def test_a_forced_push_runs_what_it_sets_the_branch_to(
    pipeline: RunningPipeline, pusher: Pusher, demo: Connection
) -> None:
    first = pusher.git("rev-parse", "HEAD").out.strip()
    before = pusher.run_id(pusher.push())
    pusher.commit("second")
    second = pusher.run_id(pusher.push())
    pusher.git("reset", "--quiet", "--hard", first)
    other = pusher.commit("another second")
    assert "rejected" in pusher.push()
    forced = pusher.run_id(pusher.push("+main"))
    back = pusher.run_id(pusher.push(f"+{first}:main"))
    with pipeline.client(demo) as client:
        assert pipeline.ended(client, forced)["commit"] == other
        assert pipeline.ended(client, forced)["reason"] == f"run {back} is newer"
        assert built(pipeline, client, back)["commit"] == first
        for each in (before, second):
            assert pipeline.ended(client, each)["status"] == "cancelled"
