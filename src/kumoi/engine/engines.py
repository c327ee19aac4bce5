"""SQLAlchemy's engines, set up as db.py needs them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Engine

from kumoi.engine import sqlite
from kumoi.engine.outage import serves_no_more
from kumoi.engine.wake import CONNECT

BUSY_TIMEOUT_MS = 10_000  # How long a writer waits for those of other processes.
POOL_SIZE = 16
DATA_EXCEPTION = "22"  # A class of SQLSTATE.


def sqlite_engine(url: sa.URL) -> Engine:
    engine = sa.create_engine(
        url,
        module=sqlite.driver(),
        pool_size=POOL_SIZE,
        max_overflow=POOL_SIZE,
        connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_MS / 1000},
        hide_parameters=True,  # In errors, and so in logs: they may be secrets.
    )

    @event.listens_for(engine, "connect")
    def _connected(raw: Any, _record: object) -> None:
        raw.isolation_level = None  # The driver sends no BEGIN; Database does.
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",  # An acknowledged write survives a power cut.
            f"busy_timeout = {BUSY_TIMEOUT_MS}",
            "foreign_keys = ON",
        ):
            raw.execute(f"PRAGMA {pragma}")

    return engine


def postgres_engine(url: sa.URL) -> Engine:
    """In autocommit, as SQLite's: the driver sends no BEGIN, Database does."""
    engine = sa.create_engine(
        url,
        pool_size=POOL_SIZE,
        max_overflow=POOL_SIZE,
        pool_timeout=BUSY_TIMEOUT_MS / 1000,
        isolation_level="AUTOCOMMIT",
        connect_args={**CONNECT, "options": f"-c lock_timeout={BUSY_TIMEOUT_MS}"},
        hide_parameters=True,
    )

    @event.listens_for(engine, "handle_error")
    def _failed(context: sa.engine.ExceptionContext) -> None:
        if serves_no_more(context.original_exception):
            context.is_disconnect = True
        _hide_values(context)

    return engine


def _hide_values(context: sa.engine.ExceptionContext) -> None:
    """PostgreSQL tells values of its own accord: in the detail of a constraint's error, and in the
    message of one about data.
    """
    error, state = context.original_exception, getattr(context.original_exception, "sqlstate", None)
    if not state:
        return
    about_data = str(state).startswith(DATA_EXCEPTION)
    message = None if about_data else getattr(error, "diag").message_primary  # noqa: B009 - psycopg's
    error.args = (message or f"SQLSTATE {state}",)
    if context.sqlalchemy_exception is not None:
        context.sqlalchemy_exception.args = (f"({type(error).__name__}) {error.args[0]}",)
