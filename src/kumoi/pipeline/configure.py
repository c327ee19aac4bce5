"""Stage configure: the commands that set the servers up. The runner executes them inside the
tenant; this file writes them into its job and reads its result. Called by run.py.
"""

from __future__ import annotations

from typing import Any

import msgspec

from kumoi.pipeline.environment import EnvironmentFile, seconds
from kumoi.pipeline.store.result import Result

OUTPUT_SHOWN_LINES = 20


def tasks(wanted: EnvironmentFile) -> list[dict[str, Any]]:
    """The steps as the runner's job lists them."""
    return [
        {**msgspec.to_builtins(step), "timeout_s": seconds(step.timeout)}
        for step in wanted.configure
    ]


def failure(result: Result) -> str:
    """Why the stage failed, with the last lines of the step's output; empty when it passed."""
    if result.passed:
        return ""
    for check in result.checks:
        if check["outcome"] == "failed":
            return (
                f"configure: {check['name']} failed on {check['server']}\n{tail(check['output'])}"
            )
    return f"configure: {result.reason or 'failed'}"


def tail(output: str) -> str:
    """The last lines, each indented."""
    lines = output.rstrip().splitlines()[-OUTPUT_SHOWN_LINES:]
    return "\n".join(f"    {line}" for line in lines)
