"""Whether this release can work on a store's tables as they are now.

Each migration leaves a row beside Alembic's own: which release brought it, and the oldest release
that works on the tables after it. One that only expands needs none; one that contracts says which
(`contract = "0.3.0"`: since that release nothing reads what goes). So a role of the release before,
whose own migrations know nothing of it, bears a newer store or refuses it in words.

Written by migrate.py, asked by every role when it starts. It must not import Alembic, which a role
has no other use for.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi import __version__
from kumoi.base import log
from kumoi.base.errors import Permanent
from kumoi.base.release import numbers

REVISION_DIGITS = 4  # A migration's file begins with its revision; a guard says so.

metadata = sa.MetaData()
schema_step = sa.Table(
    "schema_step",
    metadata,
    sa.Column("revision", sa.String(32), primary_key=True),
    sa.Column("release", sa.String(32), nullable=False),
    sa.Column("needs", sa.String(32), nullable=False),  # Empty: any release.
)
ALEMBICS = sa.table("alembic_version", sa.column("version_num", sa.String))


@dataclass(frozen=True, slots=True)
class Step:
    """A migration that a store has had. `needs` is the oldest release that works after it."""

    revision: str
    release: str
    needs: str


def revisions(folder: Path) -> set[str]:
    """Those that this release knows."""
    found = (folder / "versions").glob("[0-9]*.py")
    return {path.name[:REVISION_DIGITS] for path in found}


def record(connection: Connection, steps: Iterable[Step]) -> None:
    """Add those that are new, in the transaction that migrates."""
    metadata.create_all(connection)
    there = set(connection.execute(sa.select(schema_step.c.revision)).scalars())
    for step in steps:
        if step.revision not in there:
            row = {"revision": step.revision, "release": step.release, "needs": step.needs}
            connection.execute(sa.insert(schema_step).values(**row))


def is_newer(connection: Connection, folder: Path, *, release: str = __version__) -> bool:
    """Whether the store has had migrations that this release does not know, all of which it can
    bear. Raises Permanent with what to install when it cannot.
    """
    known = revisions(folder)
    unknown = [step for step in _steps(connection) if step.revision not in known]
    barred = [step for step in unknown if step.needs and numbers(step.needs) > numbers(release)]
    if barred:
        needs = max((step.needs for step in barred), key=numbers)
        newest = max((step.release for step in unknown), key=numbers)
        raise Permanent(
            f"the store is of release {newest} and no longer has what {release} reads: "
            f"install {needs} or newer, best {newest}"
        )
    return bool(unknown)


def require(connection: Connection, folder: Path, *, release: str = __version__) -> None:
    """For a role that starts. Raises Permanent when the store is too new or too old."""
    if is_newer(connection, folder, release=release):
        log.event("store.newer_borne", release=release)
        return
    newest = max(revisions(folder))
    if _current(connection) != newest:
        raise Permanent(
            f"the store lacks tables of release {release}: "
            "the `kumoi up` of that release brings them, before its roles start"
        )


def _steps(connection: Connection) -> list[Step]:
    if not sa.inspect(connection).has_table(schema_step.name):
        return []
    rows = connection.execute(sa.select(schema_step).order_by(schema_step.c.revision))
    return [Step(**row) for row in rows.mappings()]


def _current(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table(ALEMBICS.name):
        return None
    return connection.execute(sa.select(ALEMBICS.c.version_num)).scalar()
