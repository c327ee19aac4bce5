"""A folder pushed as it is, for `kumoi env up` and `kumoi demo`: its files become a commit of a repository
of ours beside it, so that the user's own git is not touched.
"""

from __future__ import annotations

import base64
import contextlib
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from kumoi.base import process
from kumoi.base.errors import Invalid, Permanent
from kumoi.cli.output import say
from kumoi.pipeline.client import Client
from kumoi.pipeline.push_packets import TRY_AGAIN

PUSH_TIMEOUT_S = 120.0
PUSHES_MAX, PUSH_AGAIN_S = 5, 3.0  # Until another host has the address of one that is lost.
EARLIER = "the push before this one was cut off"
CUT_OFF = ("RPC failed", "hung up", "unexpected disconnect", "early EOF", "unable to access")
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
            commit = git("rev-parse", "HEAD").out.strip()
            _until_answered(
                lambda: git("push", "--force", url, f"HEAD:refs/heads/{to}", check=False),
                lambda: commit in _commits_of_runs(client),
            )
        except process.ProcessFailed as cause:
            raise Permanent(f"{folder.name} could not be pushed: {cause}") from cause
        return commit


def _until_answered(push: Callable[[], process.Completed], arrived: Callable[[], bool]) -> None:
    """Git does not push again where the answer was cut off, and what was cut off may have arrived: the pipeline
    refuses the next push then, to say so, as it does once after an earlier push of somebody's. Nor where the pipeline refuses it
    for now. Raises Invalid with what the pipeline says, and Permanent where it says nothing.
    """
    for count in range(1, PUSHES_MAX + 1):
        done = push()
        said = _said(done.err)
        if done.status == 0 or (count > 1 and said and arrived()):
            return
        if EARLIER in said:
            say(said, file=sys.stderr)
            continue
        if not (said.endswith(TRY_AGAIN) or (not said and _is_cut_off(done.err))):
            raise Invalid(said or _last_line(done.err))
        if count < PUSHES_MAX:
            time.sleep(PUSH_AGAIN_S)
    if said:
        raise Invalid(said)
    raise Permanent(f"the push was cut off {PUSHES_MAX} times: {_last_line(done.err)}")


def _is_cut_off(printed: str) -> bool:
    return any(words in printed for words in CUT_OFF)


def run_of(client: Client, commit: str) -> str:
    """The run that the push made. Raises Permanent when it made none."""
    deadline = time.monotonic() + RUN_SEEN_TIMEOUT_S
    while True:
        if found := _commits_of_runs(client).get(commit):
            return found
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


def _commits_of_runs(client: Client) -> dict[str, str]:
    """A run's id by its commit, of the newest runs."""
    return {found["commit"]: str(found["id"]) for found in reversed(client.get("runs")["runs"])}


def _said(printed: str) -> str:
    """What the pipeline said, without git's own words around it."""
    told = [
        line.partition(": ")[2].strip()
        for line in printed.splitlines()
        if line.startswith(("remote: ", "fatal: remote error: "))
    ]
    return next(filter(None, told), "")


def _last_line(printed: str) -> str:
    """Of git's own words, but for what it also says where nothing arrived."""
    lines = [line for line in printed.strip().splitlines() if line != "Everything up-to-date"]
    return lines[-1] if lines else "git says no reason"
