"""What our processes and the engines hold, as `kumoi status` counts it (PSS)."""

from __future__ import annotations

import json
import sys

from bench.measure import Figure
from kumoi.base.process import run


def figures(name: str, state_dir: str) -> list[Figure]:
    status = json.loads(
        run(
            [
                sys.executable,
                "-m",
                "kumoi.main",
                "status",
                "--json",
                "--name",
                name,
                "--state-dir",
                state_dir,
            ]
        ).out
    )
    ours = [row["memory_kib"] / 1024 for row in status["processes"] if row["kind"] != "engine"]
    engines = [row["memory_kib"] / 1024 for row in status["processes"] if row["kind"] == "engine"]
    return [
        Figure("memory (PSS) of our own processes", [sum(ours)], "MiB", 300),
        Figure("with OVN and OVS", [sum(ours) + sum(engines)], "MiB", 450),
    ]
