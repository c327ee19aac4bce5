"""A tenant names things, or logs, so that an operator's terminal does what the tenant likes."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.markup import escape

from kumoi.base.errors import Conflict
from kumoi.cli import audit, env, output, run
from kumoi.cli.output import OperatorConsole
from kumoi.main import _print_error

EVIL = "web\x1b]0;owned\x07\x1b[2J\u202e\x9b31m[/][link=http://x]"
STEERING = ("\x1b", "\x07", "\u202e", "\x9b")


class Client:
    """Answers as the pipeline does, with what tenants wrote."""

    url = "https://192.0.2.1:5002"

    def get(self, path: str, **parameters: Any) -> dict[str, Any]:
        if path.endswith("/log"):
            return {"text": f"line {EVIL}\n" if parameters["offset"] == 0 else ""}
        known = dict.fromkeys(
            ("id", "branch", "name", "commit", "run_id", "url", "reason", "repository"), EVIL
        )
        found: dict[str, Any] = known | {"status": "failed", "stages": [], "environment": None}
        now = "2026-11-28T00:00:00+00:00"
        found |= {"created_at": now, "expires_at": now, "stage": EVIL, "wanted": {"servers": {}}}
        check = {"server": EVIL, "name": EVIL, "stage": EVIL, "output": f"{EVIL}\n{EVIL}"}
        commit = {"commit": EVIL, "subject": EVIL, "author": EVIL}
        report = found | {
            "seconds": 1.0,
            "counts": {"failed": 1},
            "failures": [check],
            "changes": {"since": EVIL, "commits": [commit], "more": 0, "diffstat": EVIL},
            "project": EVIL,
            "environment": EVIL,
            "environment_status": "live",
            "lasting_url": EVIL,
        }
        return {
            "environments": [found],
            "environment": found,
            "runs": [found],
            "run": found,
            "report": report,
        }

    def text(self, _path: str) -> str:
        return f"<testsuites>{EVIL}</testsuites>"


class Arguments:
    json = False
    all = False
    id = "x"


COMMANDS: dict[str, Any] = {
    "env list": env.list_,
    "env show": env.show,
    "run list": run.list_,
    "run show": run.show,
    "run log": run.log,
    "run junit": run.junit,
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_no_command_prints_what_steers_a_terminal(
    command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    command(Client(), Arguments())
    printed = capsys.readouterr().out
    assert "web" in printed
    assert not any(letter in printed for letter in STEERING)


def test_a_terminals_own_colours_remain(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a router's name, as `exposure` shows it, and of a run's log, as `run follow` does."""
    text = io.StringIO()
    terminal = OperatorConsole(file=text, force_terminal=True, width=200)
    terminal.print(output.table("Routers", [{"name": EVIL, "address": "[red]10.0.0.1[/]"}]))
    terminal.print(f"[red]{escape(EVIL)}[/]")
    printed = text.getvalue()
    assert "\x1b[31m" in printed
    assert "[red]10.0.0.1[/]" in printed
    assert "\x1b]0" not in printed
    assert "\x1b[2J" not in printed
    assert "\\x1b]0;owned" in printed


def test_errors_and_the_audit_are_printed_as_safely(capsys: pytest.CaptureFixture[str]) -> None:
    _print_error(Conflict(EVIL))
    where = {"typeURI": EVIL, "id": EVIL}
    who = {"id": EVIL, "project_id": EVIL, "host": {"address": EVIL}}
    event: dict[str, Any] = {
        "eventTime": "now",
        "outcome": "success",
        "action": "create",
        "reason": {"reasonCode": 0},
    }
    event |= {"initiator": who, "target": where, "request_id": f"{EVIL}\nnow", "repeated": 0}
    audit._print(event, as_json=False)
    out, error = capsys.readouterr()
    assert not any(letter in out + error for letter in STEERING)
    assert out.count("\n") == 1
