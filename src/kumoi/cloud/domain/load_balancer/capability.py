"""What a flavor and an availability zone can say of a load balancer. Pure.

A balancer that needs a place on hosts has two, on two hosts, where there are two; with a flavor it may
have one. There is one zone, which all hosts are in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from kumoi.base.errors import Invalid, Unsupported
from kumoi.cloud.domain.host.host import ZONE
from kumoi.cloud.store.load_balancer import choice

PROVIDER = "kumoi"
TOPOLOGY, COMPUTE_ZONE, MANAGEMENT_NETWORK = (
    "loadbalancer_topology",
    "compute_zone",
    "management_network",
)
STATIONS = {"SINGLE": 1, "ACTIVE_STANDBY": 2}
"""On how many hosts there is a place, by the topology."""
CAPABILITIES: Mapping[str, Mapping[str, str]] = {
    choice.FLAVOR: {
        TOPOLOGY: "On how many hosts proxies and probes run. One of SINGLE and ACTIVE_STANDBY"
        " (two; the default)",
    },
    choice.ZONE: {
        COMPUTE_ZONE: f"The compute availability zone. There is one; it is {ZONE}",
        MANAGEMENT_NETWORK: "Kept and without effect. Nothing here is managed over a network",
    },
}


@dataclass(frozen=True, slots=True)
class ProfileData:
    """What a profile says, read."""

    said: Mapping[str, Any]

    @property
    def stations(self) -> int | None:
        return STATIONS.get(self.said.get(TOPOLOGY, ""))


def read(kind: str, data: str) -> ProfileData:
    """Raises Invalid, and Unsupported for what no balancer here can have."""
    field = f"{kind}_data"
    try:
        said = msgspec.json.decode(data, type=dict[str, str])
    except (msgspec.DecodeError, RecursionError) as cause:
        raise Invalid(
            f"Invalid input for field/attribute {field}. It is no JSON of words."
        ) from cause
    unknown = sorted(said.keys() - CAPABILITIES[kind].keys())
    if unknown:
        raise Unsupported(
            f"Provider '{PROVIDER}' does not support a requested option: {', '.join(unknown)}"
        )
    if said.get(TOPOLOGY, "SINGLE") not in STATIONS:
        raise Invalid(f"{TOPOLOGY} is one of {', '.join(STATIONS)}", field=field)
    if said.get(COMPUTE_ZONE, ZONE) != ZONE:
        raise Invalid(f"Compute zone {said[COMPUTE_ZONE]} is not valid.", field=field)
    return ProfileData(said)


def require_provider(name: str) -> None:
    """Raises Invalid."""
    if name != PROVIDER:
        raise Invalid(f"Provider '{name}' is not enabled.", field="provider")
