"""How much there is of what APIs made that are off now. For `kumoi status`."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from kumoi.cloud.store.compute.server import server
from kumoi.cloud.store.image.image import image
from kumoi.cloud.store.key_manager.secret import secret
from kumoi.cloud.store.load_balancer.load_balancer import load_balancer
from kumoi.cloud.store.network.network import network
from kumoi.components import Api

KEPT = {
    Api.COMPUTE: ("servers", sa.select(sa.func.count()).where(server.c.deleted.is_(False))),
    Api.LOAD_BALANCER: ("balancers", sa.select(sa.func.count(load_balancer.c.id))),
    Api.NETWORK: ("networks", sa.select(sa.func.count(network.c.id))),
    Api.IMAGE: ("images", sa.select(sa.func.count(image.c.id))),
    Api.KEY_MANAGER: ("secrets", sa.select(sa.func.count(secret.c.id))),
}


def counts(connection: Connection, apis: Collection[str]) -> dict[str, str]:
    """By each of these APIs, in words, what it made that is still there; empty where there is nothing."""
    found = dict.fromkeys(apis, "")
    for api, (what, query) in KEPT.items():
        if api in found and (count := connection.execute(query).scalar_one()):
            found[api] = f"{count} {what if count > 1 else what.removesuffix('s')}"
    return found
