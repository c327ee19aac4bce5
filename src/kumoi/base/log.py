"""One JSON line per change of state, on standard error: `noun.verb_past`, ids, duration.

Request, flow, host and generation are bound once with `bound` and appear on every line below it. What
runs all the time writes its lines by itself; only commands, whose lines are for people, have structlog
for that, which is larger than all of this.
"""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import threading
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Protocol, TextIO

from kumoi.base.errors import chain
from kumoi.base.text import printable

Line = dict[str, Any]
_BOUND: ContextVar[Mapping[str, Any]] = ContextVar("bound", default=MappingProxyType({}))


class _LineWriter(Protocol):
    least: int
    """Of `logging`'s levels; lines below it are none."""

    def write(self, level: str, line: Line) -> None: ...


class _ForPeople:
    """Until `set_up`, as in commands, lines are for people, who read what went wrong: of the rest commands tell in their
    own words. Standard output is a command's answer.
    """

    least = logging.WARNING

    def write(self, level: str, line: Line) -> None:
        """What a tenant named steers no terminal: of a word without spaces the renderer prints the letters."""
        from structlog import PrintLogger  # noqa: PLC0415 - see above
        from structlog.dev import ConsoleRenderer  # noqa: PLC0415

        fields = {
            name: printable(value) if isinstance(value, str) else value
            for name, value in line.items()
        }
        at = f"{datetime.now():%Y-%m-%d %H:%M:%S}"  # noqa: DTZ005 - by the clock on the wall
        shown = ConsoleRenderer()(None, level, {**fields, "level": level, "timestamp": at})
        PrintLogger(sys.stderr).msg(shown)


class _ForPrograms:
    """Lines that cannot be written, as on a full disk, are lost: what they tell of goes on."""

    def __init__(self, role: str, stream: TextIO, least: int) -> None:
        self.least = least
        self._role = role
        self._stream = stream
        self._lock = threading.Lock()

    def write(self, level: str, line: Line) -> None:
        at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        whole = {**line, "role": self._role, "level": level, "timestamp": at}
        text = json.dumps(whole, default=str)
        with self._lock, contextlib.suppress(OSError):
            self._stream.write(f"{text}\n")
            self._stream.flush()


class _Captured:
    least = logging.NOTSET

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def write(self, level: str, line: Line) -> None:
        self.lines.append({**line, "level": level})


class _Log:
    """Of this process."""

    writer: _LineWriter = _ForPeople()


def set_up(role: str, *, stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Once per process, by main.py. Library warnings come through as events of their own."""
    _Log.writer = _ForPrograms(role, stream or sys.stderr, level)
    logging.basicConfig(level=logging.WARNING, handlers=[_Bridge()], force=True)


def event(name: str, **fields: Any) -> None:
    """Log a change of state: `event("server.created", server=id)`."""
    _write(logging.INFO, name, fields)


def warning(name: str, **fields: Any) -> None:
    _write(logging.WARNING, name, fields)


def failure(name: str, error: BaseException, **fields: Any) -> None:
    """Log an error with its whole chain, once, in the outermost loop."""
    _write(logging.ERROR, name, {"error": chain(error), **fields})


@contextlib.contextmanager
def bound(**fields: Any) -> Iterator[None]:
    """Adds the fields to every line that is logged inside."""
    token = _BOUND.set({**_BOUND.get(), **fields})
    try:
        yield
    finally:
        _BOUND.reset(token)


@contextlib.contextmanager
def captured() -> Iterator[list[Line]]:
    """All that is logged inside, by any thread, goes there alone. For tests."""
    writer = _Captured()
    before, _Log.writer = _Log.writer, writer
    try:
        yield writer.lines
    finally:
        _Log.writer = before


def _write(level: int, name: str, fields: Line) -> None:
    writer = _Log.writer
    if level >= writer.least:
        line = {**fields, "event": name}
        for field, value in _BOUND.get().items():
            line.setdefault(field, value)
        writer.write(logging.getLevelName(level).lower(), line)


class _Bridge(logging.Handler):
    """Turns records of Python's own logging, which libraries use, into our lines."""

    def emit(self, record: logging.LogRecord) -> None:
        fields = {"logger": record.name}
        if record.exc_info and record.exc_info[1] is not None:
            failure("library.failed", record.exc_info[1], text=record.getMessage(), **fields)
        else:
            warning("library.warned", text=record.getMessage(), **fields)
