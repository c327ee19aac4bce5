"""How a network is carried: an overlay of its own, or a network that the hosts are plugged into."""

from __future__ import annotations

from dataclasses import dataclass

from kumoi.cloud.domain.network.addressing import invalid_input

FLAT, GENEVE = "flat", "geneve"
PHYSICAL_NETWORKS = ("physnet1",)  # What every host has; see hosts/wires/virtual.py.


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """None is left to us."""

    network_type: str | None = None
    physical_network: str | None = None
    segmentation_id: int | None = None

    def chosen_type(self) -> str:
        """Raises Invalid for what no host could do, and for what does not go together."""
        kind = self.network_type or (FLAT if self.physical_network else GENEVE)
        if kind not in (FLAT, GENEVE):
            raise invalid_input(
                f"provider:network_type value '{kind}' not supported", "provider:network_type"
            )
        self._require_place(kind)
        if self.segmentation_id is not None:
            raise invalid_input(
                f"provider:segmentation_id cannot be chosen for a {kind} network",
                "provider:segmentation_id",
            )
        return kind

    def _require_place(self, kind: str) -> None:
        place, field = self.physical_network, "provider:physical_network"
        if kind == GENEVE and place is not None:
            raise invalid_input(f"{field} specified for a {kind} network", field)
        if kind == FLAT and place is None:
            raise invalid_input(f"{field} required for a {kind} network", field)
        if place is not None and place not in PHYSICAL_NETWORKS:
            raise invalid_input(f"{field} '{place}' unknown for a {kind} network", field)
