"""git push → verified: two web servers, images warm, with each stage's time."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
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
        stages: dict[str, list[float]] = {stage: [] for stage in STAGES}
        with tempfile.TemporaryDirectory() as directory:
            pusher = _Pusher(cloud, settings, host, name, Path(directory) / example)
            for finished in pusher.pushes(keeps=keeps):
                whole.append(_seconds(finished["created_at"], finished["ended_at"]))
                for stage in finished["stages"]:
                    stages[stage["name"]].append(_seconds(stage["began_at"], stage["ended_at"]))
        found.append(Figure(title, whole, "s", bound_s))
        found += [Figure(f"  {stage}", seconds, "s") for stage, seconds in stages.items()]
    return found


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
            (self.work / "number").write_text(str(number))
            _git(self.work, self.host, "add", "-A")
            _git(self.work, self.host, "commit", "-q", "-m", f"push {number}")
            _git(self.work, self.host, "push", "-q", "--force", self.url, "main")
            ended = _verified(self.name, _git(self.work, self.host, "rev-parse", "HEAD"))
            if number or not keeps:
                yield ended
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

    until(has_ended, within_s=180, pause_s=0.5)
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
