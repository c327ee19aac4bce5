"""What becomes of servers whose host is lost: the words of the setting, and of `ha:policy` in a server's
metadata. Pure; config.py checks the setting here.
"""

from __future__ import annotations

import enum

from kumoi.base.errors import Invalid

KEY = "ha:policy"
"""Of a server's metadata."""


class HaPolicy(enum.StrEnum):
    REBUILD = "rebuild"  # Made again elsewhere, from its image.
    WAIT = "wait"  # For its host, or for an operator's word.
    NEVER = "never"  # Not even for that.


def check(word: str) -> None:
    """Raises Invalid for another word."""
    if word not in set(HaPolicy):
        raise Invalid(
            f"setting ha_policy must be one of {', '.join(HaPolicy)}, not {word!r}",
            field="ha_policy",
        )
