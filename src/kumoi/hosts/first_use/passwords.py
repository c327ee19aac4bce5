"""The first passwords of the first users, made once and readable by root only.

`up` makes them and writes them into clouds.yaml; `kumoi store ensure` reads them. A password that
is changed later by the API is not changed here.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from kumoi.base import files
from kumoi.base.errors import Permanent
from kumoi.base.files import Promise
from kumoi.base.secret import Secret
from kumoi.config import HostSettings

USERS = ("admin", "demo")
ENTROPY_BYTES = 18


def ensure(host: HostSettings) -> None:
    """A password for each user that has none yet."""
    for user in USERS:
        path = file_of(host, user)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            files.replace(path, secrets.token_urlsafe(ENTROPY_BYTES), promise=Promise.NEW)


def read(host: HostSettings, user: str) -> Secret:
    """Raises Permanent when `up` has not made it."""
    try:
        return Secret(file_of(host, user).read_text())
    except OSError as cause:
        raise Permanent(f"the first password of {user} cannot be read") from cause


def file_of(host: HostSettings, user: str) -> Path:
    return host.state / "passwords" / user
