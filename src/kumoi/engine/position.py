"""How far somebody has read a change feed (feed.py): the control plane's own loops, and hosts, which
have no database and so import nothing of it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Position:
    """Revisions can be compared within one epoch only; without an epoch nothing has been read."""

    epoch: str = ""
    revision: int = 0

    def continues(self, seen: Position) -> bool:
        """Whether a reader who has come as far as `seen` may go on from there. Otherwise everything
        must be loaded anew.
        """
        return seen.epoch == self.epoch and 0 < seen.revision <= self.revision
