"""Steps that never end, or never stop to print: the runner ends them, and keeps what can be read."""

from __future__ import annotations

import resource
import time
from typing import Any

import pytest

from kumoi.pipeline.runner import log, programs

GIGABYTE = 1 << 30
MORE_MEMORY_MAX_KIB = 100 << 10


class Pipeline:
    """Takes what is posted."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def post(self, _path: str, body: dict[str, Any]) -> None:
        self.texts.append(body["text"])


def logged() -> tuple[log.Log, Pipeline]:
    pipeline = Pipeline()
    return log.Log(pipeline, lambda: None), pipeline  # type: ignore[arg-type]


def test_a_step_that_loops_for_ever_is_ended_with_all_that_it_started() -> None:
    script = "sleep 1000 & echo $!; while :; do sleep 0.1; done"
    lines: list[str] = []
    status, output = programs.run_logged(["sh", "-c", script], lines.append, timeout_s=1)
    assert status == -9
    assert output.endswith("took longer than 1 s and was ended\n")
    deadline = time.monotonic() + 60
    while _runs(lines[0]):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _runs(pid: str) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123 - it may go while it is read
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("script", ["head -c {size} /dev/zero", "yes | head -c {size}"])
@pytest.mark.timeout(400)
def test_a_step_that_prints_a_gigabyte_costs_no_memory_and_is_told(
    script: str, capsys: pytest.CaptureFixture[str]
) -> None:
    size = GIGABYTE if "zero" in script else GIGABYTE // 512  # Lines of two bytes each.
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    own, pipeline = logged()
    status, output = programs.run_logged(
        ["sh", "-c", script.format(size=size)], own.line, timeout_s=380
    )
    own.flush()
    own.line("the end")
    own.flush()
    assert status == 0
    assert len(output) <= programs.OUTPUT_MAX
    sent = sum(map(len, pipeline.texts))
    assert sent <= log.BUFFER_MAX + 2 * programs.LINE_MAX
    assert " lines are left out]\n" in pipeline.texts[-1]
    assert pipeline.texts[-1].endswith("the end\n")
    after_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after_kib - before_kib < MORE_MEMORY_MAX_KIB
    assert len(capsys.readouterr().out) <= sent


def test_what_nobody_would_keep_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "TOTAL_MAX", 1_000)
    own, pipeline = logged()
    for _ in range(100):
        own.line("x" * 100)
        own.flush()
    assert sum(map(len, pipeline.texts)) < 1_200
