"""L7 rules: the rows. A rule is what a policy asks of a request; it has no name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from kumoi.cloud.store.load_balancer import part
from kumoi.cloud.store.load_balancer.part import PartTable
from kumoi.cloud.store.schema import ID, metadata


@dataclass(frozen=True, slots=True)
class L7Rule:
    id: str
    project_id: str
    load_balancer_id: str
    name: str
    description: str
    admin_state_up: bool
    l7policy_id: str
    type: str
    compare_type: str
    key: str | None
    value: str
    invert: bool
    made_revision: int
    changed_revision: int
    created_at: datetime
    updated_at: datetime
    revision_number: int


l7_rule = sa.Table(
    "load_balancer_l7_rule",
    metadata,
    *part.columns(),
    sa.Column(
        "l7policy_id", ID, sa.ForeignKey("load_balancer_l7_policy.id"), nullable=False, index=True
    ),
    sa.Column("type", sa.String(32), nullable=False),
    sa.Column("compare_type", sa.String(16), nullable=False),
    sa.Column("key", sa.String(255)),
    sa.Column("value", sa.String(255), nullable=False),
    sa.Column("invert", sa.Boolean, nullable=False),
)

TABLE = PartTable(l7_rule, L7Rule)
find = TABLE.find
of_balancers = TABLE.of_balancers
every = TABLE.every
update = TABLE.update
delete = TABLE.delete
delete_all = TABLE.delete_all
count = TABLE.count
