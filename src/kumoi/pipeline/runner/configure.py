"""Stage configure, on the runner: each step in turn; the first that fails ends the stage."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from kumoi.pipeline.runner.log import Log
from kumoi.pipeline.runner.programs import TREE, Check, check, in_parallel, run_logged
from kumoi.pipeline.runner.servers import GALAXY, Server, Servers


def configure(job: dict[str, Any], servers: Servers, log: Log) -> list[Check]:
    checks: list[Check] = []
    for step in job["configure"]:
        began_s = time.monotonic()
        if step["ansible"]:
            log.line(f"configure: ansible {step['ansible']}")
            checks += _play(step, servers, log)
        elif not step["on"]:
            log.line(f"configure: {step['run']}")
            checks.append(_run_here(step, servers, log))
        else:
            log.line(f"configure {step['on']}: {step['run']}")
            checks += _run(step, servers)
        log.line(f"took {time.monotonic() - began_s:.1f} s")
        if any(each["outcome"] == "failed" for each in checks):
            break
    return checks


def _run(step: dict[str, Any], servers: Servers) -> list[Check]:
    """On all servers of the group at once; a migration on the first."""
    group = servers.in_group(step["on"])

    def on_server(server: Server) -> Check:
        began_s = time.monotonic()
        servers.copy_sources(server)
        status, output = servers.run(
            server, step["run"], timeout_s=step["timeout_s"], once=step["once"]
        )
        if status != 0:
            output += f"ended with status {status}\n"
        name = step["run"]
        return check("configure", name, server["name"], began_s, failed=status != 0, output=output)

    return in_parallel(on_server, group[:1] if step["once"] else group)


def _run_here(step: dict[str, Any], servers: Servers, log: Log) -> Check:
    """On the runner, in the sources: for tools that reach the servers from there."""
    here = Here("configure", log, step["timeout_s"], servers.here())
    return here.program(step["run"], ["sh", "-c", step["run"]])


def _play(step: dict[str, Any], servers: Servers, log: Log) -> list[Check]:
    """A playbook, from the runner against all servers; first what the repository requires of Galaxy."""
    argv, environment = servers.ansible(step["ansible"], step["on"])
    here = Here("ansible", log, step["timeout_s"], environment)
    checks: list[Check] = []
    for kind in ("collection", "role"):
        required = f"{kind}s/requirements.yml"
        if (TREE / required).exists():
            install = ["ansible-galaxy", kind, "install", "-r", required, "-p", str(GALAXY / kind)]
            checks.append(here.program(f"ansible-galaxy {required}", install))
    if all(each["outcome"] == "passed" for each in checks):
        checks.append(here.program(f"ansible {step['ansible']}", argv))
    return checks


@dataclass(frozen=True)
class Here:
    """How programs of a step run on the runner, in the sources."""

    suite: str
    log: Log
    timeout_s: float
    environment: dict[str, str]

    def program(self, name: str, argv: list[str]) -> Check:
        began_s = time.monotonic()
        status, output = run_logged(
            argv,
            lambda line: self.log.line(line, "runner" if self.suite == "configure" else self.suite),
            timeout_s=self.timeout_s,
            cwd=TREE,
            environment=self.environment,
        )
        if status != 0:
            output += f"ended with status {status}\n"
        return check(self.suite, name, "runner", began_s, failed=status != 0, output=output)
