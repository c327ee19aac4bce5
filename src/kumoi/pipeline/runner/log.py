"""The run's log, sent to the pipeline in numbered batches while the runner works."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable

from kumoi.pipeline.runner.mask import MASK
from kumoi.pipeline.runner.wire import PipelineClient, Stopped

FLUSH_EVERY_S = 0.5
ALIVE_EVERY_S = 10.0
BATCH_MAX = 65_536
BUFFER_MAX = 4 << 20
TOTAL_MAX = 10 << 20  # More than the pipeline keeps.


class Log:
    """Sends log lines to the pipeline in numbered batches. Lines that come faster than they can be sent
    are left out, and counted in their place; so are all after TOTAL_MAX, of which nobody keeps any.
    """

    def __init__(self, pipeline: PipelineClient, on_stopped: Callable[[], None]) -> None:
        self._pipeline = pipeline
        self._on_stopped = on_stopped
        self._waiting: list[str] = []
        self._size = 0
        self._total = 0
        self._left_out = 0
        self._sequence = 0
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def line(self, text: str, server: str = "") -> None:
        with self._lock:
            if self._size >= BUFFER_MAX or self._total >= TOTAL_MAX:
                self._left_out += 1
                return
            stamp = time.strftime("%H:%M:%S", time.gmtime())
            text = MASK.text(text)
            whole = f"{stamp} [{server}] {text}\n" if server else f"{stamp} {text}\n"
            if self._left_out:
                whole = f"{stamp} [{self._left_out} lines are left out]\n{whole}"
                self._left_out = 0
            self._waiting.append(whole)
            self._size += len(whole)
            self._total += len(whole)
        sys.stdout.write(whole)

    def flush(self) -> None:
        """Send all lines now. Only one thread sends at a time, so batches arrive in order."""
        with self._sending:
            while True:
                with self._lock:
                    text = "".join(self._waiting)
                    batch, rest = text[:BATCH_MAX], text[BATCH_MAX:]
                    self._waiting, self._size = [rest], len(rest)
                if not batch:
                    return
                self._sequence += 1
                self._pipeline.post("log", {"sequence": self._sequence, "text": batch})

    def end(self) -> None:
        self._ended.set()
        self._thread.join(timeout=30)
        self.flush()

    def _run(self) -> None:
        alive_s = time.monotonic()
        while not self._ended.wait(FLUSH_EVERY_S):
            try:
                self.flush()
                if time.monotonic() - alive_s > ALIVE_EVERY_S:
                    self._pipeline.post("log", {"sequence": 0, "text": ""})
                    alive_s = time.monotonic()
            except Stopped:
                self._on_stopped()  # The run has ended without us; whatever still runs is useless.
