"""A folder pushed as it is, for `kumoi env up` and `kumoi demo`: its files become a commit of a repository
of ours beside it, so that the user's own git is not touched.
"""

from __future__ import annotations

import base64
import contextlib
import re
import tempfile
import time
from pathlib import Path

from kumoi.base import process
from kumoi.base.errors import Invalid, Permanent
from kumoi.pipeline.client import Client

PUSH_TIMEOUT_S = 120.0
RUN_SEEN_TIMEOUT_S = 10.0
POLL_S = 0.1
DEFAULT_BRANCH = "main"
AUTHOR = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "kumoi env up"), ("EMAIL", "kumoi@localhost"))
}


def branch(folder: Path) -> str:
    """The one that the folder's own repository is at, or main."""
    with contextlib.suppress(process.ProcessFailed):
        found = process.run(["git", "-C", folder, "symbolic-ref", "--short", "HEAD"]).out.strip()
        return found or DEFAULT_BRANCH
    return DEFAULT_BRANCH


def repository_name(folder: Path) -> str:
    """After the folder."""
    return re.sub(r"[^a-zA-Z0-9._-]+", "-", folder.name).strip("-.") or "environment"


def push(client: Client, folder: Path, file: str, name: str, to: str) -> str:
    """The commit's id. What the folder's own git ignores is left out."""
    url = f"{client.url}/git/{client.project}/{name}.git"
    with tempfile.TemporaryDirectory(prefix="kumoi-up-") as directory:
        env = git_environment(client.login(), client.ca, f"{client.url}/")

        def git(*words: str, check: bool = True) -> process.Completed:
            where = [f"--git-dir={directory}/git", f"--work-tree={folder}"]
            return process.run(
                ["git", *where, *words], env=env, timeout_s=PUSH_TIMEOUT_S, check=check
            )

        try:
            git("init", "--quiet", "--initial-branch", DEFAULT_BRANCH)
            if git("fetch", "--quiet", "--depth=1", url, to, check=False).status == 0:
                git("reset", "--quiet", "--soft", "FETCH_HEAD")
            git("add", "--all")
            git("add", "--force", file)
            git("commit", "--quiet", "--allow-empty", "--message", f"{folder.name} as it is")
            done = git("push", "--force", url, f"HEAD:refs/heads/{to}", check=False)
            if done.status != 0:
                raise Invalid(_refusal(done.err))
            return git("rev-parse", "HEAD").out.strip()
        except process.ProcessFailed as cause:
            raise Permanent(f"{folder.name} could not be pushed: {cause}") from cause


def run_of(client: Client, commit: str) -> str:
    """The run that the push made. Raises Permanent when it made none."""
    deadline = time.monotonic() + RUN_SEEN_TIMEOUT_S
    while True:
        for found in client.get("runs")["runs"]:
            if found["commit"] == commit:
                return str(found["id"])
        if time.monotonic() > deadline:
            raise Permanent(f"the push of {commit[:10]} made no run")
        time.sleep(POLL_S)


def git_environment(login: str, ca: str, about: str) -> dict[str, str]:
    """Git's configuration and login as variables, which no list of processes shows to others. The login
    goes to `about` alone.
    """
    coded = base64.b64encode(login.encode()).decode()
    options = {
        f"http.{about}.extraHeader": f"Authorization: Basic {coded}",
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
        "GIT_TERMINAL_PROMPT": "0",
        **({"GIT_SSL_CAINFO": ca} if ca else {}),  # Overrides any configuration.
    }


def _refusal(printed: str) -> str:
    """What the pipeline said, without git's own words around it."""
    told = [
        line.partition(": ")[2].strip()
        for line in printed.splitlines()
        if line.startswith(("remote: ", "fatal: remote error: "))
    ]
    return next(
        filter(None, told), printed.strip().splitlines()[-1] if printed.strip() else "refused"
    )
