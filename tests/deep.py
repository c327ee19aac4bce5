"""Directories one in the other, more than a walk by recursion or by paths can bear: a tenant makes such."""

from __future__ import annotations

import os
from pathlib import Path

LEVELS = 3_000


def make(top: Path, levels: int = LEVELS) -> int:
    """An open descriptor of the deepest. Whoever makes them removes them: pytest could not."""
    here = os.open(top, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    return here
