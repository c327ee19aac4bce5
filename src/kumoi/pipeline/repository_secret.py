"""Which secrets a file asks for and its repository does not have, in words for whoever pushes.

Called before anything is built: by push_check.py, and by run.py for what no hook has seen.
"""

from __future__ import annotations

from sqlalchemy.engine import Connection

from kumoi.pipeline.environment import EnvironmentFile
from kumoi.pipeline.store import repository, repository_secret


def missing(connection: Connection, repository_id: str, wanted: EnvironmentFile) -> str:
    """The first one, with its place in the file; empty where all are there."""
    found = repository_secret.values(connection, repository_id, wanted.secret_places)
    owner = repository.get(connection, repository_id)
    for name, place in wanted.secret_places.items():
        if name not in found:
            return absence(name, place, owner.name if owner else "")
    return ""


def absence(name: str, place: str, repository_name: str) -> str:
    return f"{place}: there is no secret {name}: kumoi secret set {repository_name} {name}"
