"""Which secrets a file asks for and its repository does not have, in words for whoever pushes.

Called before anything is built: by push_check.py, and by run.py for what no hook has seen.
"""

from __future__ import annotations

from collections.abc import Container, Iterator

from sqlalchemy.engine import Connection

from kumoi.pipeline.environment import EnvironmentFile
from kumoi.pipeline.store import repository, repository_secret


def missing(connection: Connection, repository_id: str, wanted: EnvironmentFile) -> str:
    """The first one, with its place in the file; empty where all are there."""
    if not wanted.secret_places:
        return ""
    there = repository_secret.values(connection, repository_id, wanted.secret_places)
    owner = repository.get(connection, repository_id)
    return next(absences(wanted, there, owner.name if owner else ""), "")


def absences(wanted: EnvironmentFile, there: Container[str], repository_name: str) -> Iterator[str]:
    """Each that is not there, with its place in the file and what to do."""
    for name, place in wanted.secret_places.items():
        if name not in there:
            yield f"{place}: there is no secret {name}: kumoi secret set {repository_name} {name}"
