"""Migrates a store's tables. Called once per start by `kumoi up`, never by a role: roles of
versions N and N-1 work on the same tables.

A store's migrations are a folder with `env.py` (one call of `environment`) and `versions/`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command, context
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import event

from kumoi import __version__
from kumoi.engine import schema_check, sqlite
from kumoi.engine.db import WRITER_LOCK, error_of
from kumoi.engine.schema_check import SchemaStep

OWNER_AND_GROUP = 0o660  # The bits of a store's mode that may stay.
LOCK_TIMEOUT_MS = 60_000


def upgrade(url: str, folder: Path, *, to: str = "head") -> None:
    """Run the missing migrations, all or none; another process that does so meanwhile waits. Leaves
    a newer store that this release can work on as it is; raises Permanent for one that it cannot.
    """
    try:
        _upgrade(url, folder, to)
    except sa.exc.SQLAlchemyError as cause:
        error = error_of(cause, "migrate the store", sa.make_url(url))
        if error is None:
            raise
        raise error from cause


def _upgrade(url: str, folder: Path, to: str) -> None:
    reading = engine(url)
    try:
        with reading.connect() as connection:
            newer = schema_check.is_newer(connection, folder)
    finally:
        reading.dispose()
    if not newer:
        config = Config()
        config.set_main_option("script_location", str(folder))
        config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
        command.upgrade(config, to)


def keep_private(url: str) -> None:
    """Close a store that is a file, and the files that SQLite makes beside it, to all but owner and
    group. A new one is its owner's only.
    """
    path = sa.make_url(url).database if url.startswith("sqlite") else None
    if path:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch(mode=0o600)
        for suffix in ("", "-wal", "-shm"):
            beside = Path(path + suffix)
            if beside.exists():
                beside.chmod(beside.stat().st_mode & OWNER_AND_GROUP)


def migration_of(connection: sa.Connection) -> str:
    """The newest migration that has run on a database; empty when none has."""
    return MigrationContext.configure(connection).get_current_revision() or ""


def environment(metadata: sa.MetaData) -> None:
    """The whole of a store's `env.py`, which Alembic runs."""
    migrating = engine(str(context.config.get_main_option("sqlalchemy.url")))
    with migrating.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=metadata,
            transactional_ddl=True,
            include_name=is_ours,
            user_module_prefix="",  # In a new migration, which imports our types.
        )
        with context.begin_transaction():
            if connection.dialect.name != "sqlite":
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITER_LOCK})")
            context.run_migrations()
            migrations = [
                migration
                for head in MigrationContext.configure(connection).get_current_heads()
                for migration in context.script.iterate_revisions(head, "base")
            ]
            schema_check.record(
                connection,
                (
                    SchemaStep(each.revision, __version__, getattr(each.module, "contract", ""))
                    for each in migrations
                ),
            )


def is_ours(name: str | None, *_: Any) -> bool:
    """Whether the code's tables have a table or column of that name; schema_check.py has its own."""
    return name != schema_check.schema_step.name


def engine(url: str) -> sa.Engine:
    """SQLite's driver begins no transaction before CREATE TABLE, so this engine sends BEGIN itself:
    a migration that is cut short leaves nothing behind, and can run again.
    """
    if not url.startswith("sqlite"):
        return sa.create_engine(url, poolclass=sa.pool.NullPool, hide_parameters=True)
    made = sa.create_engine(
        url, module=sqlite.driver(), poolclass=sa.pool.NullPool, hide_parameters=True
    )
    wait = f"PRAGMA busy_timeout = {LOCK_TIMEOUT_MS}"

    @event.listens_for(made, "connect")
    def _connected(raw: Any, _record: object) -> None:
        raw.isolation_level = None
        raw.execute(wait)

    @event.listens_for(made, "begin")
    def _begun(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return made
