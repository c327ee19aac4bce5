"""The runners' log lines, in the batches in which they came."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.pipeline.store.run import run
from kumoi.pipeline.store.schema import ID, metadata

RUN_MAX_BYTES = 8 << 20
BATCHES_MAX = 50_000  # Of a run: each is a row, and a runner of ours sends two a second.
READ_MAX = 200
TRUNCATED = "[the log is longer than may be kept; the rest is left out]\n"

log = sa.Table(
    "log",
    metadata,
    sa.Column("run_id", sa.ForeignKey("run.id"), primary_key=True, type_=ID),
    sa.Column("sequence", sa.Integer, primary_key=True),  # The runner's count: a repeat is seen.
    sa.Column("offset", sa.Integer, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
)


def append(connection: Connection, run_id: str, sequence: int, text: str) -> bool:
    """Store a batch; false when it came before or the log is full. It costs as much as the first, however many
    there are.
    """
    if sequence > BATCHES_MAX:
        return False
    same_batch = (log.c.run_id == run_id) & (log.c.sequence == sequence)
    if connection.execute(sa.select(log.c.sequence).where(same_batch)).first():
        return False
    size = connection.execute(sa.select(run.c.log_size).where(run.c.id == run_id)).scalar()
    offset = int(size or 0)
    if offset >= RUN_MAX_BYTES:
        return False
    if offset + len(text) >= RUN_MAX_BYTES:
        text = TRUNCATED.rjust(RUN_MAX_BYTES - offset)
    connection.execute(
        sa.insert(log).values(run_id=run_id, sequence=sequence, offset=offset, text=text)
    )
    longer = sa.update(run).where(run.c.id == run_id).values(log_size=offset + len(text))
    connection.execute(longer)
    return True


def read(connection: Connection, run_id: str, *, offset: int) -> str:
    """The text from `offset` on, up to READ_MAX batches of it."""
    rows = connection.execute(
        sa.select(log.c.offset, log.c.text)
        .where(log.c.run_id == run_id, log.c.offset + sa.func.length(log.c.text) > offset)
        .order_by(log.c.offset)
        .limit(READ_MAX)
    ).all()
    text = "".join(row.text for row in rows)
    return text[max(offset - rows[0].offset, 0) :] if rows else ""
