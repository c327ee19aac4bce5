"""What whoever pushes sees of the run while it goes on."""

from __future__ import annotations

import os
import signal
import threading
from subprocess import PIPE, STDOUT, Popen

import pytest
from openstack.connection import Connection
from tests.stories.pipeline.conftest import Pusher, RunningPipeline, Start, until


class Pushing:
    """A push that goes on, and what git has printed of it so far."""

    def __init__(self, pusher: Pusher, *options: str) -> None:
        self.lines: list[str] = []
        self.git = Popen(
            ["git", "push", *(options or ("-o", "kumoi.wait=yes")), pusher.url(), "main"],
            cwd=pusher.folder,
            env=os.environ | pusher.environment,
            stdout=PIPE,
            stderr=STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def until(self, text: str) -> str:
        """The first line that holds this text."""

        def line() -> str | None:
            found = next((line for line in self.lines if text in line), None)
            assert found or self._reading.is_alive(), self.lines
            return found

        return until(line, within_s=60)

    def end(self) -> int:
        self._reading.join(60)
        return self.git.wait(60)

    def leave(self) -> None:
        """Ctrl-C."""
        os.killpg(self.git.pid, signal.SIGTERM)
        self.end()

    def _read(self) -> None:
        assert self.git.stdout is not None
        for line in self.git.stdout:
            self.lines.append(line.removeprefix("remote: ").rstrip())


def test_a_push_prints_each_stage_and_ends_with_the_verified_url(
    pipeline: RunningPipeline, app: Pusher, demo: Connection, start_runner: Start
) -> None:
    pushing = Pushing(app)
    run_id = pushing.until("started: https://").split()[1]
    assert pushing.until("Ctrl-C")
    assert pushing.until("build ").split()[2] == "s"
    start_runner()
    assert pushing.until("configure ").endswith("2 passed")
    assert pushing.until("verify ").endswith("4 passed")
    assert pushing.until("verified in")
    assert pushing.end() == 0
    assert "* [new branch]      main -> main" in "\n".join(pushing.lines).replace(" HEAD", "")
    with pipeline.client(demo) as client:
        assert pipeline.run_of(client, run_id)["status"] == "verified"


def test_a_push_of_a_bad_commit_shows_the_failing_check_first_and_is_a_good_push(
    app: Pusher, start_runner: Start
) -> None:
    (app.folder / "broken-verify").touch()
    app.commit("a port that nobody listens on")
    pushing = Pushing(app)
    pushing.until("build ")
    start_runner()
    assert pushing.end() == 0
    text = "\n".join(pushing.lines)
    assert "FAILED after" in text
    assert (
        "verify: 1 of 4 checks failed\n  web-2: Port 80 is listening\n    expected Port 80" in text
    )


def test_who_leaves_loses_nothing_but_the_lines(
    pipeline: RunningPipeline, app: Pusher, demo: Connection, start_runner: Start
) -> None:
    pushing = Pushing(app)
    run_id = pushing.until("started: https://").split()[1]
    pushing.until("build ")
    pushing.leave()
    start_runner()
    with pipeline.client(demo) as client:
        assert pipeline.ended(client, run_id)["status"] == "verified"
    assert "Everything up-to-date" in app.push()


def test_a_newer_push_ends_the_older_run_and_both_are_told(app: Pusher) -> None:
    pushing = Pushing(app)
    pushing.until("build ")
    app.commit("newer")
    newer = app.run_id(app.push())
    assert pushing.end() == 0
    text = "\n".join(pushing.lines)
    assert "CANCELLED after" in text
    assert f"run {newer} is newer" in text


@pytest.mark.parametrize("options", [["--quiet"], ["--progress", "-o", "kumoi.wait=no"]])
def test_a_push_that_says_so_does_not_wait(app: Pusher, options: list[str]) -> None:
    pushing = Pushing(app, *options)
    assert pushing.end() == 0
    assert [line for line in pushing.lines if "started: https://" in line]
    assert not [line for line in pushing.lines if line.startswith("receive")]


def test_a_terminal_is_told_without_asking(app: Pusher) -> None:
    pushing = Pushing(app, "--progress")  # As git behaves at one.
    pushing.until("build ")
    pushing.leave()
