"""Rules of policies of quality of service: the rows."""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import schema
from kumoi.cloud.store.network import standard
from kumoi.cloud.store.schema import ID, metadata


class QosKind(enum.StrEnum):
    BANDWIDTH_LIMIT = "bandwidth_limit"
    DSCP_MARKING = "dscp_marking"


@dataclass(frozen=True, slots=True)
class QosRule:
    """A limit has a direction as seen from the server, kilobits per second, and the kilobits that may come
    at once (0: the network's own measure); a marking has a mark.
    """

    id: str
    qos_policy_id: str
    kind: str
    direction: str | None = None
    max_kbps: int | None = None
    max_burst_kbps: int | None = None
    dscp_mark: int | None = None


qos_rule = sa.Table(
    "qos_rule",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column(
        "qos_policy_id",
        ID,
        sa.ForeignKey("qos_policy.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("direction", sa.String(8)),
    sa.Column("max_kbps", sa.Integer),
    sa.Column("max_burst_kbps", sa.Integer),
    sa.Column("dscp_mark", sa.Integer),
)


def insert(connection: Connection, row: QosRule) -> None:
    standard.insert(connection, qos_rule, schema.values(row))


def get(connection: Connection, key: str) -> QosRule | None:
    return standard.get(connection, qos_rule, QosRule, key)


def of_policies(connection: Connection, keys: Collection[str]) -> dict[str, list[QosRule]]:
    query = sa.select(qos_rule).order_by(qos_rule.c.id)
    found: dict[str, list[QosRule]] = defaultdict(list)
    for row in schema.fetch_among(connection, query, qos_rule.c.qos_policy_id, keys, QosRule):
        found[row.qos_policy_id].append(row)
    return found


def every(connection: Connection) -> list[QosRule]:
    return schema.fetch(connection, sa.select(qos_rule).order_by(qos_rule.c.id), QosRule)


def update(connection: Connection, key: str, **values: Any) -> None:
    schema.update(connection, qos_rule, key, values)
    standard.touch(connection)


def delete(connection: Connection, key: str) -> None:
    schema.delete(connection, qos_rule, key)
    standard.touch(connection)
