"""The keys that sign tokens, where the control plane is on several hosts: rows of the store, sealed.

A new key is there for every API process as soon as it is anywhere, whichever host it was made on; with a
directory on each host somebody would have to carry it. What they are sealed with is a file that never
changes and that `up` gives to each control host, so who has the store alone signs nothing.
"""

from __future__ import annotations

import sqlalchemy as sa

from kumoi.base import log
from kumoi.cloud.store import schema
from kumoi.cloud.store.identity.signing_key import KeyDirectory, SigningKey, parse, render
from kumoi.cloud.store.schema import ID, metadata
from kumoi.cloud.store.seal import Seal
from kumoi.engine.db import Database

signing_key = sa.Table(
    "signing_key",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
)


class StoredKeys:
    """`SigningKeys` of a cloud with several control hosts. `before` are those of the time when it had one:
    its first keys, so that tokens stay good.
    """

    def __init__(self, database: Database, seal: Seal, before: KeyDirectory) -> None:
        self._database = database
        self._seal = seal
        self._before = before
        self._told: set[str] = set()

    def load(self) -> list[SigningKey]:
        """Also while nobody leads: a key is there long before it signs."""
        with self._database.following(), self._database.read() as connection:
            rows = connection.execute(sa.select(signing_key).order_by(signing_key.c.id)).all()
        found = [self._open(row.id, row.sealed) for row in rows]
        return [key for key in found if key is not None]

    def add(self, key: SigningKey) -> None:
        with self._database.write(wakes=False) as connection:
            schema.insert(connection, signing_key, self._row(key))

    def add_first(self, key: SigningKey) -> None:
        before = self._before.load()
        with self._database.write(wakes=False) as connection:
            if connection.execute(sa.select(signing_key.c.id).limit(1)).first() is None:
                rows = [self._row(each) for each in before or [key]]
                schema.insert_all(connection, signing_key, rows)

    def remove(self, id: str) -> None:
        with self._database.write(wakes=False) as connection:
            schema.delete(connection, signing_key, id)

    def _row(self, key: SigningKey) -> dict[str, object]:
        return {"id": key.id, "sealed": self._seal.close(_name(key.id), render(key))}

    def _open(self, id: str, sealed: bytes) -> SigningKey | None:
        """Raises Bug for one that was sealed with another key than this host's."""
        try:
            return parse(self._seal.open(_name(id), sealed))
        except (ValueError, TypeError) as error:
            if id not in self._told:
                self._told.add(id)
                log.failure("signing_key.not_understood", error, key=id)
            return None


def _name(id: str) -> str:
    return f"signing key {id}"
