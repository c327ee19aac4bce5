"""Stage configure, on the runner: each step in turn; the first that fails ends the stage."""

from __future__ import annotations

import time
from typing import Any

from kumoi.pipeline.runner.log import Log
from kumoi.pipeline.runner.programs import TREE, Check, check, in_parallel, run_logged
from kumoi.pipeline.runner.servers import Server, Servers


def configure(job: dict[str, Any], servers: Servers, log: Log) -> list[Check]:
    checks: list[Check] = []
    for step in job["configure"]:
        began_s = time.monotonic()
        if step["ansible"]:
            log.line(f"configure: ansible {step['ansible']}")
            checks.append(_play(step, servers, log))
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


def _play(step: dict[str, Any], servers: Servers, log: Log) -> Check:
    """A playbook, from the runner against all servers."""
    began_s = time.monotonic()
    argv, environment = servers.ansible(step["ansible"], step["on"])
    status, output = run_logged(
        argv,
        lambda line: log.line(line, "ansible"),
        timeout_s=step["timeout_s"],
        cwd=TREE,
        environment=environment,
    )
    if status != 0:
        output += f"ended with status {status}\n"
    name = f"ansible {step['ansible']}"
    return check("ansible", name, "runner", began_s, failed=status != 0, output=output)
