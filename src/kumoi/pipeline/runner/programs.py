"""Programs that the runner starts, and what it reports of them. Elsewhere only base/process.py starts
programs; this runs in the tenant, and is not part of our processes.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, TypeVar

from kumoi.pipeline.runner.mask import MASK

HOME = Path(os.environ.get("KUMOI_RUNNER_HOME", "/var/lib/kumoi-runner"))
TREE = HOME / "tree"
OUTPUT_MAX = 8_000
LINE_MAX = 8_192
PARALLEL_MAX = 16

_running: set[int] = set()

Check = dict[str, Any]
Item = TypeVar("Item")
Result = TypeVar("Result")


def run_logged(
    argv: Sequence[str],
    line: Callable[[str], None],
    *,
    timeout_s: float,
    cwd: Path | None = None,
    environment: dict[str, str] | None = None,
    given: str = "",
) -> tuple[int, str]:
    """Run a program to its end and pass each line of its output to `line`, without secrets. Its status,
    and the last OUTPUT_MAX characters. When its time is over it is ended, with all that it started.
    `given` is its standard input.
    """
    output, held, late = "", "", threading.Event()
    with (
        _in_memory(given) as stdin,
        subprocess.Popen(
            argv,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        ) as program,
    ):
        _running.add(program.pid)

        def end() -> None:
            late.set()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)

        timer = threading.Timer(timeout_s, end)
        timer.start()
        out = program.stdout
        while out is not None and (raw := out.readline(LINE_MAX)):
            text = held + raw.decode(errors="replace")
            shown: str | None
            if text.endswith("\n"):
                shown, held = MASK.line(text.rstrip("\r\n")), ""
            else:  # The line goes on, and so may a secret.
                begun, held = MASK.split(text)
                shown = begun or None
            if shown is not None:
                output += shown + "\n" * (not held)
                if len(output) > 2 * OUTPUT_MAX:  # Not at every line: a step may print a gigabyte.
                    output = output[-OUTPUT_MAX:]
                line(shown)
        if held and (shown := MASK.line(held)):
            output += shown
            line(shown)
        status = program.wait()
        _running.discard(program.pid)
        timer.cancel()
    output = output[-OUTPUT_MAX:]
    if late.is_set():
        output += f"took longer than {timeout_s:g} s and was ended\n"
    return status, output


def _in_memory(text: str) -> IO[bytes]:
    """A file on no disk, at its beginning: unlike a pipe it takes the whole text at once."""
    file = os.fdopen(os.memfd_create("given"), "w+b")
    file.write(text.encode())
    file.seek(0)
    return file


def end_all() -> None:
    """End every program that runs, with all that it started."""
    for pid in list(_running):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def check(
    suite: str, name: str, server: str, began_s: float, *, failed: bool, output: str
) -> Check:
    return {
        "suite": suite,
        "name": name,
        "server": server,
        "seconds": round(time.monotonic() - began_s, 3),
        "outcome": "failed" if failed else "passed",
        "output": tail(output),
    }


def tail(text: str) -> str:
    """The end of a text that goes into a result, without secrets."""
    return MASK.text(text)[-OUTPUT_MAX:]


def in_parallel(call: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    if not items:
        return []
    with ThreadPoolExecutor(PARALLEL_MAX) as pool:
        return list(pool.map(call, items))
