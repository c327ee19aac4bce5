"""What a release says of tables that another one made, on both databases."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from kumoi import config, members
from kumoi.base.errors import Permanent
from kumoi.cloud.store.migrate import upgrade
from kumoi.cloud.store.migrations import FOLDER
from kumoi.config import CloudSettings, HostSettings
from kumoi.engine import migrate, schema_check
from kumoi.engine.schema_check import SchemaStep

ENVIRONMENT = """
import sqlalchemy as sa
from kumoi.engine.migrate import environment
environment(sa.MetaData())
"""
MIGRATION = """
import sqlalchemy as sa
from alembic import op
revision = "{revision}"
down_revision = {before}
{contract}
def upgrade() -> None:
    op.create_table("t{revision}", sa.Column("id", sa.Integer))
"""


def release(path: Path, *contracts: str) -> Path:
    """The migrations of a release: one for each word, which is its `contract` or empty."""
    (path / "versions").mkdir(parents=True)
    (path / "env.py").write_text(ENVIRONMENT)
    before = "None"
    for number, contract in enumerate(contracts, 1):
        revision = f"{number:04d}"
        mark = f'contract = "{contract}"' if contract else ""
        text = MIGRATION.format(revision=revision, before=before, contract=mark)
        (path / "versions" / f"{revision}_t.py").write_text(text)
        before = f'"{revision}"'
    return path


def ask(url: str, folder: Path, own: str) -> None:
    engine = migrate.engine(url)
    try:
        with engine.connect() as connection:
            schema_check.require(connection, folder, release=own)
    finally:
        engine.dispose()


def test_a_store_of_the_same_release_is_borne(store_url: str, tmp_path: Path) -> None:
    folder = release(tmp_path / "n", "", "")
    migrate.upgrade(store_url, folder)
    ask(store_url, folder, "0.2.0")


def test_a_newer_store_that_only_expanded_is_borne_and_left_alone(
    store_url: str, tmp_path: Path
) -> None:
    older, newer = release(tmp_path / "n-1", ""), release(tmp_path / "n", "", "")
    migrate.upgrade(store_url, older)
    ask(store_url, older, "0.2.0")
    migrate.upgrade(store_url, newer)
    ask(store_url, older, "0.2.0")
    migrate.upgrade(store_url, older)
    ask(store_url, newer, "0.3.0")


def test_a_store_that_contracted_is_borne_by_the_releases_that_no_longer_read_it(
    store_url: str, tmp_path: Path
) -> None:
    older, newer = release(tmp_path / "n-1", ""), release(tmp_path / "n", "", "0.10.0")
    migrate.upgrade(store_url, newer)
    ask(store_url, older, "0.10.0")
    with pytest.raises(Permanent, match=r"no longer has what 0\.9\.0 reads: install 0\.10\.0"):
        ask(store_url, older, "0.9.0")


def test_an_older_release_does_not_migrate_a_store_that_it_cannot_bear(
    store_url: str, tmp_path: Path
) -> None:
    older, newer = release(tmp_path / "n-1", ""), release(tmp_path / "n", "", "99.0.0")
    migrate.upgrade(store_url, newer)
    with pytest.raises(Permanent, match=r"install 99\.0\.0 or newer"):
        migrate.upgrade(store_url, older)


def test_a_store_that_lacks_tables_is_refused(store_url: str, tmp_path: Path) -> None:
    older, newer = release(tmp_path / "n-1", ""), release(tmp_path / "n", "", "")
    with pytest.raises(Permanent, match="lacks tables of release"):
        ask(store_url, older, "0.2.0")
    migrate.upgrade(store_url, older)
    with pytest.raises(Permanent, match=r"lacks tables of release 0\.3\.0"):
        ask(store_url, newer, "0.3.0")


@pytest.mark.parametrize("role", ["api", "worker"])
def test_a_role_on_a_store_too_new_for_it_ends_with_what_to_install(
    tmp_path: Path, role: str
) -> None:
    cloud, host = CloudSettings(), HostSettings(state_dir=str(tmp_path))
    for item in (cloud, host):
        config.file_of(type(item), tmp_path).write_text(config.render(item))
    url = members.cloud_database(cloud, host)
    upgrade(url)
    engine = migrate.engine(url)
    with engine.begin() as connection:
        schema_check.record(connection, [SchemaStep("9999", "99.1.0", needs="99.0.0")])
    engine.dispose()
    argv = [sys.executable, "-m", "kumoi.main", "role", role, "--config", str(tmp_path)]
    src = str(FOLDER.parents[3])
    ended = subprocess.run(
        argv,
        env={**os.environ, "PYTHONPATH": src},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert "install 99.0.0 or newer, best 99.1.0" in ended.stderr


def test_what_a_store_has_had_is_written_down(store_url: str) -> None:
    upgrade(store_url)
    engine = migrate.engine(store_url)
    with engine.connect() as connection:
        had = set(connection.execute(sa.select(schema_check.schema_step.c.revision)).scalars())
    engine.dispose()
    assert had == schema_check.revisions(FOLDER)
