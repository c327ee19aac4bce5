"""A run whose runner gets nowhere ends in words, and soon."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from openstack.connection import Connection
from tests.stories.pipeline.conftest import ENVIRONMENT, Pusher, RunningPipeline, Start

from kumoi.base.process import run

HANGING = """
  - {run: "sleep 600", timeout: 1s}
"""
SMALL = 4 << 20


@pytest.fixture
def runner_home(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """With `small`, on a disk that has no room for what is pushed."""
    home = tmp_path / "runner"
    if not getattr(request, "param", ""):
        yield home
        return
    home.mkdir()
    run(["mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", home])
    try:
        yield home
    finally:
        run(["umount", "--lazy", home])


def test_a_verify_step_that_hangs_is_ended_by_its_timeout_and_named(
    pipeline: RunningPipeline, app: Pusher, demo: Connection, start_runner: Start
) -> None:
    (app.folder / "kumoi.yaml").write_text(ENVIRONMENT.rstrip() + HANGING)
    app.commit("a check that never ends")
    run_id = app.run_id(app.push())
    start_runner()
    with pipeline.client(demo) as client:
        ended = pipeline.ended(client, run_id, within_s=60)
        assert ended["status"] == "failed"
        assert ended["reason"].startswith("verify: ")
        log = client.get(f"/pipeline/v1/runs/{run_id}/log").json()["text"]
    checks = next(each["checks"] for each in ended["results"] if each["stage"] == "verify")
    outputs = [each["output"] for each in checks if each["outcome"] == "failed"]
    assert any("took longer than 1 s and was ended" in each for each in [*outputs, log])


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("runner_home", ["small"], indirect=True)
def test_a_runner_whose_disk_is_full_says_so(
    pipeline: RunningPipeline, app: Pusher, demo: Connection, start_runner: Start
) -> None:
    (app.folder / "large").write_bytes(os.urandom(2 * SMALL))
    app.commit("more than the runner has room for")
    run_id = app.run_id(app.push())
    start_runner()
    with pipeline.client(demo) as client:
        ended = pipeline.ended(client, run_id, within_s=60)
    assert ended["status"] == "failed"
    assert ended["reason"].startswith(
        "configure: the runner's disk is full: give it a larger flavor"
    )
