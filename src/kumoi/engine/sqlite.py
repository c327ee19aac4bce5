"""The SQLite library that opens a store, which must be one that loses no commit.

SQLite before 3.51.3 can lose commits it has acknowledged: where two connections write or checkpoint
a file in WAL mode, one may start the log anew while the other still copies it. Debian 12 has such a
version, so a store is opened by the library that `pysqlite3` brings along. The database,
migrations, backups and tests come through here; `sqlite3` of Python is imported nowhere (ruff says
so).
"""

from __future__ import annotations

from typing import Any

from kumoi.base.errors import Permanent

Version = tuple[int, ...]

WAL_SINCE = (3, 7, 0)
FIXED_SINCE = (3, 51, 3)
FIXED_EARLIER = ((3, 44, 6), (3, 50, 7))  # Older lines to which the fix was ported back.


def loses_commits(version: Version) -> bool:
    """Whether a SQLite of this version has the fault."""
    if any(version[:2] == line[:2] and version >= line for line in FIXED_EARLIER):
        return False
    return WAL_SINCE <= version < FIXED_SINCE


def driver() -> Any:
    """The module that opens stores, for SQLAlchemy's `module`. Raises Permanent when its SQLite has
    the fault.
    """
    from pysqlite3 import dbapi2  # noqa: PLC0415 - a role whose store is PostgreSQL needs no other

    require_fixed(dbapi2.sqlite_version_info)
    return dbapi2


def require_fixed(version: Version) -> None:
    if loses_commits(version):
        found = ".".join(str(part) for part in version)
        raise Permanent(
            f"SQLite {found} can lose what was committed, so no store is opened with it: "
            "install a pysqlite3 of 0.6.1 or newer (rm -r .venv, and kumoi makes it anew)"
        )
