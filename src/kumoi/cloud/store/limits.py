"""What a project may have of each thing of a service, where that is not the default."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.schema import ID, metadata
from kumoi.engine.statement import Statement

UNLIMITED = -1


class ProjectLimits:
    """The limits that one service keeps, in a table of its own."""

    def __init__(self, table_name: str) -> None:
        self._table = sa.Table(
            table_name,
            metadata,
            sa.Column("project_id", ID, primary_key=True),
            sa.Column("resource", sa.String(64), primary_key=True),
            sa.Column("most", sa.Integer, nullable=False),
        )
        columns = self._table.c
        self._of = Statement(
            sa.select(columns.resource, columns.most).where(
                columns.project_id == sa.bindparam("project_id")
            )
        )

    def of(self, connection: Connection, project_id: str) -> dict[str, int]:
        return dict(self._of.rows(connection, project_id=project_id))

    def every(self, connection: Connection) -> dict[str, dict[str, int]]:
        """By project."""
        found: dict[str, dict[str, int]] = defaultdict(dict)
        for row in connection.execute(sa.select(self._table).order_by(self._table.c.project_id)):
            found[row.project_id][row.resource] = row.most
        return found

    def put(self, connection: Connection, project_id: str, values: Mapping[str, int]) -> None:
        columns = self._table.c
        for resource in values:
            connection.execute(
                sa.delete(self._table).where(
                    columns.project_id == project_id, columns.resource == resource
                )
            )
        rows = [
            {"project_id": project_id, "resource": resource, "most": most}
            for resource, most in values.items()
        ]
        schema.insert_all(connection, self._table, rows)

    def clear(self, connection: Connection, project_id: str) -> None:
        connection.execute(sa.delete(self._table).where(self._table.c.project_id == project_id))
