"""A tenant names things, or logs, so that an operator's terminal does what the tenant likes."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace
from typing import Any

import pytest
from openstack.exceptions import SDKException

from kumoi.base import log
from kumoi.base.errors import Conflict, KumoiError, OverQuota
from kumoi.base.text import printable
from kumoi.cli import audit, drill, env, healing, host_drain, output, run, status
from kumoi.cli import host as host_command
from kumoi.cli.output import OperatorConsole
from kumoi.cli.progress import Progress
from kumoi.config import CloudSettings
from kumoi.drill.outcome import DrillOutcome
from kumoi.drill.plan import Drilled, Fault
from kumoi.ha_policy import KEY
from kumoi.hosts.units.control import UnitStatus
from kumoi.main import _print_error
from kumoi.pipeline.api import git

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
    terminal.print(EVIL, style="red")
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


def test_a_router_whose_name_has_a_line_end_is_one_row_of_a_table(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its second line looked like another row: "host1 down", say."""
    output.console().print(output.table("Routers", [{"name": "web\nhost1  down", "state": "up"}]))
    title, _head, *rows = capsys.readouterr().out.splitlines()
    assert title.strip() == "Routers"
    assert [row.split() for row in rows] == [["web\\nhost1", "down", "up"]]


@pytest.mark.parametrize("name", ["[/]", "[red]web[/red]", "[link=http://x]web", ":bomb:", EVIL])
def test_a_server_whose_name_is_markup_does_not_stop_a_drain(name: str) -> None:
    """`host drain` ended with a traceback at a server called "[/]", and the host was not emptied."""
    text = io.StringIO()
    progress = Progress(OperatorConsole(file=text, force_terminal=True, width=200))
    title = f"{host_drain.bar(0, 1)} 1 of 1: {name}"
    with progress.stage(title) as stage:
        stage.tell(f"to host2, of {name}")
        stage.note(f"stays: {name}\nhost2 is down")
    printed = text.getvalue()
    assert printable(name.replace("\x07", "")) in printed  # Rich leaves a bell out.
    assert "\\nhost2 is down" in printed
    for steers in ("\x1b]", "\x07", "\u202e", "\x9b"):
        assert steers not in printed


OF_A_HOST: dict[str, Any] = {
    "protocol": 1,
    "ram_promised_mib": 1,
    "ram_promised_max_mib": 2,
    "ram_allocation_ratio": 1.0,
    "disk_promised_gib": 1,
    "disk_promised_max_gib": 2,
    "roles": [EVIL],
    "servers": 1,
}
LONG = f"{EVIL}\nhost1  down" + "w" * 255


def _status() -> None:
    host = OF_A_HOST | {"name": "host9", "state": "up", "status": LONG, "release": LONG}
    server = {"id": "id9", **dict.fromkeys(("name", "status", "host", "project_id"), LONG)}
    found = [status._unit_row(UnitStatus("api", "role", "waiting", 0, 0.0, 2, LONG))]
    words = {"together": "", "full": "", "missing": ""}
    status._show(found, [host], [server], [server], "", lists_servers=True, **words)
    status._show(found, [], [], [], LONG, lists_servers=True, **words)


def _hosts() -> None:
    host_command.show([OF_A_HOST | {"name": "host9", "address": LONG, "reason": LONG}])


def _drill(*, as_json: bool = False) -> None:
    drilled = Drilled(Fault.KILL, "api", LONG)
    outcomes = [DrillOutcome(drilled, troubles=(LONG,)), DrillOutcome(drilled, skipped=LONG)]
    pushes: Any = SimpleNamespace(done=1, troubles=[LONG], slowest_s=1.0)
    drill._print(outcomes, pushes, as_json=as_json)


@pytest.mark.parametrize("command", [_status, _hosts, _drill], ids=["status", "host list", "drill"])
def test_what_operators_look_at_first_has_each_name_on_its_own_row(
    command: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    command()
    printed = capsys.readouterr().out
    assert "web" in printed
    assert not any(letter in printed for letter in STEERING)
    assert not any(line.startswith(("host1", "  host1")) for line in printed.splitlines())


def test_a_drills_document_is_as_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    _drill(as_json=True)
    printed = capsys.readouterr().out
    assert json.loads(printed)["pipeline_runs"]["troubles"] == [LONG]
    assert printed.isascii()


def _refuse(_server: object) -> None:
    raise SDKException(f"no host takes {EVIL}")


def test_an_operator_who_heals_a_host_reads_names_and_refusals_as_they_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = SimpleNamespace(name=EVIL, id="1", metadata={KEY: "never"})
    settings = CloudSettings(name="k")
    api: Any = SimpleNamespace(compute=SimpleNamespace(evacuate_server=_refuse))
    assert healing._heal(api, settings, server, forced=False) == 0
    assert healing._heal(api, settings, server, forced=True) == 1
    printed = capsys.readouterr().out
    assert printed.count("web") == 3
    assert not any(letter in printed for letter in STEERING)


@pytest.mark.parametrize(
    ("service", "error"),
    [("git-upload-pack", Conflict(EVIL)), ("git-receive-pack", OverQuota(EVIL, resource="refs"))],
)
def test_what_git_shows_of_a_refusal_is_as_harmless(service: str, error: KumoiError) -> None:
    """Git prints U+009B of a line that begins with ERR, and all of what comes by its third band. The name
    of a project is in the one, and what another member gave for a webhook's address.
    """
    asked: Any = SimpleNamespace(
        path={"service": service} if service == git.PUSH else {},
        query={"service": service},
        url_path="/git/demo/x.git/info/refs",
    )
    reply = git.refusal(asked, error)
    assert reply is not None
    printed = bytes(reply.body).decode()
    assert "owned" in printed
    assert not any(letter in printed for letter in STEERING)


def test_json_for_a_terminal_has_none_of_it_either(capsys: pytest.CaptureFixture[str]) -> None:
    """A terminal obeys U+009B as it does ESC and "[", and msgspec writes it as it is."""
    event = {"initiator": {"id": EVIL}, "reason": EVIL}
    audit._print(event, as_json=True)
    printed = capsys.readouterr().out
    assert json.loads(printed) == event
    assert printed.count("\n") == 1
    assert printed.isascii()


def test_what_a_command_logs_of_a_tenants_words_is_as_harmless(
    capsys: pytest.CaptureFixture[str],
) -> None:
    word = EVIL.replace(" ", "")
    log.warning("server.not_seen", server=EVIL, word=word, names=[EVIL], error=[f"{EVIL}\nx"])
    printed = "".join(capsys.readouterr())
    assert "owned" in printed
    assert "\x1b]0" not in printed
    assert not any(letter in printed for letter in ("\x07", "\u202e", "\x9b"))
