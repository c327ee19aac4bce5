"""What hosts say of another one that has lost its lease: the question, the answer, and what follows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.engine import Connection

from kumoi.cloud.hostapi.witness import Question, WitnessAnswer
from kumoi.cloud.store.host import host as host_store
from kumoi.cloud.store.host import witness as store
from kumoi.cloud.store.host.witness import Witness


def ask(connection: Connection, about_host_id: str, host_ids: Sequence[str], now: datetime) -> None:
    """Have these hosts look for that one. A host without an address cannot be looked for."""
    lost = host_store.get(connection, about_host_id)
    if lost is None or not lost.address:
        return
    for host_id in host_ids:
        store.ask(connection, Witness(host_id, about_host_id, lost.address, now))


def questions(connection: Connection, host_id: str) -> list[Question]:
    return [
        Question(host=row.about_host_id, address=row.address)
        for row in store.unanswered(connection, host_id)
    ]


def take(connection: Connection, host_id: str, answer: WitnessAnswer, now: datetime) -> None:
    store.answer(
        connection,
        host_id,
        answer.host,
        reached=answer.reached,
        tunnel=answer.tunnel,
        now=now,
    )


def about(connection: Connection, host_id: str) -> list[Witness]:
    return store.about(connection, host_id)


def forget(connection: Connection, host_id: str) -> None:
    """It has its lease again."""
    store.forget_about(connection, host_id)
