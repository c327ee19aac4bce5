"""Alembic runs this."""

from kumoi.engine.migrate import environment
from kumoi.pipeline.store.tables import metadata

environment(metadata)
