"""The cloud's store, for commands that read or write it themselves, as root on a control host."""

from __future__ import annotations

import contextlib

from kumoi import members
from kumoi.config import CloudSettings, HostSettings
from kumoi.engine.db import Database


def opened(cloud: CloudSettings, here: HostSettings) -> contextlib.closing[Database]:
    """Whichever server of it leads; closed at the end of the `with` block."""
    url = members.cloud_database(cloud, here)
    return contextlib.closing(Database(url, wake_dir=here.wake_dir))
