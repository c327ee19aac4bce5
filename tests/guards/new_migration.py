"""Write the migration that the tables of the code need and the migrations lack.

`PYTHONPATH=src:. .venv/bin/python -m tests.guards.new_migration cloud address_group` makes
`versions/<next number>_address_group.py` in the store's folder. Read it before it is committed: a
docstring that says what for, and names where Alembic could only guess.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.config import Config

from kumoi.engine import migrate, schema_check
from tests.guards.migrations import STORES


def write(store: str, name: str, url: str) -> Path:
    """Compares the tables of the code with an empty database on which all migrations have run."""
    folder = STORES[store]
    number = max(int(revision) for revision in schema_check.revisions(folder)) + 1
    migrate.upgrade(url, folder)
    config = Config()
    config.set_main_option("script_location", str(folder))
    config.set_main_option("sqlalchemy.url", url)
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    command.revision(config, message=name, autogenerate=True, rev_id=f"{number:04}")
    return folder / "versions" / f"{number:04}_{name}.py"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        print(write(sys.argv[1], sys.argv[2], f"sqlite:///{directory}/empty"))  # noqa: T201
