"""`kumoi demo`: the whole product in one command.

Brings the cloud up, pushes `examples/hello` as any user would, shows the run as it goes on, and
ends with the URL of the verified environment.
"""

from __future__ import annotations

import argparse
import base64
import os
import time
from pathlib import Path

from kumoi.base import process
from kumoi.base.errors import Invalid, Permanent
from kumoi.cli import up
from kumoi.cli.output import console
from kumoi.cli.progress import Progress
from kumoi.cli.run import follow_run
from kumoi.config import CloudSettings, HostSettings
from kumoi.hosts.first_use import passwords
from kumoi.hosts.units import running
from kumoi.pipeline.client import Client

EXAMPLE = Path(__file__).parents[3] / "examples" / "hello"
USER = "demo"
BRANCH = "main"
PUSH_TIMEOUT_S = 60.0
RUN_SEEN_TIMEOUT_S = 10.0
POLL_S = 0.1
AUTHOR = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Kumoi demo"), ("EMAIL", "demo@localhost"))
}


def add_to(parser: argparse.ArgumentParser) -> None:
    up.add_ranges_to(parser)
    parser.set_defaults(only_engines=False)


def run(args: argparse.Namespace) -> int:
    if not EXAMPLE.is_dir():
        raise Invalid("the example is in a checkout of Kumoi, and this is an installed copy")
    progress = Progress()
    cloud, host = up.bring_up(args, progress)
    with progress.stage("push examples/hello") as stage:
        commit = push(cloud, host, EXAMPLE)
        stage.note(f"{commit[:10]} to {repository_url(cloud)}")
    client = Client(cloud.name, cloud.pipeline_url)
    progress.say()
    status = follow_run(client, _run_of(client, commit), console())
    progress.say()
    outcome = "[green]verified[/]" if status == 0 else "[red]not verified[/]"
    # The launcher became this process by exec, so the time in which it installed packages counts.
    seconds = time.time() - running.started_at(os.getpid())
    progress.say(f"{outcome} {seconds:.1f} s after the start of this command")
    return status


def repository_url(cloud: CloudSettings) -> str:
    return f"{cloud.pipeline_url}/git/{USER}/hello.git"


def push(cloud: CloudSettings, host: HostSettings, example: Path) -> str:
    """Commit the example on top of the branch that was pushed before, and push it; the commit's id."""
    git_dir = host.state / "demo" / "hello.git"
    git_dir.parent.mkdir(exist_ok=True)
    url = repository_url(cloud)
    env = _git_environment(host)

    def git(*words: str, check: bool = True) -> process.Completed:
        where = [f"--git-dir={git_dir}", f"--work-tree={example}"]
        return process.run(["git", *where, *words], env=env, timeout_s=PUSH_TIMEOUT_S, check=check)

    try:
        git("init", "--quiet", "--initial-branch", BRANCH)
        if git("fetch", "--quiet", url, BRANCH, check=False).status == 0:
            git("reset", "--quiet", "--soft", "FETCH_HEAD")
        git("add", "--all")
        git("commit", "--quiet", "--allow-empty", "--message", "Say hello")
        git("push", "--quiet", url, f"HEAD:{BRANCH}")
        return git("rev-parse", "HEAD").out.strip()
    except process.ProcessFailed as cause:
        raise Permanent(f"the example could not be pushed: {cause}") from cause


def _git_environment(host: HostSettings) -> dict[str, str]:
    """Git's configuration and login as variables, which no list of processes shows to others."""
    password = passwords.read(host, USER).reveal()
    login = base64.b64encode(f"{USER}:{password}".encode()).decode()
    options = {
        "http.extraHeader": f"Authorization: Basic {login}",
        "safe.directory": "*",
    }
    numbered = {
        f"GIT_CONFIG_{part}_{index}": value
        for index, option in enumerate(options.items())
        for part, value in zip(("KEY", "VALUE"), option, strict=True)
    }
    return {
        **AUTHOR,
        **numbered,
        "GIT_CONFIG_COUNT": str(len(options)),
        "GIT_SSL_CAINFO": str(host.pki_dir / "ca.crt"),  # Overrides any configuration.
        "GIT_TERMINAL_PROMPT": "0",
    }


def _run_of(client: Client, commit: str) -> str:
    """The run that the push made. Raises Permanent when it made none."""
    deadline = time.monotonic() + RUN_SEEN_TIMEOUT_S
    while True:
        for found in client.get("runs")["runs"]:
            if found["commit"] == commit:
                return str(found["id"])
        if time.monotonic() > deadline:
            raise Permanent(f"the push of {commit[:10]} made no run")
        time.sleep(POLL_S)
