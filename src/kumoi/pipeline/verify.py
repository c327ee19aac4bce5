"""Stage verify: checks of the configured servers. The runner executes them inside the tenant; this
file writes them into its job and reads its result. Called by run.py.
"""

from __future__ import annotations

from typing import Any

import msgspec

from kumoi.pipeline.build import Built
from kumoi.pipeline.configure import tail
from kumoi.pipeline.environment import EnvironmentFile, seconds
from kumoi.pipeline.store.result import Result

FAILURES_SHOWN_MAX = 5


def tasks(wanted: EnvironmentFile, addresses: Built) -> list[dict[str, Any]]:
    """The checks as the runner's job lists them; one of HTTP with its port and the ends to be asked: a
    balancer by the address that its users have, or each server of a group.
    """
    checks: list[dict[str, Any]] = []
    for check in wanted.verify:
        task = {**msgspec.to_builtins(check), "timeout_s": seconds(check.timeout)}
        http = check.http
        if http is not None:
            balancer = wanted.load_balancers.get(http.on)
            ports = [each.port for each in balancer.listeners] if balancer else []
            task["http"]["within_s"] = seconds(http.within)
            task["http"]["port"] = http.port or [*ports, *_ports(wanted, http.on)][0]
            if balancer:
                address = addresses.floating.get(http.on) or addresses.virtual[http.on]
                task["ends"] = [{"name": http.on, "address": address}]
        checks.append(task)
    return checks


def _ports(wanted: EnvironmentFile, group: str) -> tuple[int, ...]:
    return wanted.servers[group].ports if group in wanted.servers else ()


def failure(result: Result) -> str:
    """Which checks failed, with the last lines of their output; empty when all passed."""
    if result.passed:
        return ""
    failed = [check for check in result.checks if check["outcome"] == "failed"]
    if not failed:
        return f"verify: {result.reason or 'failed'}"
    lines = [f"verify: {len(failed)} of {len(result.checks)} checks failed"]
    for check in failed[:FAILURES_SHOWN_MAX]:
        lines += [f"  {check['server']}: {check['name']}", tail(check["output"])]
    if len(failed) > FAILURES_SHOWN_MAX:
        lines.append(f"  and {len(failed) - FAILURES_SHOWN_MAX} more")
    return "\n".join(line for line in lines if line)
