"""All permissions of the cloud and the pipeline. A new service adds its file, and its line here."""

from __future__ import annotations

from collections.abc import Mapping

from kumoi.policy.compute import COMPUTE
from kumoi.policy.host import HOST
from kumoi.policy.identity import IDENTITY
from kumoi.policy.image import IMAGE
from kumoi.policy.key_manager import KEY_MANAGER
from kumoi.policy.load_balancer import LOAD_BALANCER
from kumoi.policy.network import NETWORK
from kumoi.policy.pipeline import PIPELINE
from kumoi.policy.placement import PLACEMENT
from kumoi.policy.row import Row

SERVICES: Mapping[str, Mapping[str, Row]] = {
    "identity": IDENTITY,
    "image": IMAGE,
    "network": NETWORK,
    "compute": COMPUTE,
    "load-balancer": LOAD_BALANCER,
    "key-manager": KEY_MANAGER,
    "placement": PLACEMENT,
    "host": HOST,
    "pipeline": PIPELINE,
}
TABLE: Mapping[str, Row] = {name: row for rows in SERVICES.values() for name, row in rows.items()}
