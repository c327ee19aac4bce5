"""What the guards know of migrations: where they are, what SQL they say, and which are released.

Run as a program at a release, it adds those that are not yet in the list:
`PYTHONPATH=src:. .venv/bin/python -m tests.guards.migrations`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations

from kumoi import __version__
from kumoi.cloud.store import migrations as cloud
from kumoi.engine import migrate
from kumoi.pipeline.store import migrations as pipeline

LIST = Path(__file__).parent / "released_migrations.txt"
STORES = {"cloud": cloud.FOLDER, "pipeline": pipeline.FOLDER}
COLUMN = r'"?\w+"? '
EXPANDS = [
    re.compile(pattern)
    for pattern in (
        r"CREATE TABLE ",
        r"CREATE INDEX ",
        rf"ALTER TABLE {COLUMN}ADD COLUMN (?!.*(NOT NULL|UNIQUE|PRIMARY KEY))",
        rf"ALTER TABLE {COLUMN}ADD COLUMN (?!.*(UNIQUE|PRIMARY KEY)).* DEFAULT ",
        r"INSERT INTO ",
        rf"UPDATE {COLUMN}SET ",
    )
]


@dataclass(frozen=True, slots=True)
class Migration:
    store: str
    path: Path

    @property
    def name(self) -> str:
        return f"{self.store}/{self.path.name}"

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def module(self) -> ModuleType:
        spec = importlib.util.spec_from_file_location(self.path.stem, self.path)
        if spec is None or spec.loader is None:
            raise ImportError(self.name)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


def every() -> list[Migration]:
    return [
        Migration(store, path)
        for store, folder in STORES.items()
        for path in sorted((folder / "versions").glob("[0-9]*.py"))
    ]


def differences(url: str, metadata: sa.MetaData) -> list[str]:
    """How the tables in the code differ from those of a migrated database, sorted."""
    engine = migrate.engine(url)
    try:
        with engine.connect() as connection:
            options = {"include_name": migrate.is_ours}
            migrated = MigrationContext.configure(connection, opts=options)
            found = compare_metadata(migrated, metadata)
    finally:
        engine.dispose()
    return sorted(str(difference) for difference in found)


def statements(module: ModuleType) -> list[str]:
    """The SQL of its upgrade, each on one line, as PostgreSQL is told it."""
    out = io.StringIO()
    offline = {"as_sql": True, "output_buffer": out}
    context = MigrationContext.configure(dialect_name="postgresql", opts=offline)
    with Operations.context(context):
        module.upgrade()
    return [line for each in out.getvalue().split(";\n") if (line := " ".join(each.split()))]


def beyond_expanding(module: ModuleType) -> list[str]:
    """What of it a process of the release before may not survive. A table that the migration makes
    itself may have any rule.
    """
    said = statements(module)
    made = [found[1] for each in said if (found := re.match(r"CREATE TABLE (\S+)", each))]
    unique = [re.compile(rf"CREATE UNIQUE INDEX \S+ ON {re.escape(table)} ") for table in made]
    return [each for each in said if not any(known.match(each) for known in [*EXPANDS, *unique])]


def released() -> dict[str, tuple[str, str]]:
    """Release and hash, by name."""
    lines = (line.split() for line in LIST.read_text().splitlines() if not line.startswith("#"))
    return {name: (release, digest) for release, name, digest in lines}


def main() -> None:
    there = released()
    with LIST.open("a") as out:
        for migration in every():
            if migration.name not in there:
                out.write(f"{__version__} {migration.name} {migration.digest}\n")


if __name__ == "__main__":
    main()
