"""A host is enrolled before it may say anything: the store names its key. `kumoi up` enrols its own
host.
"""

from __future__ import annotations

from sqlalchemy.engine import Connection

from kumoi.base import log
from kumoi.cloud.store.host import enrolment as store
from kumoi.cloud.store.host.enrolment import Enrolment
from kumoi.engine.db import now


def enrol(connection: Connection, host_id: str, public_key_sha256: str) -> None:
    """From now on the host identifies itself with this key, and with no earlier one."""
    known = store.get(connection, host_id)
    if known is None or known.public_key_sha256 != public_key_sha256:
        store.replace(connection, Enrolment(host_id, public_key_sha256, now(connection)))
        log.event("host.enrolled", host=host_id)


def names(connection: Connection) -> list[str]:
    return store.names(connection)


def keys(connection: Connection) -> dict[str, str]:
    """The key of each host."""
    return store.keys(connection)


def is_enrolled(connection: Connection, host_id: str, public_key_sha256: str) -> bool:
    known = store.get(connection, host_id)
    return known is not None and known.public_key_sha256 == public_key_sha256
