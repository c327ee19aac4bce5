"""Stage verify: checks of the configured servers. The runner executes them inside the tenant; this
file writes them into its job and reads its result. Called by run.py.
"""

from __future__ import annotations

from typing import Any

import msgspec

from kumoi.pipeline.configure import tail
from kumoi.pipeline.environment import EnvironmentFile
from kumoi.pipeline.store.result import Result

FAILURES_SHOWN_MAX = 5


def tasks(wanted: EnvironmentFile) -> list[dict[str, Any]]:
    """The checks as the runner's job lists them, each with its port."""
    checks = [msgspec.to_builtins(check) for check in wanted.verify]
    for check in checks:
        http = check["http"]
        if http and not http["port"]:
            http["port"] = wanted.servers[http["on"]].ports[0]
    return checks


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
