"""The engine's own tables: feed, leases and flows. A store copies them into its own metadata."""

from __future__ import annotations

import sqlalchemy as sa

from kumoi.engine.db import Json, Timestamp

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

feed_revision = sa.Table(
    "feed_revision",
    metadata,
    sa.Column("value", sa.BigInteger, nullable=False),
    sa.Column("epoch", sa.String(32), nullable=False, server_default=""),  # Made with the first.
)

feed = sa.Table(
    "feed",
    metadata,
    sa.Column("topic", sa.String(64), primary_key=True),
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("revision", sa.BigInteger, nullable=False, index=True),
)

lease = sa.Table(
    "lease",
    metadata,
    sa.Column("name", sa.String(128), primary_key=True),
    sa.Column("token", sa.String(36), nullable=False),
    sa.Column("expires_at", Timestamp, nullable=False),
)

# What is kept of each flow; only flow.py, flow_turn.py and flow_worker.py read and write it.
flow = sa.Table(
    "flow",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("step", sa.String(64), nullable=False),
    sa.Column("state", Json, nullable=False),
    sa.Column("undos", Json, nullable=False),  # Names, in the order in which they were earned.
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("waits_for", sa.Text, nullable=False),
    sa.Column("failure", sa.Text, nullable=False),
    sa.Column("cancelled", sa.Text, nullable=False),  # Why somebody asked to stop; empty: nobody.
    sa.Column("wakes", sa.Integer, nullable=False),
    sa.Column("due_at", Timestamp, nullable=True, index=True),  # Null once it has ended.
    sa.Column("deadline_at", Timestamp, nullable=False),
    sa.Column("lease_token", sa.String(36), nullable=False),
    sa.Column("lease_expires_at", Timestamp, nullable=True),
    sa.Column("created_at", Timestamp, nullable=False),
    sa.Column("ended_at", Timestamp, nullable=True),
    sa.Column("subject", sa.String(64), nullable=False, server_default="", index=True),
    sa.Column("state_version", sa.Integer, nullable=False, server_default="1"),
)

# Who changed what; only audit.py reads and writes it.
audit = sa.Table(
    "audit",
    metadata,
    sa.Column(
        "sequence",
        sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
        primary_key=True,
        autoincrement=True,
    ),
    sa.Column("id", sa.String(36), nullable=False, unique=True),
    sa.Column("event_time", Timestamp, nullable=False, index=True),
    sa.Column("action", sa.String(64), nullable=False),
    sa.Column("outcome", sa.String(16), nullable=False),
    sa.Column("reason_code", sa.Integer, nullable=False),
    sa.Column("rule", sa.String(128), nullable=False),
    sa.Column("initiator_id", sa.String(64), nullable=False),
    sa.Column("initiator_project_id", sa.String(64), nullable=False),
    sa.Column("initiator_address", sa.String(64), nullable=False),
    sa.Column("initiator_token_id", sa.String(64), nullable=False),
    sa.Column("target_type", sa.String(128), nullable=False),
    sa.Column("target_id", sa.String(255), nullable=False),
    sa.Column("observer", sa.String(32), nullable=False),
    sa.Column("request_id", sa.String(64), nullable=False),
    sa.Column("request_path", sa.String(255), nullable=False),
    sa.Column("repeated", sa.Integer, nullable=False),
)

__all__ = ["Json", "Timestamp", "audit", "feed", "feed_revision", "flow", "lease", "metadata"]
