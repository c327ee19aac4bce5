"""Flavors: what is accepted and what is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from kumoi.base.errors import Invalid
from kumoi.cloud.api.compute import rendering, shapes
from kumoi.cloud.api.compute.shapes import Count, Flag, Key, LongText, Name, Text
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.compute import flavor as domain
from kumoi.cloud.domain.compute.flavor import FlavorRequest
from kumoi.cloud.store.compute.flavor import SORT_KEYS, Flavor
from kumoi.cloud.store.listing import Listing, Sort
from kumoi.engine import audit
from kumoi.engine.http.bounds import ENTRIES_MAX
from kumoi.engine.http.paging import QueryMemo
from kumoi.engine.http.request import UNSET, Body, Reply, Unset, encoded
from kumoi.engine.http.versions import Version
from kumoi.engine.memo import Memo

V_DESCRIPTION = (2, 55)
V_EXTRA_SPECS = (2, 61)
V_SWAP_NUMBER = (2, 75)
Specs = Annotated[dict[Key, Text], msgspec.Meta(max_length=ENTRIES_MAX)]
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9. _-]+\Z")]


class FlavorNew(
    Body,
    kw_only=True,
    rename={
        "ephemeral": "OS-FLV-EXT-DATA:ephemeral",
        "is_public": "os-flavor-access:is_public",
    },
):
    name: Name
    ram: Count
    vcpus: Count
    disk: Count
    id: Id | int | Unset | None = UNSET
    swap: Count | Unset = UNSET
    ephemeral: Count | Unset = UNSET
    rxtx_factor: float | Text | Unset = UNSET
    is_public: Flag | Unset = UNSET
    description: LongText | Unset | None = UNSET


class FlavorCreate(Body, kw_only=True):
    flavor: FlavorNew


class FlavorChanges(Body, kw_only=True):
    description: LongText | None


class FlavorUpdate(Body, kw_only=True):
    flavor: FlavorChanges


class Tenant(Body, kw_only=True):
    tenant: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class AccessAction(
    Body,
    kw_only=True,
    rename={"add": "addTenantAccess", "remove": "removeTenantAccess"},
):
    add: Tenant | Unset = UNSET
    remove: Tenant | Unset = UNSET


class PutSpecs(Body, kw_only=True):
    extra_specs: Annotated[Specs, msgspec.Meta(min_length=1)]


def create(request: Request) -> Reply:
    body = request.parse(FlavorCreate).flavor
    shapes.require_versions(request, body, since={"description": V_DESCRIPTION})
    wanted = _new(body)
    with request.write() as connection:
        made = domain.create(connection, wanted, request.services.clock.now())
        audit.about(made.id)
    return Reply(200, {"flavor": render(request, made)})


def index(request: Request) -> Reply:
    return _list(request, detail=False)


def detail(request: Request) -> Reply:
    return _list(request, detail=True)


def show(request: Request) -> Reply:
    with request.read() as connection:
        found = domain.get(connection, request.caller, request.path["id"])
    return Reply(200, {"flavor": render(request, found)})


def update(request: Request) -> Reply:
    description = request.parse(FlavorUpdate).flavor.description
    with request.write() as connection:
        changed = domain.describe(connection, request.caller, request.path["id"], description)
    return Reply(200, {"flavor": render(request, changed)})


def delete(request: Request) -> Reply:
    with request.write() as connection:
        domain.delete(connection, request.path["id"])
    return Reply(202)


def specs(request: Request) -> Reply:
    with request.read() as connection:
        found = domain.get(connection, request.caller, request.path["id"])
    return Reply(200, {"extra_specs": found.extra_specs})


def put_specs(request: Request) -> Reply:
    wanted = request.parse(PutSpecs).extra_specs
    with request.write() as connection:
        domain.put_specs(connection, request.caller, request.path["id"], wanted)
    return Reply(200, {"extra_specs": wanted})


def spec(request: Request) -> Reply:
    name = request.path["key"]
    with request.read() as connection:
        value = domain.spec(connection, request.caller, request.path["id"], name)
    return Reply(200, {name: value})


def put_spec(request: Request) -> Reply:
    name = request.path["key"]
    wanted = request.parse(Specs)
    if set(wanted) != {name}:
        raise Invalid("The key in the URI and the one in the body must be the same.", field=name)
    with request.write() as connection:
        domain.put_specs(connection, request.caller, request.path["id"], wanted)
    return Reply(200, wanted)


def delete_spec(request: Request) -> Reply:
    with request.write() as connection:
        domain.delete_spec(connection, request.caller, request.path["id"], request.path["key"])
    return Reply(200)


def access(request: Request) -> Reply:
    key = request.path["id"]
    with request.read() as connection:
        found = domain.projects(connection, request.caller, key)
    return Reply(200, _access(key, found))


def change_access(request: Request) -> Reply:
    key, body = request.path["id"], request.parse(AccessAction)
    with request.write() as connection:
        if body.add is not UNSET and body.remove is UNSET:
            found = domain.grant(connection, request.caller, key, body.add.tenant)
        elif body.remove is not UNSET and body.add is UNSET:
            request.caller.check("os_compute_api:os-flavor-access:remove_tenant_access")
            found = domain.revoke(connection, request.caller, key, body.remove.tenant)
        else:
            raise Invalid("There must be exactly one action.", field="body")
    return Reply(200, _access(key, found))


def render(request: Request, row: Flavor) -> dict[str, Any]:
    return _render(row, request.base, request.microversion)


def _render(row: Flavor, base: str, version: Version) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": row.id,
        "name": row.name,
        "ram": row.ram_mib,
        "disk": row.disk_gib,
        "vcpus": row.vcpus,
        "swap": row.swap_mib if row.swap_mib or version >= V_SWAP_NUMBER else "",
        "rxtx_factor": row.rxtx_factor,
        "OS-FLV-DISABLED:disabled": False,
        "OS-FLV-EXT-DATA:ephemeral": row.ephemeral_gib,
        "os-flavor-access:is_public": row.is_public,
        "links": rendering.links_to(base, f"flavors/{row.id}"),
    }
    if version >= V_DESCRIPTION:
        shown["description"] = row.description
    if version >= V_EXTRA_SPECS:
        shown["extra_specs"] = row.extra_specs
    return shown


def _list(request: Request, *, detail: bool) -> Reply:
    asked = _QUERIES.of(request)
    with request.read() as connection:
        found = domain.page(
            connection,
            request.caller,
            asked.listing,
            is_public=asked.is_public,
            min_ram_mib=asked.min_ram_mib,
            min_disk_gib=asked.min_disk_gib,
        )
    shown = [_SHOWN.get((row,), request.base, request.microversion, detail) for row in found]
    ids = [row.id for row in found]
    return Reply(200, rendering.page(request, "flavors", shown, ids, asked.most))


def _encode(nouns: tuple[Flavor], base: str, version: Version, detail: bool) -> msgspec.Raw:
    return encoded(_render(*nouns, base, version) if detail else _brief(*nouns, base, version))


_SHOWN = Memo(_encode)


def _brief(row: Flavor, base: str, version: Version) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": row.id,
        "name": row.name,
        "links": rendering.links_to(base, f"flavors/{row.id}"),
    }
    if version >= V_DESCRIPTION:
        shown["description"] = row.description
    return shown


@dataclass(frozen=True, slots=True)
class FlavorQuery:
    """What a list asks for; `most` is the page's size."""

    most: int
    listing: Listing
    is_public: bool | None
    min_ram_mib: int
    min_disk_gib: int


def _read_query(request: Request) -> FlavorQuery:
    most = rendering.limit(request)
    return FlavorQuery(
        most=most,
        listing=_listing(request, most),
        is_public=_is_public(request),
        min_ram_mib=shapes.count(request.query.get("minRam", "0"), "minRam"),
        min_disk_gib=shapes.count(request.query.get("minDisk", "0"), "minDisk"),
    )


_QUERIES = QueryMemo(_read_query)


def _listing(request: Request, most: int) -> Listing:
    key = request.query.get("sort_key", "flavorid")
    direction = request.query.get("sort_dir", "asc")
    if key not in SORT_KEYS:
        raise Invalid(f"Sort key supplied was not valid: {key}", field="sort_key")
    if direction not in ("asc", "desc"):
        raise Invalid(f"Sort direction supplied was not valid: {direction}", field="sort_dir")
    return Listing(
        sorts=(Sort(SORT_KEYS[key], direction == "desc"),),
        limit=most,
        marker=request.query.get("marker"),
    )


def _is_public(request: Request) -> bool | None:
    """Public ones unless asked otherwise; "none" is both."""
    raw = request.query.get("is_public", "true")
    return None if raw.lower() == "none" else shapes.flag(raw, "is_public")


def _new(body: FlavorNew) -> FlavorRequest:
    key = None if body.id is UNSET or body.id == "auto" or body.id is None else str(body.id)
    swap = 0 if body.swap in {UNSET, ""} else shapes.count(body.swap, "swap")
    return FlavorRequest(
        id=key,
        name=body.name,
        description=None if body.description is UNSET else body.description,
        vcpus=shapes.count(body.vcpus, "vcpus", least=1),
        ram_mib=shapes.count(body.ram, "ram", least=1),
        disk_gib=shapes.count(body.disk, "disk"),
        ephemeral_gib=0
        if body.ephemeral is UNSET
        else shapes.count(body.ephemeral, "OS-FLV-EXT-DATA:ephemeral"),
        swap_mib=swap,
        rxtx_factor=1.0 if body.rxtx_factor is UNSET else _factor(body.rxtx_factor),
        is_public=body.is_public is UNSET
        or shapes.flag(body.is_public, "os-flavor-access:is_public"),
    )


def _factor(value: float | str) -> float:
    try:
        number = float(value)
    except ValueError as cause:
        raise shapes.invalid("rxtx_factor", value, f"'{value}' is not a number") from cause
    if not 0 < number < 3.4e38:  # noqa: PLR2004 - the largest 32-bit float
        raise shapes.invalid("rxtx_factor", value, "it is out of range")
    return number


def _access(key: str, projects: list[str]) -> dict[str, Any]:
    return {"flavor_access": [{"flavor_id": key, "tenant_id": project} for project in projects]}
