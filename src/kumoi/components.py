"""What a cloud may be without: its APIs but identity's, and the pipeline; and what each needs of the others.

cloud.toml lists the APIs that are off, host.toml the roles that run. Pure; config.py reads and writes both.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterator

from kumoi.base.errors import Invalid

KEY = "apis_off"


class Api(enum.StrEnum):
    """The APIs, by their types in the catalogue, which are also the first words of their paths."""

    IDENTITY = "identity"
    IMAGE = "image"
    NETWORK = "network"
    COMPUTE = "compute"
    LOAD_BALANCER = "load-balancer"
    KEY_MANAGER = "key-manager"
    PLACEMENT = "placement"


PIPELINE = "pipeline"  # As its role is called.
OPTIONAL_APIS = tuple(api.value for api in Api if api is not Api.IDENTITY)
OPTIONAL = (*OPTIONAL_APIS, PIPELINE)
NEEDS: dict[str, tuple[Api, ...]] = {
    Api.COMPUTE: (Api.IMAGE, Api.NETWORK),  # Which clients ask for what they start servers of.
    Api.LOAD_BALANCER: (Api.NETWORK,),
    Api.PLACEMENT: (Api.COMPUTE,),
    PIPELINE: (Api.COMPUTE,),
}
"""What is of no use without the others. A balancer's certificates need the key manager; balancers
without any do not.
"""


def served(off: Collection[str]) -> tuple[Api, ...]:
    """The APIs of a cloud in which those are off."""
    return tuple(api for api in Api if api == Api.IDENTITY or api not in off)


def with_needs(*names: str) -> frozenset[str]:
    """These, and what they need, and what that needs."""
    found = frozenset(names)
    needed = found.union(*(NEEDS.get(name, ()) for name in found))
    return found if needed == found else with_needs(*needed)


def lacking(off: Collection[str]) -> Iterator[tuple[str, Api]]:
    """What is not off, each with something it needs that is."""
    for name, needs in NEEDS.items():
        for need in needs:
            if name not in off and need in off:
                yield name, need


def check(off: Collection[str]) -> None:
    """The APIs that are off, of cloud.toml. Raises Invalid where another one needs them."""
    if Api.IDENTITY in off:
        raise Invalid(f"setting {KEY} has identity, without which there is no cloud", field=KEY)
    for name, need in lacking({*off, PIPELINE}):
        message = f"setting {KEY} has {need}, which {name} needs: add {name} or take {need} out"
        raise Invalid(message, field=KEY)
