"""`kumoi env` and `kumoi run` by the words that they are given, before a pipeline that has what is said here."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kumoi.base.errors import Invalid, NotFound
from kumoi.cli import choice, env, run
from kumoi.cli.output import console
from kumoi.pipeline.environment import parse

FILE = """
servers:
  web: {image: debian-12, flavor: small, count: 2}
environments:
  production: {branches: [production], servers: {web: {count: 4}}}
  staging: {branches: [staging]}
"""
LOG, LOG_PART = "== verify\n\x1b[1mweb-1\n", 8


class FakePipeline:
    """What answers for a pipeline: environments by id, runs, the newest first."""

    def __init__(
        self, environments: list[dict[str, Any]] | None = None, runs: list[str] | None = None
    ) -> None:
        self._environments = environments or []
        self._runs = runs or []
        self.extended: list[int] = []

    def get(self, path: str, **_parameters: Any) -> dict[str, Any]:
        noun, _, key = path.partition("/")
        if path.endswith("/log"):
            text = LOG[_parameters["offset"] :][:LOG_PART]
            stages = [{"name": "verify"}]
            return {
                "text": text, "next_offset": 0, "status": "failed", "stage": "verify",
                "stages": stages, "waits_for": "",
            }  # fmt: skip
        if noun == "runs":
            return {"runs": [{"id": each} for each in self._runs]}
        if not key:
            return {"environments": self._environments}
        for each in self._environments:
            if each["id"] == key:
                return {"environment": each}
        raise NotFound("environment", key)

    def post(self, path: str, *, seconds: int = 0) -> dict[str, Any]:
        if path.endswith("/cancel"):
            return {"run": {"id": path.split("/")[1], "status": "running"}}
        self.extended.append(seconds)
        return {"environment": self._environments[0]}

    def delete(self, path: str) -> dict[str, Any]:
        return {"environment": self.get(path)["environment"] | {"status": "deleting"}}


def live(name: str, count: int) -> dict[str, Any]:
    """As the pipeline shows it, of a release that knew fewer keys."""
    text = FILE.replace("count: 2", f"count: {count}")
    wanted = msgspec.to_builtins(parse(text).base)
    del wanted["verify"]
    return {
        "id": f"id-{name}", "name": "", "branch": name, "wanted": wanted,
        "expires_at": "2026-11-28T00:00:00+00:00",
    }  # fmt: skip


def words(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    env.add_to(parser)
    return parser.parse_args(given)


def run_words(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    run.add_to(parser)
    return parser.parse_args(given)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "kumoi.yaml").write_text(FILE)
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_one_that_is_there_is_compared_with_what_the_file_says_of_the_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pipeline: Any = FakePipeline([live("main", 3)])
    assert env.diff(pipeline, words("diff", "main", "production", "--json")) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"servers.web.count": [3, 4]}
    assert printed.err == "production is not there, so this is what kumoi.yaml says of it\n"


@pytest.mark.usefixtures("folder")
def test_a_comparison_with_what_nobody_knows_is_trouble_and_no_difference(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pipeline: Any = FakePipeline()
    assert env.diff(pipeline, words("diff", "staging", "nosuch")) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == (
        "kumoi: environment nosuch is neither there nor in kumoi.yaml, which has production, staging"
    )


@pytest.mark.parametrize("time", ["31d", "59s", "0m", "soon", "2"])
def test_a_time_that_no_environment_may_live_longer_is_told_as_it_was_written(time: str) -> None:
    pipeline: Any = FakePipeline([live("main", 1)])
    with pytest.raises(Invalid, match=f"from 1m to 30d, got '{time}'"):
        env.extend(pipeline, words("extend", "main", time))
    assert pipeline.extended == []
    env.extend(pipeline, words("extend", "main", "30d"))
    assert pipeline.extended == [30 * 86_400]


def test_a_log_for_programs_is_one_object_with_all_of_it_and_how_the_run_stands(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pipeline: Any = FakePipeline(runs=["new"])
    assert run.log(pipeline, run_words("log", "new", "--json")) == 0
    assert json.loads(capsys.readouterr().out) == {
        "id": "new", "status": "failed", "stage": "verify", "stages": [{"name": "verify"}],
        "waits_for": "", "text": LOG,
    }  # fmt: skip
    assert run.log(pipeline, run_words("log", "new")) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("== verify\n")
    assert "\x1b" not in printed


def test_what_changes_is_told_to_programs_as_it_is_then(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pipeline: Any = FakePipeline([live("main", 1)])
    env.extend(pipeline, words("extend", "main", "2h", "--json"))
    assert json.loads(capsys.readouterr().out)["expires_at"] == "2026-11-28T00:00:00+00:00"
    env.delete(pipeline, words("delete", "main", "--json"))
    assert json.loads(capsys.readouterr().out)["status"] == "deleting"
    run.cancel(pipeline, run_words("cancel", "new", "--json"))
    assert json.loads(capsys.readouterr().out) == {"id": "new", "status": "running"}


def test_a_command_without_an_entry_takes_that_of_the_environment_as_openstack_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OS_CLOUD", "mine")
    assert words("list").os_cloud == "mine"
    assert words("list", "--os-cloud", "theirs").os_cloud == "theirs"
    monkeypatch.setenv("OS_CLOUD", "")
    assert words("list").os_cloud == choice.DEFAULT_NAME


@pytest.mark.parametrize("action", ["show", "follow", "log", "junit", "report"])
def test_what_is_asked_of_no_run_is_asked_of_the_newest(
    action: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def act(_client: Any, args: argparse.Namespace) -> int:
        asked.append(args.id)
        return 0

    pipelines: list[Any] = [FakePipeline(runs=["new", "old"])]
    monkeypatch.setattr(run, "client_of", lambda _args: pipelines[-1])
    monkeypatch.setitem(run.ACTIONS, action, (act, ""))
    run.run(run_words(action))
    run.run(run_words(action, "old"))
    assert asked == ["new", "old"]
    pipelines.append(FakePipeline())
    with pytest.raises(NotFound, match="push something"):
        run.run(run_words(action))


def test_a_cancelled_run_promises_no_life_to_what_is_taken_back(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report: dict[str, Any] = {
        "id": "r", "status": "cancelled", "repository": "shop", "branch": "main", "commit": "c" * 40,
        "seconds": 1.0, "stages": [], "counts": {}, "reason": "somebody asked for it",
        "failures": [], "changes": None, "environment": "e", "environment_status": "live",
        "url": "http://10.0.0.1/", "expires_at": "2026-11-28T00:00:00+00:00", "lasting_url": "https://l",
    }  # fmt: skip
    for each in run._summary(report):
        console().print(each)
    assert "it lives until" not in capsys.readouterr().out
    for each in run._summary({**report, "status": "verified"}):
        console().print(each)
    assert "it lives until" in capsys.readouterr().out
