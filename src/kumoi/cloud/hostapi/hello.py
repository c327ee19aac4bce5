"""How a host presents itself to the control plane, what that answers, and which hosts it refuses.

A host says hello when it starts and as a sign of life; the answer says the same of the control plane.
Both sides may be one release apart, but an agent is never newer than the control plane: it might keep
and report what the control plane does not know. So the control plane is updated first, and a refusal
names the release to install.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from kumoi.base.release import numbers
from kumoi.cloud.hostapi.offer import Offer
from kumoi.cloud.hostapi.things import Count, Message, Name

Ratio = Annotated[float, msgspec.Meta(ge=0, le=1_000_000)]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=2**37)]

PATH = "/host/v1"
PROTOCOL = 2
PROTOCOL_OLDEST = 2
"""The oldest that this release still speaks with hosts."""


class Hello(Message, frozen=True, kw_only=True):
    """`epoch` is the store's: from a host the one it received last, from the control plane the one
    of today, with where its host APIs are if there are several.
    """

    protocol: Count = PROTOCOL
    release: Name
    epoch: Name = ""
    host_api_urls: tuple[str, ...] = ()


class Allocation(Message, frozen=True, kw_only=True):
    """How much of a host servers may claim, as its operator decided: all of it but what is reserved,
    times a ratio. The defaults are those of hosts that do not say.
    """

    cpu_ratio: Ratio = 32.0
    ram_ratio: Ratio = 1.0
    disk_ratio: Ratio = 8.0
    ram_reserved_mib: Count = 0
    disk_reserved_gib: Count = 0


class HostHello(Hello, frozen=True, kw_only=True):
    """With what the host has. `address` is where other hosts reach it. `ready_images` are ids of
    images that a server can start from without a fetch. `offers` says what each of the `drivers`
    accepts and can do; a host of an older release sends only their names. `leads_outside`: the external
    network is on its machine.
    """

    hostname: Name
    drivers: list[Name]
    vcpus: Count
    ram_mib: Count
    disk_gib: Count
    ready_images: tuple[Name, ...] = ()
    address: Annotated[str, msgspec.Meta(max_length=64)] = ""
    offers: dict[str, Offer] = msgspec.field(default_factory=dict)
    allocation: Allocation = Allocation()
    booted_at: Seconds | None = None  # In seconds since 1970.
    leads_outside: bool = True


class ErrorText(msgspec.Struct, frozen=True):
    message: str


class ErrorEnvelope(msgspec.Struct, frozen=True):
    """The body of every answer that is an error."""

    error: ErrorText


REFUSED = "host.refused"
"""The code, and the type word, of the answer to a host that may not act."""


def refusal(
    *,
    protocol: int,
    release: str,
    own_release: str,
    oldest: int = PROTOCOL_OLDEST,
    finalized: str = "",
) -> str:
    """Why a host of that protocol and release may not act; empty when it may. `finalized` is the release
    that the cloud as a whole is of, below which no host acts.
    """
    install = f"install release {own_release} on it"
    if protocol < oldest:
        return (
            f"this host speaks protocol {protocol} and the control plane, of release {own_release}, "
            f"{oldest} to {PROTOCOL}: {install}"
        )
    if numbers(release) > numbers(own_release):
        return (
            f"this host is of release {release}, newer than the control plane's {own_release}: "
            f"update the control plane first, or {install}"
        )
    if protocol > PROTOCOL:
        return (
            f"this host speaks protocol {protocol} and the control plane, of release {own_release}, "
            f"none newer than {PROTOCOL}: {install}"
        )
    if numbers(release) < numbers(finalized):
        return f"this host is of release {release}, and the cloud was finalized at {finalized}: {install}"
    return ""
