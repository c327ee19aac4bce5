"""How a network is carried: over Geneve between the hosts, or flat on a network of theirs."""

from __future__ import annotations

from kumoi.cloud.domain.network.addressing import invalid_input

FLAT, GENEVE = "flat", "geneve"
PHYSICAL_NETWORKS = ("physnet1",)  # Every host is plugged into them: hosts/wires/virtual.py.


def network_type(
    wanted: str | None, physical_network: str | None, segmentation_id: int | None
) -> str:
    """The type of a network that asks for these; None leaves the choice to us.

    Raises Invalid for what no host can do, and for what does not go together.
    """
    chosen = wanted or (FLAT if physical_network else GENEVE)
    if chosen not in (FLAT, GENEVE):
        raise invalid_input(
            f"provider:network_type value '{chosen}' not supported", "provider:network_type"
        )
    field = "provider:physical_network"
    if chosen == GENEVE and physical_network is not None:
        raise invalid_input(f"{field} specified for a {chosen} network", field)
    if chosen == FLAT and physical_network is None:
        raise invalid_input(f"{field} required for a {chosen} network", field)
    if chosen == FLAT and physical_network not in PHYSICAL_NETWORKS:
        raise invalid_input(f"{field} '{physical_network}' unknown for a {chosen} network", field)
    if segmentation_id is not None:
        raise invalid_input(
            f"provider:segmentation_id cannot be chosen for a {chosen} network",
            "provider:segmentation_id",
        )
    return chosen
