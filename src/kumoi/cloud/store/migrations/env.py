"""Alembic runs this."""

from kumoi.cloud.store.tables import metadata
from kumoi.engine.migrate import environment

environment(metadata)
