"""Measure, and say it: the median and the 99th percentile, beside the target."""

from __future__ import annotations

import contextlib
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

FIRST = -15  # As nice(1) counts.


@dataclass(frozen=True, slots=True)
class Figure:
    """`values` are samples in `unit`; `target` is the most they may be, or with `at_least` the
    least; None where there is none.
    """

    what: str
    values: Sequence[float]
    unit: str
    target: float | None = None
    at_least: bool = False

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def p99(self) -> float:
        ordered = sorted(self.values)
        return ordered[min(len(ordered) - 1, round(0.99 * len(ordered)))]

    @property
    def is_met(self) -> bool | None:
        if self.target is None:
            return None
        return self.median >= self.target if self.at_least else self.median <= self.target


def timed(act: Callable[[], object], times: int) -> list[float]:
    """Milliseconds of each of several calls, after one that does not count."""
    act()
    samples = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        samples.append((time.perf_counter() - began) * 1000)
    return samples


def come_first() -> None:
    """Before all else on the machine, where we are root: what others do there is not measured."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, FIRST)


def until(level: Callable[[], bool], *, within_s: float, pause_s: float = 0.005) -> None:
    """Wait for a level. Raises TimeoutError."""
    end = time.monotonic() + within_s
    while not level():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {within_s:g} s")
        time.sleep(pause_s)


def machine() -> str:
    """One line that says what this was measured on."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in info if "model name" in line), "")
    memory_kib = int(Path("/proc/meminfo").read_text().split()[1])
    return (
        f"{os.cpu_count()} × {model}, {memory_kib / 1024**2:.0f} GiB, "
        f"Linux {platform.release()}, Python {platform.python_version()}"
    )


def show(figures: Sequence[Figure]) -> None:
    """The table, as people read it and as the README quotes it."""
    table = Table(title=machine(), title_justify="left", box=None, pad_edge=False)
    for heading in ("what", "median", "p99", "samples", "goal", ""):
        table.add_column(heading, justify="left" if heading in ("what", "") else "right")
    for figure in figures:
        sign = {True: "[green]reached[/]", False: "[red]missed[/]", None: ""}[figure.is_met]
        target = (
            "" if figure.target is None else f"{'≥' if figure.at_least else '≤'} {figure.target:g}"
        )
        table.add_row(
            figure.what,
            f"{figure.median:.3g} {figure.unit}",
            f"{figure.p99:.3g}" if len(figure.values) > 1 else "",
            str(len(figure.values)),
            target,
            sign,
        )
    Console(width=110, highlight=False).print(table)
