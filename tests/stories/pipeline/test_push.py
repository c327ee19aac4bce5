"""What whoever pushes sees: git's own lines, and the run that begins."""

from __future__ import annotations

import os
import signal
from datetime import datetime, timedelta
from subprocess import Popen

import openstack
import pytest
from openstack.connection import Connection
from tests.stories.pipeline.conftest import HELLO, Pusher, RunningPipeline, built, until

from kumoi.base.clock import Clock
from kumoi.base.secret import Secret
from kumoi.hosts.units import landlock
from kumoi.pipeline.identity import GitLogin, Identity
from kumoi.pipeline.repositories import Repositories
from kumoi.pipeline.store.delegation import Delegation
from kumoi.pipeline.store.own_credential import OwnCredential


def test_a_push_makes_a_run_that_builds_the_environment(
    pipeline: RunningPipeline, pusher: Pusher, demo: Connection
) -> None:
    run_id = pusher.run_id(pusher.push())
    with pipeline.client(demo) as client:
        found = built(pipeline, client, run_id)
        assert found["reason"] == ""
        assert found["stage"] == "configure"
        environment = found["environment"]
        prefix = f"env-{environment['id']}"
        servers = {server.name: server for server in demo.compute.servers(details=True)}
        assert sorted(servers) == [f"{prefix}-runner", f"{prefix}-web-1", f"{prefix}-web-2"]
        assert servers[f"{prefix}-web-1"].metadata["kumoi_run"] == run_id
        floating = [ip.floating_ip_address for ip in demo.network.ips()]
        assert environment["url"] == f"http://{floating[0]}/"
        credentials = list(demo.identity.application_credentials(user=demo.current_user_id))
        assert [each.name[:17] for each in credentials] == ["kumoi-push-hello-"]
        assert [role["name"] for role in credentials[0].roles] == ["member"]

        client.delete(f"/pipeline/v1/environments/{environment['id']}").raise_for_status()
        ended = pipeline.ended(client, run_id)
        assert (ended["status"], ended["reason"]) == ("cancelled", "somebody asked for it")

        def gone() -> bool:
            """The environment's end."""
            found = pipeline.run_of(client, run_id)
            return str(found["environment"]["status"]) == "deleted"

        until(gone)
    assert not list(demo.compute.servers())
    assert not list(demo.compute.keypairs())
    assert not list(demo.network.ports())
    assert not list(demo.network.routers())
    assert not list(demo.network.ips())
    assert [network.name for network in demo.network.networks()] == ["public"]
    assert [group.name for group in demo.network.security_groups()] == ["default"]


def test_a_push_without_rights_gets_one_clear_line(pusher: Pusher, other: Connection) -> None:
    theirs = other.current_project.name
    printed = pusher.push(project=theirs)
    assert f"remote error: {pusher.user} has no role in project {theirs}" in printed


def test_a_wrong_password_is_refused(pusher: Pusher) -> None:
    assert "Authentication failed" in pusher.push(password="wrong")


def test_wrong_passwords_of_git_lock_out_nobody_else_and_say_why(
    pusher: Pusher, demo: Connection
) -> None:
    """All of git's callers reach the identity service from the pipeline's address."""
    said = ""
    for _ in range(10):
        said = pusher.push(user="a-guesser", password="guessed")
        if "Authentication failed" not in said:
            break
    assert "too many failed logins: wait a minute and try again" in said
    demo.authorize()
    assert pusher.run_id(pusher.push())


def test_a_push_whose_reader_is_killed_midway_fails_alone_and_the_next_one_works(
    pipeline: RunningPipeline, pusher: Pusher
) -> None:
    hook = pipeline.here.state / "git-hooks" / "pre-receive"
    as_it_was = hook.read_text()
    hook.write_text("#!/bin/sh\nkill -9 $PPID\n")
    try:
        printed = pusher.push()
    finally:
        hook.write_text(as_it_was)
    assert "error" in printed
    assert "started" not in printed
    assert pusher.run_id(pusher.push())


ATTEMPTS = """#!/bin/sh
for path in "$@"; do
    head -c 1 "$path" >/dev/null 2>&1 && echo "reads $path"
    [ -d "$path" ] && (ls "$path" >/dev/null && echo "lists $path"; : >"$path/new" && echo "writes $path") 2>/dev/null
done
git rev-parse --git-dir >/dev/null && echo "runs git"
exit 1
"""


@pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock")
def test_a_hook_reads_no_key_no_store_and_no_other_repository(
    pipeline: RunningPipeline, pusher: Pusher, demo: Connection
) -> None:
    assert "remote: run" in pusher.push()
    here = pipeline.here
    own = here.state / "git" / demo.current_project_id / "hello.git"
    other = here.state / "git" / "other" / "secret.git"
    Repositories(here).ensure("other", "secret")
    store = here.state / "pipeline"
    store.mkdir(exist_ok=True)
    (store / "pipeline.db").write_text("rows")
    paths = [
        *(here.pki_dir / name for name in ("pipeline.key", "ca.key")),
        store, store / "pipeline.db", here.state / "cloud.toml", here.state / "git-spool",
        here.state / "git", other, other / "HEAD", own, own / "HEAD",
    ]  # fmt: skip
    assert [path for path in paths if not path.exists()] == []
    hook = here.state / "git-hooks" / "pre-receive"
    before = hook.read_text()
    hook.write_text(ATTEMPTS.replace('"$@"', " ".join(f"'{path}'" for path in paths)))
    try:
        pusher.commit("second")
        printed = pusher.push()
    finally:
        hook.write_text(before)
    told = [line.removeprefix("remote: ").strip() for line in printed.splitlines()]
    done = [line for line in told if line.startswith(("reads", "lists", "writes", "runs"))]
    assert done == [f"lists {own}", f"writes {own}", f"reads {own / 'HEAD'}", "runs git"]


def test_a_repository_without_kumoi_yaml_is_refused(pusher: Pusher) -> None:
    (pusher.folder / "kumoi.yaml").unlink()
    commit = pusher.commit("without")
    printed = pusher.push()
    line = f"remote: push to main refused: there is no kumoi.yaml in commit {commit[:10]}"
    assert line in printed
    assert "pre-receive hook declined" in printed


def test_a_kumoi_yaml_that_cannot_be_read_is_refused_naming_the_field(pusher: Pusher) -> None:
    (pusher.folder / "kumoi.yaml").write_text(
        "servers:\n  web: {image: x, flavor: y, count: many}\n"
    )
    pusher.commit("wrong")
    assert "kumoi.yaml:2: servers.web.count: expected int, got str" in pusher.push()


def test_what_others_wrote_steers_no_pushers_terminal_and_ends_in_no_traceback(
    pusher: Pusher,
) -> None:
    """Whoever merged another's branch had his terminal's title and colours of it, and what else it obeys."""
    refused = pusher.push("main:refs/heads/a\udcffb") + pusher.push("main:refs/heads/a\x9b31mb")
    assert refused.count("a branch's name has characters that can be shown") == 2
    (pusher.folder / "kumoi.yaml").write_text(r'"\e[31m\e]0;owned\a": 1')
    pusher.commit("keys")
    refused += pusher.push()
    assert r"there is no key \x1b[31m" in refused
    told = [line for line in refused.splitlines() if line.startswith("remote: ")]
    assert all(line.isprintable() for line in told)
    assert "Traceback" not in refused


def test_a_tag_makes_no_run(pusher: Pusher) -> None:
    pusher.git("tag", "v1")
    printed = pusher.push("v1")
    assert "[new tag]" in printed
    assert "remote: run" not in printed


def test_an_unknown_image_ends_the_run_red_in_one_line(
    pipeline: RunningPipeline, pusher: Pusher, demo: Connection
) -> None:
    file = pusher.folder / "kumoi.yaml"
    file.write_text(file.read_text().replace("debian-12", "debian-99"))
    pusher.commit("an image that is not there")
    run_id = pusher.run_id(pusher.push())
    with pipeline.client(demo) as client:
        ended = pipeline.ended(client, run_id)
    assert ended["status"] == "failed"
    assert ended["reason"] == "there is no image 'debian-99' (servers.web.image)"


def test_another_projects_runs_are_not_found(
    pipeline: RunningPipeline, pusher: Pusher, demo: Connection, other: Connection
) -> None:
    run_id = pusher.run_id(pusher.push())
    with pipeline.client(other) as client:
        assert client.get(f"/pipeline/v1/runs/{run_id}").status_code == 404
        assert client.get(f"/pipeline/v1/runs/{run_id}/log").status_code == 404
        assert client.get("/pipeline/v1/runs").json() == {"runs": []}
    with pipeline.client(demo) as client:
        assert [each["id"] for each in client.get("/pipeline/v1/runs").json()["runs"]] == [run_id]
        client.headers["X-Auth-Token"] = "nonsense"
        assert client.get("/pipeline/v1/runs").status_code == 401


def test_a_reader_reads_and_deletes_nothing(
    pipeline: RunningPipeline, pusher: Pusher, demo: Connection, admin: Connection
) -> None:
    run_id = pusher.run_id(pusher.push())
    reader = admin.identity.create_user(name=f"reader-of-{pusher.project}", password="reads-only")
    role = next(admin.identity.roles(name="reader"))
    project = admin.identity.find_project(pusher.project)
    admin.identity.assign_project_role_to_user(project, reader, role)
    with (
        pipeline.cloud.connect(reader.name, "reads-only", pusher.project) as reading,
        pipeline.client(reading) as client,
        pipeline.client(demo) as member,
    ):
        (found,) = client.get("/pipeline/v1/environments").json()["environments"]
        assert found["run_id"] == run_id
        where = f"/pipeline/v1/environments/{found['id']}"
        assert client.delete(where).status_code == 403
        assert member.get(where).json()["environment"]["status"] == found["status"]
        assert "this needs role member" in pusher.push(user=reader.name, password="reads-only")
        assert member.delete(where).status_code == 202


def test_a_token_that_was_revoked_is_refused_within_a_second(
    pipeline: RunningPipeline, demo: Connection
) -> None:
    with pipeline.client(demo) as client:
        assert client.get("/pipeline/v1/runs").status_code == 200
        token = client.headers["X-Auth-Token"]
        demo.identity.delete("/auth/tokens", headers={"X-Subject-Token": token})
        until(lambda: client.get("/pipeline/v1/runs").status_code == 401, within_s=1.0)


def test_a_user_who_lost_the_role_pushes_no_more_within_a_second(
    pusher: Pusher, admin: Connection
) -> None:
    """Although the password was just right."""
    pusher.run_id(pusher.push())
    user, project = (
        admin.identity.find_user(pusher.user),
        admin.identity.find_project(pusher.project),
    )
    role = next(admin.identity.roles(name="member"))
    admin.identity.unassign_project_role_from_user(project, user, role)
    pusher.commit("second")
    until(lambda: "no role" in pusher.push() or "needs role" in pusher.push(), within_s=3.0)
    admin.identity.assign_project_role_to_user(project, user, role)
    pusher.run_id(pusher.push())


def test_who_pushes_is_who_acts_and_nothing_of_an_earlier_pusher_does(
    pipeline: RunningPipeline, pusher: Pusher, demo: Connection, admin: Connection
) -> None:
    """The first pusher leaves the project; what the second pushes is built by the second."""
    pusher.run_id(pusher.push())
    name = f"second-of-{pusher.project}"
    second = admin.identity.create_user(name=name, password="the-second")
    project = admin.identity.find_project(pusher.project)
    first = admin.identity.find_user(pusher.user)
    role = next(admin.identity.roles(name="member"))
    admin.identity.assign_project_role_to_user(project, second, role)
    admin.identity.unassign_project_role_from_user(project, first, role)
    pusher.commit("by the second")
    run_id = pusher.run_id(pusher.push(user=name, password="the-second"))
    with (
        pipeline.cloud.connect(name, "the-second", pusher.project) as acting,
        pipeline.client(acting) as client,
    ):
        built(pipeline, client, run_id)
        listed = client.get("/pipeline/v1/environments").json()["environments"]
        environment = next(each for each in listed if each["run_id"] == run_id)
        servers = [
            server
            for server in acting.compute.servers(details=True)
            if server.name.startswith(f"env-{environment['id']}")
        ]
        assert {server.user_id for server in servers} == {second.id}
    admin.identity.assign_project_role_to_user(project, first, role)


def test_a_pushs_credential_reaches_what_an_environment_is_made_of_and_its_own_end(
    pipeline: RunningPipeline, demo: Connection
) -> None:
    identity = Identity(f"{pipeline.cloud.url}/identity", pipeline.here.pki_dir / "ca.crt", Clock())
    name = demo.current_project.name  # As the fixtures make a tenant.
    login = GitLogin(name, Secret(name))
    new = OwnCredential("hello", demo.current_user_id, Secret("s" * 43))
    key = identity.delegate(login, identity.login(login, name, "192.0.2.1"), new)
    made = Delegation(key, new.secret, is_own=True)
    try:
        thief = openstack.connect(
            load_yaml_config=False,
            load_envvars=False,
            auth_type="v3applicationcredential",
            auth={
                "auth_url": f"{pipeline.cloud.url}/identity/v3",
                "application_credential_id": made.credential_id,
                "application_credential_secret": made.secret.reveal(),
            },
            region_name=pipeline.cloud.config.region,
        )
        assert list(thief.compute.servers()) is not None
        own = f"/users/{demo.current_user_id}/application_credentials"
        assert thief.identity.get(own).status_code == 401
        more = {"application_credential": {"name": "more", "unrestricted": True}}
        assert thief.identity.post(own, json=more).status_code == 401
        assert thief.image.post("/images", json={"name": "mine"}).status_code == 401
    finally:
        identity.end(made)
    assert not identity.is_valid(made)
    identity.end(made)  # Once more: a kill may have come between.
    identity.end_named(new)  # Likewise, by its name.


def test_what_was_pushed_can_be_cloned(pusher: Pusher) -> None:
    pusher.push()
    url = pusher.pipeline.url(pusher.project)
    url = url.replace("https://", f"https://{pusher.user}:{pusher.password}@")
    pusher.git("clone", "--quiet", url, "again")
    assert (pusher.folder / "again" / "hello.py").read_bytes() == (HELLO / "hello.py").read_bytes()


def test_a_credential_that_was_revoked_is_made_anew_at_the_next_push(
    pusher: Pusher, demo: Connection
) -> None:
    pusher.push()
    before = list(demo.identity.application_credentials(user=demo.current_user_id))
    demo.identity.delete_application_credential(demo.current_user_id, before[0])
    pusher.commit("again")
    pusher.run_id(pusher.push())
    after = list(demo.identity.application_credentials(user=demo.current_user_id))
    assert len(after) == 1
    assert after[0].id != before[0].id


def test_a_pipeline_killed_at_any_moment_goes_on_where_it_was(
    pipeline: RunningPipeline, pusher: Pusher, demo: Connection
) -> None:
    run_id = pusher.run_id(pusher.push())
    pipeline.kill()
    pipeline.start()
    with pipeline.client(demo) as client:
        found = built(pipeline, client, run_id)
        assert found["stage"] == "configure"
        assert len(client.get("/pipeline/v1/runs").json()["runs"]) == 1
    assert len(list(demo.compute.servers())) == 3


HOLDING = """#!/bin/sh
{hook}
while [ -e hold ]; do sleep 0.1; done
"""


def test_who_pushes_again_after_a_push_that_was_cut_off_is_told_its_run(
    pipeline: RunningPipeline, pusher: Pusher, demo: Connection
) -> None:
    """Git itself says "Everything up-to-date", since the branch has moved."""
    pusher.push()
    commit = pusher.commit("cut off")
    hold = pipeline.here.state / "git" / demo.current_project_id / "hello.git" / "hold"
    hook = pipeline.here.state / "git-hooks" / "post-receive"
    as_it_was = hook.read_text()
    hold.touch()
    hook.write_text(HOLDING.format(hook=as_it_was.partition("\n")[2].replace("exec ", "")))
    try:
        git = Popen(
            ["git", "push", pusher.url(), "main"],
            cwd=pusher.folder,
            env=os.environ | pusher.environment,
            start_new_session=True,
        )
        with pipeline.client(demo) as client:

            def begun() -> str | None:
                """The run of the commit."""
                runs = client.get("/pipeline/v1/runs").json()["runs"]
                return next((run["id"] for run in runs if run["commit"] == commit), None)

            run_id = until(begun)
        os.killpg(git.pid, signal.SIGKILL)
        git.wait()
    finally:
        hook.write_text(as_it_was)
        hold.unlink()

    def told() -> str | None:
        """What git prints, once the pipeline is done with the push."""
        printed = pusher.push()
        return printed if "up-to-date" not in printed else None

    printed = until(told)
    assert f"was cut off, but it arrived and began run {run_id}" in printed
    assert f"kumoi run follow {run_id}" in printed
    assert "Everything up-to-date" in pusher.push()


def test_an_application_credential_pushes_and_is_what_the_pipeline_works_with(
    pipeline: RunningPipeline, pusher: Pusher, demo: Connection
) -> None:
    """It cannot make another one, so it is itself what is delegated."""
    credential = demo.identity.create_application_credential(demo.current_user_id, name="ci")
    run_id = pusher.run_id(pusher.push(user=credential.id, password=credential.secret))
    with pipeline.client(demo) as client:
        assert built(pipeline, client, run_id)["reason"] == ""
    names = [
        credential.name
        for credential in demo.identity.application_credentials(demo.current_user_id)
    ]
    assert names == ["ci"]


def test_an_application_credential_that_may_only_list_servers_reads_no_repository_and_pushes_nothing(
    pusher: Pusher, demo: Connection
) -> None:
    """Whoever found it in a monitor's settings had all sources of the project by it."""
    rules = [{"service": "compute", "method": "GET", "path": "/v2.1/servers"}]
    credential = demo.identity.create_application_credential(
        demo.current_user_id, name="monitor", access_rules=rules
    )
    pusher.push()
    limited = {"user": credential.id, "password": credential.secret}
    pusher.commit("second")
    assert "has access rules" in pusher.push(**limited)
    listed = pusher.git("ls-remote", pusher.url(**limited), check=False)
    assert listed.out == ""
    assert listed.status != 0


def test_a_branch_that_is_deleted_takes_its_environment_along(
    pipeline: RunningPipeline, pusher: Pusher, demo: Connection
) -> None:
    run_id = pusher.run_id(pusher.push())
    with pipeline.client(demo) as client:
        built(pipeline, client, run_id)
        pusher.push(":main")

        def gone() -> bool:
            """The environment's end."""
            found = pipeline.run_of(client, run_id)
            return str(found["environment"]["status"]) == "deleted"

        until(gone)
        assert pipeline.run_of(client, run_id)["reason"] == "branch main was deleted"
    assert not list(demo.compute.servers())


def test_a_run_is_cancelled_and_run_again_by_members_alone(
    pipeline: RunningPipeline, pusher: Pusher, demo: Connection, other: Connection
) -> None:
    first = pusher.run_id(pusher.push())
    with pipeline.client(demo) as client, pipeline.client(other) as stranger:
        for action in ("cancel", "retry"):
            assert stranger.post(f"/pipeline/v1/runs/{first}/{action}").status_code == 404
        assert client.post(f"/pipeline/v1/runs/{first}/cancel").status_code == 202
        ended = pipeline.ended(client, first)
        assert (ended["status"], ended["reason"]) == ("cancelled", "somebody asked for it")

        again = client.post(f"/pipeline/v1/runs/{first}/retry")
        assert again.status_code == 202
        new = again.json()["run"]
        assert (new["commit"], new["owner"]) == (ended["commit"], pusher.user)
        assert built(pipeline, client, new["id"])["reason"] == ""
        assert (
            client.post(f"/pipeline/v1/runs/{first}/cancel").json()["run"]["status"] == "cancelled"
        )
        pusher.commit("the next push is newer than both")
        newest = pusher.run_id(pusher.push())
        assert built(pipeline, client, newest)["reason"] == ""
        assert pipeline.ended(client, new["id"])["reason"] == f"run {newest} is newer"


def test_an_environment_is_extended_and_opened_by_members_alone(
    pipeline: RunningPipeline, pusher: Pusher, demo: Connection, other: Connection
) -> None:
    run_id = pusher.run_id(pusher.push())
    with pipeline.client(demo) as client, pipeline.client(other) as stranger:
        before = pipeline.run_of(client, run_id)["environment"]
        where = f"/pipeline/v1/environments/{before['id']}"
        built(pipeline, client, run_id)
        assert stranger.post(f"{where}/key").status_code == 404
        assert stranger.post(f"{where}/extend", json={"seconds": 7_200}).status_code == 404
        key = client.post(f"{where}/key").json()["key"]
        assert key["user"] == "debian"
        assert key["private_key"].startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
        extended = client.post(f"{where}/extend", json={"seconds": 7_200})
        after = extended.json()["environment"]
        longer = datetime.fromisoformat(after["expires_at"]) - datetime.fromisoformat(
            before["expires_at"]
        )
        assert longer == timedelta(hours=2)
        for wrong in (59, 31 * 86_400, "2h"):
            assert client.post(f"{where}/extend", json={"seconds": wrong}).status_code == 400
        client.delete(where).raise_for_status()
        assert client.post(f"{where}/extend", json={"seconds": 60}).status_code == 409
        until(lambda: client.post(f"{where}/key").status_code == 404)
