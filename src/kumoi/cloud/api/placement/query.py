"""The query strings of Placement: which parameters a request may have in its version, and what they say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from kumoi.base.errors import Invalid
from kumoi.base.ids import is_uuid
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.placement.provider import CLASSES, ProviderFilter
from kumoi.engine.http import paging
from kumoi.engine.http.versions import Version

V_MEMBER_OF = (1, 3)
V_RESOURCES = (1, 4)
V_TREE = (1, 14)
V_LIMIT = (1, 16)
V_REQUIRED = (1, 17)
V_PROVIDER_REQUIRED = (1, 18)
V_CANDIDATE_MEMBER_OF = (1, 21)
V_FORBIDDEN = (1, 22)
V_MEMBER_OF_AGAIN = (1, 24)
V_GROUPS = (1, 25)
V_CANDIDATE_TREE = (1, 31)
V_OUTSIDE = (1, 32)
V_SUFFIXES = (1, 33)
V_ROOT = (1, 35)
V_SUBTREE = (1, 36)
V_ANY_TRAIT = (1, 39)

PROVIDERS: Mapping[str, Version] = {
    "name": (1, 0),
    "uuid": (1, 0),
    "member_of": V_MEMBER_OF,
    "resources": V_RESOURCES,
    "in_tree": V_TREE,
    "required": V_PROVIDER_REQUIRED,
}
CANDIDATES: Mapping[str, Version] = {
    "resources": (1, 10),
    "limit": V_LIMIT,
    "required": V_REQUIRED,
    "member_of": V_CANDIDATE_MEMBER_OF,
    "group_policy": V_GROUPS,
    "in_tree": V_CANDIDATE_TREE,
    "root_required": V_ROOT,
    "same_subtree": V_SUBTREE,
}
GROUPED = ("resources", "required", "member_of", "in_tree")
"""What may be said of each of several groups, with a word of the group behind it."""
SUFFIX_MAX = 64
GROUPS_MAX = 64


class CandidateQuery(NamedTuple):
    """`groups` are by the word behind the parameters; all of them are wanted of one provider."""

    groups: Mapping[str, ProviderFilter]
    isolated: bool
    limit: int | None


def providers(request: Request, known: Collection[str]) -> ProviderFilter:
    """Raises Invalid. `known` are the traits that there are."""
    _require_known(request, PROVIDERS)
    return _filter(request, "", known)


def candidates(request: Request, known: Collection[str]) -> CandidateQuery:
    """Raises Invalid."""
    suffixes = _suffixes(request)
    allowed = dict(CANDIDATES)
    if request.microversion >= V_GROUPS:
        allowed |= {f"{name}{suffix}": V_GROUPS for name in GROUPED for suffix in suffixes}
    _require_known(request, allowed)
    groups = {
        suffix: _filter(request, suffix, known)
        for suffix in ("", *suffixes)
        if any(f"{name}{suffix}" in request.query for name in GROUPED)
    }
    if not any(group.amounts for group in groups.values()):
        raise Invalid("'resources' is a required property", field="resources")
    numbered = [suffix for suffix in suffixes if groups[suffix].amounts]
    policy = request.query.get("group_policy")
    if policy not in (None, "none", "isolate") or (policy is None and len(numbered) > 1):
        words = "The 'group_policy' parameter is required when specifying more than one group: none or isolate."
        raise Invalid(words, field="group_policy")
    if "root_required" in request.query:
        required, forbidden = _traits(request.query["root_required"], "root_required", known)
        base = groups.get("", ProviderFilter())
        groups[""] = _with(base, required, forbidden)
    limit = None
    if "limit" in request.query:
        limit = paging.natural(request.query["limit"])
        if not limit:
            raise Invalid(f"'{request.query['limit']}' is no limit of 1 or more", field="limit")
    return CandidateQuery(groups, policy == "isolate" and len(numbered) > 1, limit)


def _with(
    row: ProviderFilter, required: frozenset[str], forbidden: frozenset[str]
) -> ProviderFilter:
    return ProviderFilter(
        ids=row.ids,
        amounts=row.amounts,
        required=row.required | required,
        any_of=row.any_of,
        forbidden=row.forbidden | forbidden,
        member_of=row.member_of,
        outside=row.outside,
    )


def require_only(request: Request, names: Collection[str]) -> None:
    """Raises Invalid for a parameter that is none of these."""
    _require_known(request, dict.fromkeys(names, (1, 0)))


def _suffixes(request: Request) -> list[str]:
    """The words of the groups that the request has."""
    found: dict[str, None] = {}
    for parameter in request.query:
        for name in GROUPED:
            suffix = parameter.removeprefix(name)
            if suffix not in ("", parameter) and _is_suffix(suffix, request.microversion):
                found[suffix] = None
    if len(found) > GROUPS_MAX:
        raise Invalid(f"More than {GROUPS_MAX} groups were given.", field="resources")
    return sorted(found)


def _is_suffix(text: str, version: Version) -> bool:
    if version < V_SUFFIXES:
        return text.isdecimal() and len(text) <= SUFFIX_MAX
    plain = text.replace("-", "").replace("_", "")
    return plain.isalnum() and plain.isascii() and len(text) <= SUFFIX_MAX


def _require_known(request: Request, allowed: Mapping[str, Version]) -> None:
    for name in request.query:
        if name not in allowed or request.microversion < allowed[name]:
            raise Invalid(
                f"Invalid query string parameters: Additional properties are not allowed ('{name}' "
                "was unexpected)",
                field=name,
            )


def _filter(request: Request, suffix: str, known: Collection[str]) -> ProviderFilter:
    query, version = request.query, request.microversion
    ids: set[str] | None = None
    for name in (f"uuid{suffix}", f"in_tree{suffix}"):
        if name in query:
            if not is_uuid(query[name]):
                raise Invalid(f"Invalid {name} value {query[name]}: not a uuid", field=name)
            ids = {query[name]} if ids is None else ids & {query[name]}
    required: set[str] = set()
    forbidden: set[str] = set()
    any_of: list[frozenset[str]] = []
    name = f"required{suffix}"
    for text in request.query_all(name):
        if text.startswith("in:") and version >= V_ANY_TRAIT:
            any_of.append(frozenset(text.removeprefix("in:").split(",")))
            _require_traits(any_of[-1], known)
            continue
        if text.startswith("in:") or (version < V_FORBIDDEN and "!" in text):
            raise Invalid(f"Invalid query string parameters: {name}={text}", field=name)
        more, never = _traits(text, name, known)
        required |= more
        forbidden |= never
    member_of, outside = _aggregates(request, f"member_of{suffix}")
    return ProviderFilter(
        ids=ids,
        name=query.get("name") if not suffix else None,
        amounts=_amounts(query.get(f"resources{suffix}"), f"resources{suffix}"),
        required=frozenset(required),
        any_of=tuple(any_of),
        forbidden=frozenset(forbidden),
        member_of=member_of,
        outside=outside,
    )


def _amounts(text: str | None, field: str) -> dict[str, int]:
    """`VCPU:1,MEMORY_MB:512`. Raises Invalid."""
    found: dict[str, int] = defaultdict(int)
    for part in (text or "").split(",") if text is not None else ():
        name, _, amount = part.partition(":")
        number = paging.natural(amount)
        if not name or not number:
            raise Invalid(
                f"Badly formed {field} parameter. Expected resources query string parameter in form: "
                f"?{field}=VCPU:2,MEMORY_MB:1024. Got: {text}.",
                field=field,
            )
        if name not in CLASSES:
            raise Invalid(
                f"Invalid resource class in resources parameter: No such resource class {name}.",
                field=field,
            )
        found[name] += number
    return dict(found)


def _traits(text: str, field: str, known: Collection[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Those required, and behind a `!` those forbidden. Raises Invalid."""
    parts = text.split(",")
    if not all(part.lstrip("!") for part in parts):
        raise Invalid(
            f"Invalid query string parameters: Expected '{field}' parameter value of the form: "
            f"HW_CPU_X86_VMX,CUSTOM_MAGIC. Got: {text}",
            field=field,
        )
    forbidden = frozenset(part[1:] for part in parts if part.startswith("!"))
    required = frozenset(part for part in parts if not part.startswith("!"))
    _require_traits(required | forbidden, known)
    if required & forbidden:
        raise Invalid(f"Conflicting required and forbidden traits in {field}", field=field)
    return required, forbidden


def _require_traits(names: Iterable[str], known: Collection[str]) -> None:
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise Invalid(f"No such trait(s): {', '.join(unknown)}.", field="required")


def _aggregates(request: Request, field: str) -> tuple[tuple[frozenset[str], ...], frozenset[str]]:
    """One of each set, and none of those behind a `!`. Raises Invalid."""
    texts = request.query_all(field)
    if len(texts) > 1 and request.microversion < V_MEMBER_OF_AGAIN:
        raise Invalid("Multiple member_of parameters are not supported", field=field)
    inside: list[frozenset[str]] = []
    outside: set[str] = set()
    for text in texts:
        is_outside = text.startswith("!") and request.microversion >= V_OUTSIDE
        plain = text[1:] if is_outside else text
        names = plain.removeprefix("in:").split(",")
        if not all(is_uuid(name) for name in names) or (
            len(names) > 1 and not plain.startswith("in:")
        ):
            raise Invalid(
                f"Expected '{field}' parameter to contain valid UUID(s). Got: {text}", field=field
            )
        if is_outside:
            outside |= set(names)
        else:
            inside.append(frozenset(names))
    return tuple(inside), frozenset(outside)
