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
HELLO = Path(__file__).parents[1] / "examples" / "hello"
STAGES = ("receive", "build", "configure", "verify", "report")


def figures(cloud: Connection, name: str, state_dir: str) -> list[Figure]:
    settings = config.read(CloudSettings, Path(state_dir)).settings
    host = config.read(HostSettings, Path(state_dir)).settings
    whole: list[float] = []
    stages: dict[str, list[float]] = {stage: [] for stage in STAGES}
    with tempfile.TemporaryDirectory() as directory:
        for finished in _pushes(cloud, settings, host, name, Path(directory)):
            whole.append(_seconds(finished["created_at"], finished["ended_at"]))
            for stage in finished["stages"]:
                stages[stage["name"]].append(_seconds(stage["began_at"], stage["ended_at"]))
    return [
        Figure("git push → verified, 2 web servers", whole, "s", 15),
        *(Figure(f"  {stage}", seconds, "s") for stage, seconds in stages.items()),
    ]


def _pushes(
    cloud: Connection, settings: CloudSettings, host: HostSettings, name: str, directory: Path
) -> Iterator[dict[str, Any]]:
    """One repository, a commit more each time; its environments are deleted at the end."""
    work = directory / "hello"
    shutil.copytree(HELLO, work)
    auth = cloud.config.get_auth_args()
    place = urlsplit(settings.pipeline_url)
    who = f"{auth['username']}:{auth['password']}@{place.netloc}"
    url = urlunsplit((place.scheme, who, f"/git/{auth['project_name']}/bench.git", "", ""))
    run(["git", "init", "-q", "-b", "main", work])
    for number in range(TIMES):
        (work / "number").write_text(str(number))
        _git(work, host, "add", "-A")
        _git(work, host, "commit", "-q", "-m", f"push {number}")
        _git(work, host, "push", "-q", "--force", url, "main")
        yield _verified(name, _git(work, host, "rev-parse", "HEAD"))
    for environment in _kumoi(name, "env", "list", "--json"):
        if environment["branch"] == "main" and environment["status"] == "live":
            run([sys.executable, "-m", "kumoi.main", "env", "delete", "--os-cloud", name, environment["id"]])  # fmt: skip


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
