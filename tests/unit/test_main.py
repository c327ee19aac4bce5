from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kumoi import main
from kumoi.base.process import run


def test_a_process_that_runs_all_the_time_has_no_printers_of_tables(tmp_path: Path) -> None:
    """Libraries would import them, for people who look at a terminal: 4 MiB of each, and ours as much for its log."""
    command = [sys.executable, "-X", "importtime", "-m", "kumoi.main"]
    told = run([*command, "role", "fence", "--config", tmp_path / "none"], check=False).err
    imported = {line.rpartition("|")[2].strip() for line in told.splitlines()}
    assert "kumoi.base.log" in imported
    assert not {"rich.console", "pygments.lexers", "structlog", "argparse", "gettext"} & imported


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["role", "fence"], "say role [WORD] --config DIRECTORY"),
        (["role", "nobody", "--config", "/s"], "there is no role nobody: agent, api"),
        (["store", "--config"], "say store"),
    ],
)
def test_what_kumoi_says_to_itself_is_read_strictly(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(words) == main.EXIT_FAILED
    assert said in capsys.readouterr().err
    assert main.told(["supervise", "--config", "/s", "--only-engines"]) == main.Told(
        "", Path("/s"), only_engines=True
    )


@pytest.mark.parametrize(
    ("code", "left_out"),
    [
        (
            "from kumoi import main; main.leave_out(); import kumoi.engine.http.serving",
            {"click", "multiprocessing.process"},
        ),
        (
            "from kumoi.hosts.cluster.patroni import leave_out_dns as f; f(); import patroni.dcs.etcd3",
            {"dns.query"},
        ),
        (
            "import kumoi.cloud.worker",
            {"httpx", "cryptography", "pysqlite3"},
        ),
        (
            "import kumoi.hosts.cluster.copy_server, kumoi.pipeline.repository_copies",
            {"httpx", "cryptography", "yaml"},
        ),
        (
            "from kumoi import main; main.leave_out(); import kumoi.cloud.agent.serve",
            {"pyroute2", "sqlalchemy", "click"},
        ),
        ("import kumoi.cloud.api.serve", {"httpx"}),
        ("import kumoi.cloud.drivers.image.inspector", {"oslo_utils"}),
        ("import kumoi.hosts.units.supervisor", {"asyncio", "ssl"}),
    ],
    ids=["serving", "patroni", "worker", "copies", "agent", "api", "inspector", "supervisor"],
)
def test_a_role_imports_only_what_it_needs_at_rest(code: str, left_out: set[str]) -> None:
    told = run([sys.executable, "-c", f"{code}; import sys; print(*sys.modules)"]).out.split()
    assert not left_out & set(told)
