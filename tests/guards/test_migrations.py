"""The migrations make exactly the tables that the code has, on both databases; each only expands; a
released one is never edited.
"""

from __future__ import annotations

from types import ModuleType

import pytest
import sqlalchemy as sa

from kumoi import __version__
from kumoi.base.release import numbers
from kumoi.cloud.store.migrate import upgrade as upgrade_cloud
from kumoi.cloud.store.tables import metadata as cloud
from kumoi.engine import migrate, schema_check
from kumoi.pipeline.store.migrate import upgrade as upgrade_pipeline
from kumoi.pipeline.store.tables import metadata as pipeline
from tests.guards import migrations
from tests.guards.migrations import Migration, differences

WRITE = "write it: python -m tests.guards.new_migration"
STORES = pytest.mark.parametrize(
    ("upgrade", "metadata"),
    [(upgrade_cloud, cloud), (upgrade_pipeline, pipeline)],
    ids=["cloud", "pipeline"],
)
FOLDERS = {
    upgrade_cloud: migrations.STORES["cloud"],
    upgrade_pipeline: migrations.STORES["pipeline"],
}


@STORES
def test_the_migrations_make_the_tables_of_the_code(
    store_url: str, upgrade: object, metadata: sa.MetaData
) -> None:
    upgrade(store_url)  # type: ignore[operator]
    assert differences(store_url, metadata) == [], WRITE


@STORES
def test_migrating_again_changes_nothing(
    store_url: str, upgrade: object, metadata: sa.MetaData
) -> None:
    upgrade(store_url)  # type: ignore[operator]
    upgrade(store_url)  # type: ignore[operator]
    assert differences(store_url, metadata) == [], WRITE


@STORES
def test_each_migration_may_be_applied_twice(
    store_url: str, upgrade: object, metadata: sa.MetaData
) -> None:
    """Whoever comes second, from another machine or after a kill, changes nothing."""
    folder = FOLDERS[upgrade]  # type: ignore[index]
    for revision in sorted(schema_check.revisions(folder)):
        migrate.upgrade(store_url, folder, to=revision)
        once = tables(store_url)
        migrate.upgrade(store_url, folder, to=revision)
        assert tables(store_url) == once
    assert differences(store_url, metadata) == [], WRITE


@pytest.mark.parametrize("migration", migrations.every(), ids=lambda each: each.name)
def test_a_migration_only_expands_unless_it_is_marked(migration: Migration) -> None:
    """`contract = "<release>"` marks one: since that release nothing reads what goes, so it is the
    release before this one at the newest.
    """
    module = migration.module()
    contract = getattr(module, "contract", None)
    if contract is None:
        assert migrations.beyond_expanding(module) == []
    else:
        assert numbers(contract) < numbers(__version__)


@pytest.mark.parametrize("migration", migrations.every(), ids=lambda each: each.name)
def test_a_migrations_file_begins_with_its_revision(migration: Migration) -> None:
    assert migration.path.name.startswith(f"{migration.module().revision}_")


def test_a_released_migration_is_never_edited() -> None:
    released = migrations.released()
    assert released
    now = {each.name: each.digest for each in migrations.every()}
    edited = {name for name, (_, digest) in released.items() if now.get(name) != digest}
    assert edited == set()


REFUSED = {
    "drop a column": 'op.drop_column("flow", "kind")',
    "drop a table": 'op.drop_table("flow")',
    "rename a column": 'op.alter_column("flow", "kind", new_column_name="sort")',
    "rename a table": 'op.rename_table("flow", "flows")',
    "another type": 'op.alter_column("flow", "kind", type_=sa.Integer())',
    "no null any more": 'op.alter_column("flow", "due_at", nullable=False)',
    "no default": 'op.add_column("flow", sa.Column("x", sa.Text(), nullable=False))',
    "unique": 'op.create_unique_constraint("uq", "flow", ["kind"])',
    "unique index": 'op.create_index("ix", "flow", ["kind"], unique=True)',
    "rows go": 'op.execute("DELETE FROM flow")',
    "in a batch": 'with op.batch_alter_table("flow") as b: b.drop_column("kind")',
}
BORNE = {
    "a table": 'op.create_table("x", sa.Column("id", sa.Text(), nullable=False))',
    "nullable": 'op.add_column("flow", sa.Column("x", sa.Text(), nullable=True))',
    "a default": 'op.add_column("flow", sa.Column("x", sa.Text(), nullable=False, server_default="NOT NULL"))',
    "an index": 'op.create_index("ix", "flow", ["kind"])',
    "a fill": "op.execute(\"UPDATE flow SET kind = 'x'\")",
}


def written(body: str) -> ModuleType:
    module = ModuleType("written")
    exec(
        f"import sqlalchemy as sa\nfrom alembic import op\ndef upgrade():\n    {body}",
        module.__dict__,
    )
    return module


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_what_contracts_is_seen(body: str) -> None:
    assert migrations.beyond_expanding(written(body)) != []


@pytest.mark.parametrize("body", BORNE.values(), ids=BORNE)
def test_what_expands_is_let_through(body: str) -> None:
    assert migrations.beyond_expanding(written(body)) == []


def tables(url: str) -> list[tuple[str, list[str]]]:
    """Names of tables, each with its columns and the number of its rows."""
    engine = migrate.engine(url)
    with engine.connect() as connection:
        look = sa.inspect(connection)
        found = [
            (
                name,
                [column["name"] for column in look.get_columns(name)]
                + [str(connection.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar())],
            )
            for name in sorted(look.get_table_names())
        ]
    engine.dispose()
    return found
