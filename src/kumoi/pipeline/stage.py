"""The stages of a run. The store and the command line share this, which imports no database."""

from __future__ import annotations

import enum


class Stage(enum.StrEnum):
    """In the order in which a run passes through them."""

    RECEIVE = "receive"
    BUILD = "build"
    CONFIGURE = "configure"
    VERIFY = "verify"
    REPORT = "report"
