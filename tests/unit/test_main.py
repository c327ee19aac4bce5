from __future__ import annotations

import sys
from pathlib import Path

from kumoi.base.process import run


def test_a_process_that_runs_all_the_time_has_no_printers_of_tables(tmp_path: Path) -> None:
    """Libraries would import them, for people who look at a terminal: 4 MiB of each."""
    command = [sys.executable, "-X", "importtime", "-m", "kumoi.main"]
    told = run([*command, "role", "fence", "--config", tmp_path / "none"], check=False).err
    imported = {line.rpartition("|")[2].strip() for line in told.splitlines()}
    assert "structlog.dev" in imported
    assert not {"rich.console", "pygments.lexers"} & imported
