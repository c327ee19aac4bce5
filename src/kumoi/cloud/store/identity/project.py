"""Projects: the rows, and their tags.

`generation` grows with whatever ends the project's tokens; a token says which one it was made at.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store import listing, schema, tag_filter
from kumoi.cloud.store.listing import Listing
from kumoi.cloud.store.schema import ID, NAME, metadata
from kumoi.cloud.store.tag_filter import TagFilter
from kumoi.engine.db import Json

NO_TAGS = TagFilter()


@dataclass(frozen=True, slots=True)
class Project:
    id: str
    domain_id: str
    parent_id: str
    name: str
    description: str
    enabled: bool
    generation: int = 1
    options: dict[str, Any] | None = None
    extra: dict[str, Any] | None = None


project = sa.Table(
    "project",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("domain_id", ID, sa.ForeignKey("domain.id"), nullable=False),
    sa.Column("parent_id", ID, nullable=False, index=True),
    sa.Column("name", NAME, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("options", Json),
    sa.Column("extra", Json),
    sa.UniqueConstraint("domain_id", "name"),
)

project_tag = sa.Table(
    "project_tag",
    metadata,
    sa.Column("project_id", ID, sa.ForeignKey("project.id"), primary_key=True),
    sa.Column("tag", NAME, primary_key=True),
)


def insert(connection: Connection, row: Project) -> None:
    schema.insert(connection, project, schema.values(row))


def get(connection: Connection, key: str) -> Project | None:
    return schema.fetch_one(connection, sa.select(project).where(project.c.id == key), Project)


def named(connection: Connection, domain_id: str, name: str) -> Project | None:
    query = sa.select(project).where(project.c.domain_id == domain_id, project.c.name == name)
    return schema.fetch_one(connection, query, Project)


def page(
    connection: Connection,
    wanted: Listing,
    *,
    ids: Collection[str] | None = None,
    tags: TagFilter = NO_TAGS,
) -> list[Project]:
    """One page; with `ids`, of these only."""
    conditions: list[sa.ColumnElement[bool]] = []
    if ids is not None:
        conditions.append(project.c.id.in_(ids))
    of = project_tag.c
    conditions += tag_filter.conditions(project.c.id, of.project_id, of.tag, tags)
    return listing.page(connection, project, Project, wanted, *conditions)


def in_domain(connection: Connection, domain_id: str) -> list[Project]:
    query = sa.select(project).where(project.c.domain_id == domain_id)
    return schema.fetch(connection, query, Project)


def children_of(connection: Connection, keys: Collection[str]) -> list[str]:
    """The ids of the projects directly below these projects or domains."""
    query = sa.select(project.c.id).where(project.c.parent_id.in_(keys)).order_by(project.c.id)
    return list(connection.execute(query).scalars())


def has_children(connection: Connection, key: str) -> bool:
    query = sa.select(project.c.id).where(project.c.parent_id == key).limit(1)
    return connection.execute(query).first() is not None


def update(connection: Connection, key: str, values: Mapping[str, Any]) -> None:
    schema.update(connection, project, key, values)


def next_generation(connection: Connection, key: str) -> int:
    """Increase the generation; gives the new one."""
    return int(
        connection.execute(
            sa.update(project)
            .where(project.c.id == key)
            .values(generation=project.c.generation + 1)
            .returning(project.c.generation)
        ).scalar_one()
    )


def delete(connection: Connection, key: str) -> None:
    set_tags(connection, key, [])
    schema.delete(connection, project, key)


def tags_of(connection: Connection, keys: Collection[str]) -> dict[str, list[str]]:
    """The tags of each of the projects, sorted."""
    found: dict[str, list[str]] = {key: [] for key in keys}
    query = sa.select(project_tag).where(project_tag.c.project_id.in_(keys))
    for row in connection.execute(query.order_by(project_tag.c.tag)):
        found[row.project_id].append(row.tag)
    return found


def set_tags(connection: Connection, key: str, tags: Collection[str]) -> None:
    connection.execute(sa.delete(project_tag).where(project_tag.c.project_id == key))
    rows = [{"project_id": key, "tag": tag} for tag in sorted(set(tags))]
    schema.insert_all(connection, project_tag, rows)
