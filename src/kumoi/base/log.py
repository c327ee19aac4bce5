"""One JSON line per change of state, on standard error: `noun.verb_past`, ids, duration.

Request, flow, host and generation are bound once with `bound` and appear on every line below it.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast

import structlog
from structlog.typing import EventDict

from kumoi.base.errors import chain
from kumoi.base.text import printable


def _for_a_terminal(_logger: object, _level: str, fields: EventDict) -> EventDict:
    """What a tenant named steers no terminal: of a word without spaces the renderer prints the letters."""
    return {
        name: printable(value) if isinstance(value, str) else value
        for name, value in fields.items()
    }


# Until `set_up`, as in commands, lines are for people, who read what went wrong: of the rest commands tell
# in their own words. Standard output is a command's answer.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False),
        _for_a_terminal,
        structlog.dev.ConsoleRenderer(),
    ],
    wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
    logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
)


def set_up(role: str, *, stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Once per process, by main.py. Library warnings come through as events of their own."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _Lossy(stream or sys.stderr))),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(role=role)
    logging.basicConfig(level=logging.WARNING, handlers=[_Bridge()], force=True)


def event(name: str, **fields: Any) -> None:
    """Log a change of state: `event("server.created", server=id)`."""
    structlog.get_logger().info(name, **fields)


def warning(name: str, **fields: Any) -> None:
    structlog.get_logger().warning(name, **fields)


def failure(name: str, error: BaseException, **fields: Any) -> None:
    """Log an error with its whole chain, once, in the outermost loop."""
    structlog.get_logger().error(name, error=chain(error), **fields)


@contextlib.contextmanager
def bound(**fields: Any) -> Iterator[None]:
    """Adds the fields to every line that is logged inside."""
    with structlog.contextvars.bound_contextvars(**fields):
        yield


class _Lossy(io.TextIOBase):
    """Lines that cannot be written, as on a full disk, are lost: what they tell of goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


class _Bridge(logging.Handler):
    """Turns records of Python's own logging, which libraries use, into our lines."""

    def emit(self, record: logging.LogRecord) -> None:
        fields = {"logger": record.name}
        if record.exc_info and record.exc_info[1] is not None:
            failure("library.failed", record.exc_info[1], text=record.getMessage(), **fields)
        else:
            warning("library.warned", text=record.getMessage(), **fields)
