"""What all answers of the identity API share: times, links and lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.identity import catalog, revocation
from kumoi.cloud.store.listing import Comparator, Listing, PartFilter
from kumoi.engine.http import paging
from kumoi.engine.http.bounds import AnyObject
from kumoi.engine.http.request import Unset

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"\S")]
ShortName = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"\S")]
Key = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Text = Annotated[str, msgspec.Meta(max_length=65_535)]
Password = Annotated[str, msgspec.Meta(min_length=1, max_length=4_096)]
Tag = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[^,/]+\Z")]
Options = AnyObject
NoTags = Annotated[list[Any], msgspec.Meta(max_length=0)]
LIST_MAX = 10_000
"""Where no limit is asked for. Keystone has none then, and openstacksdk does not follow its links, so
this is far above what a cloud of a small team has; beyond it the link to the next page is there.
"""
COMPARATORS = frozenset(Comparator)


def moment(at: datetime | None) -> str | None:
    """As Keystone writes a time: 2026-01-01T12:00:00.000000Z."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") if at else None


def link(request: Request, *path: str) -> dict[str, str]:
    return {"self": "/".join((f"{request.base}/v3", *path))}


def off(request: Request) -> frozenset[str]:
    """The URLs of endpoints that are not shown, because their API is off."""
    return catalog.paths_off(request.services.cloud)


def home(request: Request, domain_id: str | Unset) -> str:
    """The domain of a new resource: the one named, or else the token's."""
    if not isinstance(domain_id, Unset):
        return domain_id
    claims = request.claims
    within = claims.project.domain_id if claims.project else claims.domain_id
    return str(within or claims.user_domain_id)


def listing(
    request: Request, columns: Mapping[str, str], *, booleans: Sequence[str] = ()
) -> Listing:
    """Any attribute of `columns` is a filter, also with a comparator (`name__icontains`); what is
    neither is ignored, as Keystone does.
    """
    filters: dict[str, Sequence[Any]] = {}
    parts: list[PartFilter] = []
    for name, text in request.query.items():
        attribute, _, comparator = name.partition("__")
        column = columns.get(attribute)
        if column is None:
            continue
        if not comparator:
            value: Any = text
            if attribute in booleans:
                value = paging.boolean(text or "true", attribute)
            filters[column] = [value]
        elif comparator.removeprefix("i") in COMPARATORS and attribute not in booleans:
            word = Comparator(comparator.removeprefix("i"))
            sensitive = not comparator.startswith("i")
            parts.append(PartFilter(column, word, text, case_sensitive=sensitive))
    return Listing(
        parts=tuple(parts),
        filters=filters,
        limit=paging.limit(request, default=LIST_MAX),
        marker=request.query.get("marker"),
    )


def confined(request: Request, wanted: Listing, rule: str, column: str = "domain_id") -> Listing:
    """What is in the caller's domain only, where the rule reaches no further."""
    domain_id = request.caller.domain_reach(rule)
    if domain_id is None:
        return wanted
    asked = domain_id in wanted.filters.get(column, [domain_id])
    return replace(wanted, filters={**wanted.filters, column: [domain_id] if asked else []})


def named_domain(domain_id: str | Unset | None) -> str | None:
    """The domain that a body names: whoever manages one only has to name it, as at Keystone."""
    return None if isinstance(domain_id, Unset) else domain_id


def page(
    request: Request,
    name: str,
    shown: Sequence[Mapping[str, Any]],
    wanted: Listing | None = None,
) -> dict[str, Any]:
    """A list, with links to itself and, when the page is full, to the next one."""
    url = f"{request.services.cloud.api_url}{request.url_path}"
    query = request.http.scope["query_string"].decode("latin-1")
    following = paging.links(
        request, [str(row.get("id")) for row in shown], wanted.limit if wanted else None
    )
    return {
        name: list(shown),
        "links": {
            "self": f"{url}?{query}" if query else url,
            "previous": None,
            "next": following[0]["href"] if following else None,
        },
    }


def ended(request: Request) -> None:
    """Called after a transaction that ended tokens: from now on this process refuses them."""
    with request.read() as connection:
        now = request.services.clock.now()
        revocation.refresh(connection, request.services.tokens, now)
