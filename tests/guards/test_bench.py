"""`kumoi bench` runs where a cloud is up, with what `up` installed and nothing of developers."""

from __future__ import annotations

import sys
from pathlib import Path

from kumoi.base import process

ROOT = Path(__file__).parents[2]
OF_DEVELOPERS = ("pytest", "xdist", "coverage", "mypy", "docutils")


def test_the_bench_needs_no_package_of_developers() -> None:
    script = (
        f"import sys; sys.modules.update(dict.fromkeys({OF_DEVELOPERS})); import bench.__main__"
    )
    where = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    process.run([sys.executable, "-c", script], cwd=ROOT, env=where, timeout_s=60)
