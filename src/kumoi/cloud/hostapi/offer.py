"""What a host says that one of its drivers can do, so that the scheduler can match.

The words travel as they are: one that the other side does not know is a format or a capability that
nobody asks for there, and harms nothing.
"""

from __future__ import annotations

import enum

import msgspec


class Capability(enum.StrEnum):
    """What a driver may be able to do beyond building, starting, stopping and deleting."""

    LIVE_ADDRESSES = "live-addresses"  # Addresses inside a running server change with its ports.
    PAUSE = "pause"
    SNAPSHOT = "snapshot"


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """`formats` are those of images that it takes, in the image API's words."""

    formats: list[str] = []
    capabilities: list[str] = []
