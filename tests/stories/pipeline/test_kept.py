"""What becomes of a kept environment in the cloud when its file changes, by the APIs that users have."""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Any

import pytest
from openstack.connection import Connection
from tests.stories.pipeline.conftest import Pusher, RunningPipeline, built, until

pytestmark = pytest.mark.apis("load-balancer")

FIRST = """
servers:
  web: {image: debian-12, flavor: small}
load_balancers:
  front: {listeners: [{on: web, protocol: TCP, port: 80, member_port: 8080}]}
networks:
  front: {cidr: 10.0.0.0/24}
keep: true
"""
SECOND = """
servers:
  web: {image: debian-12, flavor: small, count: 2, ports: [22], floating_ip: false}
  db: {image: debian-12, flavor: small, networks: [back]}
load_balancers:
  front: {listeners: [{on: web, protocol: TCP, port: 80, member_port: 8080}]}
  direct: {listeners: [{on: db, protocol: TCP, port: 5432}], network: back, floating_ip: false}
networks:
  front: {cidr: 10.0.0.0/24}
  back: {cidr: 10.0.1.0/24}
keep: true
"""


class Runner:
    """Takes each job, and finds everything good."""

    def __init__(self, pipeline: RunningPipeline, demo: Connection, client: Any) -> None:
        self.pipeline = pipeline
        self.demo = demo
        self.client = client
        self.session = ""

    def verify(self) -> None:
        session = secrets.token_urlsafe(32)
        if not self.session:
            until(lambda: self.post("claim", self.token(), session=session))
        else:
            digest = hashlib.sha256(session.encode()).hexdigest()
            until(lambda: self.post(f"next?session_hash={digest}", self.session)["job"])
        self.session = session
        for stage in ("configure", "verify"):
            self.post("result", session, stage=stage, passed=True)

    def post(self, path: str, secret: str, **body: Any) -> Any:
        headers = {"Authorization": f"Bearer {secret}"}
        answer = self.client.post(f"/runner/v1/{path}", json=body, headers=headers)
        return answer.json() if answer.status_code == 200 else None

    def token(self) -> str:
        """The one in the runner's user data."""
        mine = {each.id for each in self.demo.compute.servers() if each.name.endswith("-runner")}
        for server in self.pipeline.cloud.host.servers():
            if server.id in mine and server.user_data:
                text = base64.b64decode(server.user_data).decode()
                facts: dict[str, Any] = {}
                exec(next(line for line in text.splitlines() if line.startswith("CONFIG: ")), facts)
                return str(facts["CONFIG"]["token"])
        return ""


def push(pipeline: RunningPipeline, pusher: Pusher, runner: Runner, text: str) -> dict[str, Any]:
    """The environment that becomes of it."""
    (pusher.folder / "kumoi.yaml").write_text(text)
    pusher.commit("another file")
    run_id = pusher.run_id(pusher.push())
    assert built(pipeline, runner.client, run_id)["reason"] == ""
    runner.verify()
    ended = pipeline.ended(runner.client, run_id)
    assert (ended["status"], ended["reason"]) == ("verified", "")
    environment: dict[str, Any] = ended["environment"]
    return environment


def there(demo: Connection, key: str) -> dict[str, str]:
    """Everything that carries the environment's name, by noun and short name, each with its id."""
    listings = {
        "server": demo.compute.servers(),
        "port": demo.network.ports(),
        "network": demo.network.networks(),
        "router": demo.network.routers(),
        "group": demo.network.security_groups(),
        "balancer": demo.load_balancer.load_balancers(),
        "address": demo.network.ips(),
    }
    return {
        f"{noun} {name.partition(' ')[0].removeprefix(f'env-{key}').lstrip('-')}": each.id
        for noun, listing in listings.items()
        for each in listing
        if (name := (each.description if noun == "address" else each.name)).startswith(f"env-{key}")
    }


def members(demo: Connection) -> set[tuple[str, int]]:
    """Where the balancer sends connections."""
    (pool,) = [each for each in demo.load_balancer.pools() if each.name.endswith("-front-80")]
    return {(each.address, each.protocol_port) for each in demo.load_balancer.members(pool)}


def test_a_file_that_changes_changes_what_differs_and_goes_back(
    pipeline: RunningPipeline, pusher: Pusher, demo: Connection
) -> None:
    with pipeline.client(demo) as client:
        runner = Runner(pipeline, demo, client)
        environment = push(pipeline, pusher, runner, FIRST)
        key = environment["id"]
        before = there(demo, key)
        (address,) = [ip.floating_ip_address for ip in demo.network.ips()]
        assert environment["url"] == f"tcp://{address}:80/"
        assert len(members(demo)) == 1

        assert push(pipeline, pusher, runner, SECOND)["id"] == key
        after = there(demo, key)
        assert before.items() <= after.items()
        assert after.keys() - before.keys() == {
            "server web-2", "server db-1", "port web-2.front", "port db-1.back", "network back",
            "group db", "balancer direct",
        }  # fmt: skip
        assert len(members(demo)) == 2
        groups = demo.network.get_port(after["port web-1.front"]).security_group_ids
        assert set(groups) == {after["group "], after["group web"]}
        rules = demo.network.security_group_rules(security_group_id=after["group "])
        cidrs = {rule.remote_ip_prefix for rule in rules if rule.direction == "ingress"}
        assert cidrs == {"10.0.0.0/24", "10.0.1.0/24"}

        assert push(pipeline, pusher, runner, FIRST)["id"] == key
        assert there(demo, key) == before
        assert len(members(demo)) == 1
        rules = demo.network.security_group_rules(security_group_id=before["group "])
        cidrs = {rule.remote_ip_prefix for rule in rules if rule.direction == "ingress"}
        assert cidrs == {"10.0.0.0/24"}

        moved = FIRST.replace("10.0.0.0/24", "10.9.0.0/24")
        (pusher.folder / "kumoi.yaml").write_text(moved)
        pusher.commit("other addresses")
        ended = pipeline.ended(client, pusher.run_id(pusher.push()))
        assert "cannot change while the environment is kept" in ended["reason"]
        assert there(demo, key) == before


def test_what_a_runner_posts_again_counts_once(
    pipeline: RunningPipeline, pusher: Pusher, demo: Connection
) -> None:
    """The answer was lost with the connection: the runner cannot know that it had arrived."""
    with pipeline.client(demo) as client:
        (pusher.folder / "kumoi.yaml").write_text(FIRST)
        pusher.commit("a balancer")
        run_id = pusher.run_id(pusher.push())
        assert built(pipeline, client, run_id)["reason"] == ""
        runner, session = Runner(pipeline, demo, client), secrets.token_urlsafe(32)
        token = runner.token()
        first = until(lambda: runner.post("claim", token, session=session))
        assert runner.post("claim", token, session=session) == first
        for text in ("once\n", "once\n"):
            runner.post("log", session, sequence=1, text=text)
        runner.post("log", session, sequence=2, text="after\n")
        for passed in (True, False):
            runner.post("result", session, stage="configure", passed=passed)
        for _ in range(2):
            runner.post("result", session, stage="verify", passed=True)
        assert pipeline.ended(client, run_id)["status"] == "verified"
        log = client.get(f"/pipeline/v1/runs/{run_id}/log").json()["text"]
    assert log.endswith("once\nafter\n")
    assert log.count("once") == 1
