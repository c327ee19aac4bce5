"""What a host reports of each of its drivers, for the scheduler to match.

Formats and capabilities are sent as plain words: one that the control plane does not know is one that
nobody asks for, and does no harm.
"""

from __future__ import annotations

import enum

import msgspec


class Capability(enum.StrEnum):
    """What a driver may be able to do beyond building, starting, stopping and deleting."""

    LIVE_ADDRESSES = "live-addresses"  # Addresses inside a running server change with its ports.
    PAUSE = "pause"
    SNAPSHOT = "snapshot"
    RESCUE = "rescue"  # It can start a server from another image, with the server's disk mounted.
    FILES = "files"  # It writes files that the owner names into a new disk.
    MOVE = "move"  # Its servers move to other hosts, and others' come here, with their disks.


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """`formats` are the image formats that the driver accepts, in the image API's words. `servers_max`
    is how many servers the host can have with it, however small; none where nothing counts them.
    """

    formats: list[str] = []
    capabilities: list[str] = []
    servers_max: int | None = None
