"""Whether this release can work on a store's tables as they are now.

For each migration the store has a row of ours: which release brought it, and the oldest release
that works on the tables after it. A migration that only expands sets no oldest release; one that
contracts does (`contract = "0.3.0"`: since that release nothing reads what goes). So a role of the
release before, whose own migrations know nothing of it, works on a newer store or refuses it in
words.

migrate.py writes the rows, and every role reads them when it starts. This file must not import
Alembic, which a role has no other use for.
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
alembic_version = sa.table("alembic_version", sa.column("version_num", sa.String))


@dataclass(frozen=True, slots=True)
class SchemaStep:
    """A migration that has run on a store. `needs` is the oldest release that works after it."""

    revision: str
    release: str
    needs: str


def revisions(folder: Path) -> set[str]:
    """The migrations that this release knows."""
    found = (folder / "versions").glob("[0-9]*.py")
    return {path.name[:REVISION_DIGITS] for path in found}


def record(connection: Connection, steps: Iterable[SchemaStep]) -> None:
    """Add the rows of new migrations, in the transaction that migrates."""
    metadata.create_all(connection)
    recorded = set(connection.execute(sa.select(schema_step.c.revision)).scalars())
    for step in steps:
        if step.revision not in recorded:
            row = {"revision": step.revision, "release": step.release, "needs": step.needs}
            connection.execute(sa.insert(schema_step).values(**row))


def is_newer(connection: Connection, folder: Path, *, release: str = __version__) -> bool:
    """Whether migrations have run on the store that this release does not know but can work with.
    Raises Permanent, with the release to install, when it cannot.
    """
    if not sa.inspect(connection).has_table(schema_step.name):
        return False
    rows = connection.execute(sa.select(schema_step).order_by(schema_step.c.revision)).mappings()
    known = revisions(folder)
    unknown = [SchemaStep(**row) for row in rows if row["revision"] not in known]
    too_new = [step for step in unknown if step.needs and numbers(step.needs) > numbers(release)]
    if too_new:
        needs = max((step.needs for step in too_new), key=numbers)
        newest = max((step.release for step in unknown), key=numbers)
        raise Permanent(
            f"the store is of release {newest} and no longer has what {release} reads: "
            f"install {needs} or newer, best {newest}"
        )
    return bool(unknown)


def require(connection: Connection, folder: Path, *, release: str = __version__) -> None:
    """Called by a role that starts. Raises Permanent when the store is too new or too old."""
    if is_newer(connection, folder, release=release):
        log.event("store.newer_borne", release=release)
        return
    current = None
    if sa.inspect(connection).has_table(alembic_version.name):
        current = connection.execute(sa.select(alembic_version.c.version_num)).scalar()
    if current != max(revisions(folder)):
        raise Permanent(
            f"the store lacks tables of release {release}: "
            "the `kumoi up` of that release brings them, before its roles start"
        )
