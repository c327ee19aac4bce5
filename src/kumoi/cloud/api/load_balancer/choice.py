"""Flavors and availability zones of load balancers: what is accepted and what is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.cloud.api.load_balancer.body import Id
from kumoi.cloud.api.load_balancer.rendering import Shown, TagsOf
from kumoi.cloud.api.load_balancer.resource import BalancingResource
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.load_balancer import choice as domain
from kumoi.cloud.domain.load_balancer.choice import ChoiceRequest, ChoiceRules
from kumoi.cloud.store.load_balancer import choice as store
from kumoi.cloud.store.load_balancer.choice import BalancerChoice
from kumoi.engine.http.bounds import Text
from kumoi.engine.http.request import UNSET, Body, Unset


class ZoneChanges(Body):
    """Its name stays: balancers are known by it."""

    description: Text | Unset | None = UNSET
    enabled: bool | Unset | None = UNSET


class ZoneNew(ZoneChanges, kw_only=True):
    name: Text
    availability_zone_profile_id: Id


class BalancerFlavorChanges(ZoneChanges):
    name: Text | Unset = UNSET


class BalancerFlavorNew(BalancerFlavorChanges, kw_only=True):
    name: Text
    flavor_profile_id: Id


def _resource(
    rules: ChoiceRules, words: tuple[str, str], new: type[Body], changes: type[Body]
) -> BalancingResource[BalancerChoice]:
    profile_id = f"{rules.kind}_profile_id"

    def wanted(_request: Request, said: dict[str, Any]) -> ChoiceRequest:
        return ChoiceRequest(profile_id=said.pop(profile_id), **said)

    def shown(
        _connection: Connection, rows: Sequence[BalancerChoice], _tags: TagsOf
    ) -> list[Shown]:
        return [
            {
                **({"id": row.id} if rules.kind == store.FLAVOR else {}),
                "name": row.name,
                "description": row.description,
                "enabled": row.enabled,
                profile_id: row.profile_id,
            }
            for row in rows
        ]

    return BalancingResource(
        word=words[0],
        words=words[1],
        new=new,
        changes=changes,
        columns={"id": str, "name": str, "description": str, "enabled": bool, "profile_id": str},
        order=rules.key,
        standard={},
        defaults={"description": "", "enabled": True},
        wanted=wanted,
        make=rules.create,
        get=rules.get,
        page=rules.page,
        change=rules.update,
        remove=rules.delete,
        shown=shown,
    )


FLAVORS = _resource(domain.FLAVORS, ("flavor", "flavors"), BalancerFlavorNew, BalancerFlavorChanges)
ZONES = _resource(domain.ZONES, ("availability_zone", "availability_zones"), ZoneNew, ZoneChanges)
