"""git push → verified, images warm, with each stage's time and the pipeline's own share; and ten pushes at once.

The own share is what is left of a run without the cloud's time (from its first change there until the runner
calls, and until the servers answer) and the tools' (the configuring and the checking, as the runner says).
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from openstack.connection import Connection

from bench.measure import Figure, until
from kumoi import config
from kumoi.base.process import run
from kumoi.config import CloudSettings, HostSettings

TIMES = 3
EXAMPLES = Path(__file__).parents[1] / "examples"
STAGES = ("receive", "build", "configure", "verify", "report")
KEEP = "\nkeep: true\n"
OWN_SHARE_S = 0.5
AT_ONCE = 10
SLOWEST_TO_MEAN = 2.0
ENDED_WITHIN_S = 900
BUILT_BY = ("/network/", "/compute/", "/load-balancer/")
NOT_OURS = re.compile(
    r"(?:all servers answer after|configure passed in|verify passed in) ([0-9.]+) s"
)


def figures(cloud: Connection, name: str, state_dir: str) -> list[Figure]:
    settings = config.read(CloudSettings, Path(state_dir)).settings
    host = config.read(HostSettings, Path(state_dir)).settings
    found: list[Figure] = []
    for title, example, keeps, bound_s in (
        ("git push → verified, hello: 2 web servers", "hello", False, 5),
        ("the same, environment kept", "hello", True, 4),
        ("git push → verified, shop: balancer, database, Ansible", "shop", False, 15),
        ("the same, environment kept", "shop", True, 8),
    ):
        whole: list[float] = []
        own: list[float] = []
        stages: dict[str, list[float]] = {stage: [] for stage in STAGES}
        with tempfile.TemporaryDirectory() as directory:
            pusher = _Pusher(cloud, settings, host, name, Path(directory) / example)
            for finished in pusher.pushes(keeps=keeps):
                whole.append(_seconds(finished["created_at"], finished["ended_at"]))
                if not keeps:
                    own.append(_own_share_s(pusher, finished))
                for stage in finished["stages"]:
                    stages[stage["name"]].append(_seconds(stage["began_at"], stage["ended_at"]))
        found.append(Figure(title, whole, "s", bound_s))
        found += [Figure(f"  {stage}", seconds, "s") for stage, seconds in stages.items()]
        if own:
            found.append(Figure("  the pipeline's own share", own, "s", OWN_SHARE_S))
    with tempfile.TemporaryDirectory() as directory:
        pusher = _Pusher(cloud, settings, host, name, Path(directory) / "hello")
        found += _at_once(cloud, pusher)
    return found


def _at_once(cloud: Connection, pusher: _Pusher) -> list[Figure]:
    """Pushes of one repository to as many branches. All must end verified, and all be gone afterwards."""
    run(["git", "init", "-q", "-b", "main", pusher.work])
    commits = {}
    for number in range(AT_ONCE):
        commits[f"branch-{number}"] = pusher.commit(number)
    try:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            words = [f"{commit}:refs/heads/{branch}" for branch, commit in commits.items()]
            list(pool.map(pusher.push, words))
            ended = [_verified(pusher.name, commit) for commit in commits.values()]
    finally:
        pusher.delete_all()
    waits = [_seconds(each["created_at"], each["ended_at"]) for each in ended]
    left = [
        each for each in _named(cloud) if any(mine["environment"]["id"] in each for mine in ended)
    ]
    return [
        Figure(f"{AT_ONCE} pushes to {AT_ONCE} branches at once, each", waits, "s"),
        Figure("  slowest / mean", [max(waits) * len(waits) / sum(waits)], "", SLOWEST_TO_MEAN),
        Figure("  left after their deletion", [len(left)], "", 0),
    ]


def _named(cloud: Connection) -> Iterator[str]:
    """The names of all that environments are made of."""
    for each in (
        *cloud.compute.servers(details=False), *cloud.compute.keypairs(), *cloud.network.networks(),
        *cloud.network.subnets(), *cloud.network.routers(), *cloud.network.ports(),
        *cloud.network.security_groups(), *cloud.load_balancer.load_balancers(),
    ):  # fmt: skip
        yield str(each.name)
    for floating in cloud.network.ips():
        yield str(floating.description)


def _own_share_s(pusher: _Pusher, finished: dict[str, Any]) -> float:
    """Of a run that nothing else ran beside. Lines of the logs are written when a request has ended."""
    began_at, ended_at = finished["created_at"], finished["ended_at"]
    built = _first_post(pusher.host, "api", BUILT_BY, began_at)
    called = _first_post(pusher.host, "pipeline", ("/runner/v1/claim",), began_at)
    said = run(
        [
            sys.executable,
            "-m",
            "kumoi.main",
            "run",
            "log",
            finished["id"],
            "--os-cloud",
            pusher.name,
        ],
        timeout_s=60,
    ).out
    not_ours = sum(float(seconds) for seconds in NOT_OURS.findall(said))
    return _seconds(began_at, ended_at) - _seconds(built, called) - not_ours


def _first_post(host: HostSettings, role: str, paths: tuple[str, ...], since: str) -> str:
    """When the first that succeeded since then had ended. Raises LookupError."""
    for line in (host.log_dir / f"{role}.log").read_text().splitlines():
        if '"request.handled"' not in line or '"POST"' not in line:
            continue
        entry = json.loads(line)
        is_meant = entry["path"].startswith(paths) and entry["status"] < 300
        if is_meant and _seconds(since, entry["timestamp"]) >= 0:
            return str(entry["timestamp"])
    raise LookupError(f"{role} logged no POST to {paths[0]} since {since}")


class _Pusher:
    """One repository, a commit more each time; its environments are deleted at the end."""

    def __init__(
        self,
        cloud: Connection,
        settings: CloudSettings,
        host: HostSettings,
        name: str,
        work: Path,
    ) -> None:
        self.host = host
        self.name = name
        self.work = work
        shutil.copytree(EXAMPLES / work.name, work)
        auth = cloud.config.get_auth_args()
        place = urlsplit(settings.pipeline_url)
        who = f"{auth['username']}:{auth['password']}@{place.netloc}"
        path = f"/git/{auth['project_name']}/bench-{work.name}.git"
        self.url = urlunsplit((place.scheme, who, path, "", ""))

    def pushes(self, *, keeps: bool) -> Iterator[dict[str, Any]]:
        """Each run at its end; where environments are kept, but for the first, which builds it."""
        run(["git", "init", "-q", "-b", "main", self.work])
        if keeps:
            with (self.work / "kumoi.yaml").open("a") as file:
                file.write(KEEP)
        for number in range(TIMES + keeps):
            commit = self.commit(number)
            self.push("main")
            ended = _verified(self.name, commit)
            if number or not keeps:
                yield ended
        self.delete_all()

    def commit(self, number: int) -> str:
        (self.work / "number").write_text(str(number))
        _git(self.work, self.host, "add", "-A")
        _git(self.work, self.host, "commit", "-q", "-m", f"push {number}")
        return _git(self.work, self.host, "rev-parse", "HEAD")

    def push(self, refspec: str) -> None:
        _git(self.work, self.host, "push", "-q", "--force", self.url, refspec)

    def delete_all(self) -> None:
        """The environments of its pushes."""
        for environment in _kumoi(self.name, "env", "list", "--json"):
            if environment["repository"] == f"bench-{self.work.name}":
                words = ["env", "delete", "--wait", "--os-cloud", self.name, environment["id"]]
                run([sys.executable, "-m", "kumoi.main", *words], timeout_s=120)


def _verified(name: str, commit: str) -> dict[str, Any]:
    """The run of a commit, once it has ended. Raises RuntimeError when it ended red."""
    ended: list[dict[str, Any]] = []

    def has_ended() -> bool:
        rows = _kumoi(name, "run", "list", "--json")
        ended[:] = [row for row in rows if row["commit"] == commit and row["ended_at"]]
        return bool(ended)

    until(has_ended, within_s=ENDED_WITHIN_S, pause_s=0.5)
    shown: dict[str, Any] = _kumoi(name, "run", "show", ended[0]["id"], "--json")
    if shown["status"] != "verified":
        raise RuntimeError(f"run {shown['id']} is {shown['status']}: {shown['reason']}")
    return shown


def _kumoi(name: str, *words: str) -> Any:
    command = [sys.executable, "-m", "kumoi.main", *words, "--os-cloud", name]
    return json.loads(run(command, timeout_s=60).out)


def _git(work: Path, host: HostSettings, *words: str) -> str:
    identity = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    env = {"GIT_SSL_CAINFO": str(host.pki_dir / "ca.crt"), "GIT_TERMINAL_PROMPT": "0"}
    return run(["git", *identity, "-C", work, *words], env=env, timeout_s=60).out.strip()


def _seconds(began: str, ended: str) -> float:
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()
