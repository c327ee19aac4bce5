"""The names behind ids: for the list of role assignments, which shows them all."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store.identity.assignment import SYSTEM_ID
from kumoi.cloud.store.identity.domain import domain
from kumoi.cloud.store.identity.group import group
from kumoi.cloud.store.identity.project import project
from kumoi.cloud.store.identity.role import role
from kumoi.cloud.store.identity.user import user


@dataclass(frozen=True, slots=True)
class Name:
    """A name, and the domain that it is in; a domain is in none."""

    id: str
    name: str
    domain_id: str | None = None
    domain_name: str | None = None


@dataclass(frozen=True, slots=True)
class Names:
    """Names by id: of actors (users and groups) and of targets (projects and domains)."""

    actors: dict[str, Name]
    targets: dict[str, Name]
    roles: dict[str, str]


def load(connection: Connection) -> Names:
    domains = {row.id: row.name for row in connection.execute(sa.select(domain))}
    actors: dict[str, Name] = {}
    targets = {key: Name(key, name) for key, name in domains.items()}
    targets[SYSTEM_ID] = Name(SYSTEM_ID, SYSTEM_ID)
    for table, found in ((user, actors), (group, actors), (project, targets)):
        query = sa.select(table.c.id, table.c.name, table.c.domain_id)
        for row in connection.execute(query):
            found[row.id] = Name(row.id, row.name, row.domain_id, domains[row.domain_id])
    roles = {row.id: row.name for row in connection.execute(sa.select(role))}
    return Names(actors, targets, roles)
