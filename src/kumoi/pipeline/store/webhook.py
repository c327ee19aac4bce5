"""Webhooks: git hosts that tell of pushes to a repository, and what they told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.base.secret import Secret
from kumoi.engine.schema import Json, Timestamp
from kumoi.pipeline.store.delegation import Delegation
from kumoi.pipeline.store.repository import repository
from kumoi.pipeline.store.run import Run
from kumoi.pipeline.store.run import run as run_table
from kumoi.pipeline.store.schema import ID, NAME, metadata

LIST_MAX = 200
KEPT_MAX = 100
OUTCOME_MAX = 1_000

webhook = sa.Table(
    "webhook",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("repository_id", sa.ForeignKey("repository.id"), nullable=False, unique=True),
    sa.Column("project_id", sa.String(64), nullable=False, index=True),
    sa.Column("host", sa.String(16), nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("api_url", sa.Text, nullable=False),
    sa.Column("secret", NAME, nullable=False),
    sa.Column("token", sa.Text, nullable=False),
    sa.Column("credential_id", sa.String(64), nullable=False),
    sa.Column("credential_secret", NAME, nullable=False),
    sa.Column("is_own", sa.Boolean, nullable=False),
    sa.Column("user_name", NAME, nullable=False),
    sa.Column("created_at", Timestamp, nullable=False),
    sa.Column("looked_at", Timestamp, nullable=True),
    sa.Column("refused", Json, nullable=False),  # The commit of each branch that was not taken.
    sa.Column("orphaned_at", Timestamp, nullable=True),  # Since then nobody may act for it.
)

webhook_delivery = sa.Table(
    "webhook_delivery",
    metadata,
    sa.Column("webhook_id", sa.ForeignKey("webhook.id"), primary_key=True),
    sa.Column("delivery_id", sa.String(200), primary_key=True),
    sa.Column("branch", NAME, nullable=False),
    sa.Column("commit", sa.String(64), nullable=False),
    sa.Column("received_at", Timestamp, nullable=False),
    sa.Column("done_at", Timestamp, nullable=True, index=True),
    sa.Column("outcome", sa.Text, nullable=False),
)

# What the git host was last told of each run.
commit_status = sa.Table(
    "commit_status",
    metadata,
    sa.Column("run_id", ID, primary_key=True),
    sa.Column("webhook_id", ID, nullable=False, index=True),
    sa.Column("told", sa.String(16), nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("again_at", Timestamp, nullable=True),
    sa.Column("failure", sa.Text, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Webhook:
    """`secret` is what the host proves itself with, `token` what we read and tell it with, which may
    be empty. `acting` is the credential of whoever registered it, by which its runs act.
    """

    id: str
    repository_id: str
    project_id: str
    host: str
    url: str
    api_url: str
    secret: Secret
    token: Secret
    acting: Delegation
    user_name: str
    created_at: datetime
    refused: dict[str, str]
    looked_at: datetime | None = None
    orphaned_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """`outcome` is for people, once it is `done_at`."""

    webhook_id: str
    delivery_id: str
    branch: str
    commit: str
    received_at: datetime
    done_at: datetime | None = None
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class ToTell:
    """A run of whose state the git host has not heard, so many times in vain."""

    run: Run
    webhook: Webhook
    tries: int
    project_name: str


def add(connection: Connection, new: Webhook) -> None:
    names = set(webhook.c.keys()) - {
        "secret",
        "token",
        "credential_id",
        "credential_secret",
        "is_own",
    }
    connection.execute(
        sa.insert(webhook).values(
            **{name: getattr(new, name) for name in names},
            secret=new.secret.reveal(),
            token=new.token.reveal(),
            credential_id=new.acting.credential_id,
            credential_secret=new.acting.secret.reveal(),
            is_own=new.acting.is_own,
        )
    )


def get(connection: Connection, id: str) -> Webhook | None:
    return _one(connection, sa.select(webhook).where(webhook.c.id == id))


def get_of_repository(connection: Connection, repository_id: str) -> Webhook | None:
    query = sa.select(webhook).where(webhook.c.repository_id == repository_id)
    return _one(connection, query)


def list_of_project(connection: Connection, project_id: str) -> list[Webhook]:
    """Oldest first."""
    mine = sa.select(webhook).where(webhook.c.project_id == project_id)
    return _all(connection, mine.order_by(webhook.c.created_at, webhook.c.id).limit(LIST_MAX))


def list_all(connection: Connection) -> list[Webhook]:
    return _all(connection, sa.select(webhook).order_by(webhook.c.id))


def list_to_look_at(connection: Connection, looked_before: datetime, *, each: int) -> list[Webhook]:
    """Those that a delivery waits for, and those not looked at since: of each project so many, those first
    that were not looked at for longest.
    """
    waiting = sa.select(webhook_delivery.c.webhook_id).where(webhook_delivery.c.done_at.is_(None))
    is_due = webhook.c.looked_at.is_(None) | (webhook.c.looked_at < looked_before)
    order = (webhook.c.looked_at.nulls_first(), webhook.c.id)
    place = sa.func.row_number().over(partition_by=webhook.c.project_id, order_by=order)
    due = sa.select(webhook.c.id, place.label("place")).where(webhook.c.id.in_(waiting) | is_due)
    places = due.subquery()
    first = sa.select(places.c.id).where(places.c.place <= each)
    return _all(connection, sa.select(webhook).where(webhook.c.id.in_(first)).order_by(*order))


def remove(connection: Connection, id: str) -> None:
    """With its deliveries, and what its host was told."""
    for table, column in (
        (webhook_delivery, webhook_delivery.c.webhook_id),
        (commit_status, commit_status.c.webhook_id),
        (webhook, webhook.c.id),
    ):
        connection.execute(sa.delete(table).where(column == id))


def set_looked(connection: Connection, id: str, now: datetime, refused: dict[str, str]) -> None:
    values = {"looked_at": now, "refused": refused}
    connection.execute(sa.update(webhook).where(webhook.c.id == id).values(**values))


def set_orphaned(connection: Connection, id: str, since: datetime | None) -> None:
    connection.execute(sa.update(webhook).where(webhook.c.id == id).values(orphaned_at=since))


def receive(connection: Connection, new: Delivery) -> bool:
    """Keep a delivery and forget the oldest; false where one of that id was received before."""
    table = webhook_delivery
    mine = table.c.webhook_id == new.webhook_id
    seen = sa.select(table.c.delivery_id).where(mine, table.c.delivery_id == new.delivery_id)
    if connection.execute(seen).first():
        return False
    connection.execute(
        sa.insert(table).values(**{name: getattr(new, name) for name in table.c.keys()})  # noqa: SIM118 - columns
    )
    newest = sa.select(table.c.received_at).where(mine).order_by(table.c.received_at.desc())
    oldest_kept = connection.execute(newest.offset(KEPT_MAX).limit(1)).scalar()
    if oldest_kept is not None:
        past = table.c.done_at.is_not(None) & (table.c.received_at <= oldest_kept)
        connection.execute(sa.delete(table).where(mine, past))
    return True


def deliveries(
    connection: Connection, webhook_id: str, *, only_waiting: bool = False, limit: int = KEPT_MAX
) -> list[Delivery]:
    """Newest first."""
    query = sa.select(webhook_delivery).where(webhook_delivery.c.webhook_id == webhook_id)
    if only_waiting:
        query = query.where(webhook_delivery.c.done_at.is_(None))
    newest = query.order_by(webhook_delivery.c.received_at.desc()).limit(limit)
    return [Delivery(**row) for row in connection.execute(newest).mappings()]


def end_deliveries(
    connection: Connection, done: Sequence[Delivery], outcome: str, now: datetime
) -> None:
    for each in done:
        mine = (webhook_delivery.c.webhook_id == each.webhook_id) & (
            webhook_delivery.c.delivery_id == each.delivery_id
        )
        values = {"done_at": now, "outcome": outcome[:OUTCOME_MAX]}
        connection.execute(sa.update(webhook_delivery).where(mine).values(**values))


def list_to_tell(connection: Connection, now: datetime, *, tries_max: int) -> list[ToTell]:
    """Of each project the oldest run whose git host has a token of ours and has not heard of its state."""
    told = commit_status
    joined = run_table.join(webhook, run_table.c.repository_id == webhook.c.repository_id)
    joined = joined.join(repository, repository.c.id == webhook.c.repository_id)
    joined = joined.join(told, told.c.run_id == run_table.c.id, isouter=True)
    is_new = told.c.run_id.is_(None) | (
        (told.c.told != run_table.c.status)
        & (told.c.tries < tries_max)
        & (told.c.again_at.is_(None) | (told.c.again_at <= now))
    )
    since = run_table.c.created_at >= webhook.c.created_at
    order = (run_table.c.created_at, run_table.c.id)
    place = sa.func.row_number().over(partition_by=webhook.c.project_id, order_by=order)
    query = sa.select(
        run_table,
        webhook.c.id.label("of_webhook"),
        told.c.tries,
        repository.c.project_name,
        place.label("place"),
    ).select_from(joined)
    due = query.where(is_new, since, webhook.c.token != "").subquery()
    oldest = sa.select(due).where(due.c.place == 1).order_by(due.c.created_at, due.c.id)
    names = [column.name for column in run_table.c]
    return [
        ToTell(
            Run(**{name: row[name] for name in names}), hook, row["tries"] or 0, row["project_name"]
        )
        for row in connection.execute(oldest).mappings().all()
        if (hook := get(connection, row["of_webhook"])) is not None
    ]


def note_told(connection: Connection, of: ToTell, status: str) -> None:
    """The host has heard of it."""
    _note(connection, of, {"told": status, "tries": 0, "again_at": None, "failure": ""})


def note_not_told(connection: Connection, of: ToTell, again_at: datetime, failure: str) -> None:
    values = {"tries": of.tries + 1, "again_at": again_at, "failure": failure[:OUTCOME_MAX]}
    _note(connection, of, values)


def _note(connection: Connection, of: ToTell, values: dict[str, Any]) -> None:
    mine = commit_status.c.run_id == of.run.id
    if connection.execute(sa.update(commit_status).where(mine).values(**values)).rowcount == 0:
        row = {"run_id": of.run.id, "webhook_id": of.webhook.id, "told": "", **values}
        connection.execute(sa.insert(commit_status).values(**row))


def _one(connection: Connection, query: sa.Select[Any]) -> Webhook | None:
    return next(iter(_all(connection, query)), None)


def _all(connection: Connection, query: sa.Select[Any]) -> list[Webhook]:
    return [_of(dict(row)) for row in connection.execute(query).mappings()]


def _of(row: dict[str, Any]) -> Webhook:
    secret, is_own = Secret(row.pop("credential_secret")), bool(row.pop("is_own"))
    row["acting"] = Delegation(row.pop("credential_id"), secret, is_own=is_own)
    row |= {name: Secret(row[name]) for name in ("secret", "token")}
    return Webhook(**row)
