"""Profiles of flavors and availability zones: what is accepted and what is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.cloud.api.load_balancer.rendering import Shown, TagsOf
from kumoi.cloud.api.load_balancer.resource import BalancingResource
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.load_balancer import choice_profile as domain
from kumoi.cloud.domain.load_balancer.choice_profile import ChoiceProfileRequest, ChoiceProfileRules
from kumoi.cloud.store.load_balancer.choice_profile import ChoiceProfile
from kumoi.engine.http.bounds import Text
from kumoi.engine.http.request import UNSET, Body, Unset


class ChoiceProfileChanges(Body):
    name: Text | Unset = UNSET
    provider_name: Text | Unset = UNSET


class FlavorProfileChanges(ChoiceProfileChanges):
    flavor_data: Text | Unset = UNSET


class FlavorProfileNew(Body):
    name: Text
    provider_name: Text
    flavor_data: Text


class ZoneProfileChanges(ChoiceProfileChanges):
    availability_zone_data: Text | Unset = UNSET


class ZoneProfileNew(Body):
    name: Text
    provider_name: Text
    availability_zone_data: Text


def _resource(
    rules: ChoiceProfileRules, words: tuple[str, str], new: type[Body], changes: type[Body]
) -> BalancingResource[ChoiceProfile]:
    data = f"{rules.kind}_data"

    def convert(_request: Request, values: dict[str, Any]) -> None:
        if data in values:
            values["data"] = values.pop(data)

    def wanted(request: Request, said: dict[str, Any]) -> ChoiceProfileRequest:
        convert(request, said)
        return ChoiceProfileRequest(**said)

    def shown(_connection: Connection, rows: Sequence[ChoiceProfile], _tags: TagsOf) -> list[Shown]:
        return [
            {"id": row.id, "name": row.name, "provider_name": row.provider_name, data: row.data}
            for row in rows
        ]

    return BalancingResource(
        word=words[0],
        words=words[1],
        new=new,
        changes=changes,
        columns={"id": str, "name": str, "provider_name": str, "data": str},
        order="id",
        standard={},
        wanted=wanted,
        convert=convert,
        make=rules.create,
        get=rules.get,
        page=rules.page,
        change=rules.update,
        remove=rules.delete,
        shown=shown,
    )


FLAVORS = _resource(
    domain.FLAVORS, ("flavorprofile", "flavorprofiles"), FlavorProfileNew, FlavorProfileChanges
)
ZONES = _resource(
    domain.ZONES,
    ("availability_zone_profile", "availability_zone_profiles"),
    ZoneProfileNew,
    ZoneProfileChanges,
)
