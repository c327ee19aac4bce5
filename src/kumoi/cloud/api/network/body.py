"""The body of a request; errors are worded as Neutron words them.

A body is {"port": {…}}, or {"ports": [{…}, …]} to make several at once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from typing import Annotated, Any, TypeVar

import msgspec

from kumoi.base.errors import Invalid
from kumoi.cloud.api.request import Request
from kumoi.engine.http.bounds import entries
from kumoi.engine.http.request import Body

Shape = TypeVar("Shape", bound=Body)

TAG_MAX = 60
TAGS_MAX = 50
BULK_MAX = 50
BULK_ENTRIES_MAX = 3 * BULK_MAX
"""All that are made at once are made in one transaction, during which nobody else writes."""

Tag = Annotated[str, msgspec.Meta(min_length=1, max_length=TAG_MAX)]
Tags = Annotated[list[Tag], msgspec.Meta(max_length=TAGS_MAX)]

UNKNOWN = "Unrecognized attribute(s) '{}'"


def one(request: Request, word: str, shape: type[Shape], *, fixed: Collection[str] = ()) -> Shape:
    """The object under the key `word`; `fixed` are attributes that exist but cannot be changed.

    Raises Invalid.
    """
    envelope = _envelope(request)
    if word not in envelope:
        raise Invalid(f"Unable to find '{word}' in request body", field=word)
    if len(envelope) > 1:
        extra = min(set(envelope) - {word})
        raise Invalid(UNKNOWN.format(extra), field=extra)
    return decode(envelope[word], shape, fixed=fixed)


def several(
    request: Request, word: str, words: str, shape: type[Shape]
) -> tuple[list[Shape], bool]:
    """The objects under the singular or the plural key, and whether it is the plural. Raises Invalid."""
    envelope = _envelope(request)
    if words not in envelope or word in envelope:
        return [one(request, word, shape)], False
    items = _decoded(envelope[words], list[msgspec.Raw])
    if not items:
        raise Invalid("Resources required", field=words)
    if len(items) > BULK_MAX:
        raise Invalid(f"at most {BULK_MAX} {words} can be made at once", field=words)
    decoded = [decode(_unwrapped(item, word), shape) for item in items]
    if sum(entries(each) for each in decoded) > BULK_ENTRIES_MAX:
        raise Invalid(
            f"the lists of {words} that are made at once have at most {BULK_ENTRIES_MAX} entries in "
            "all",
            field=words,
        )
    return decoded, True


def _unwrapped(item: msgspec.Raw, word: str) -> msgspec.Raw:
    """Each of several may be under the singular's key, as Neutron takes it, too."""
    present: dict[str, msgspec.Raw] = _decoded(item, dict[str, msgspec.Raw])
    return present[word] if present.keys() == {word} else item


def plain(request: Request, shape: type[Shape]) -> Shape:
    """A body without an envelope, as that of an action. Raises Invalid."""
    return decode(request.json if request.raw else b"{}", shape)


def decode(raw: msgspec.Raw | bytes, shape: type[Shape], *, fixed: Collection[str] = ()) -> Shape:
    """Raises Invalid for an attribute that is unknown, cannot be changed, is missing or does not fit."""
    present: dict[str, msgspec.Raw] = _decoded(raw, dict[str, msgspec.Raw])
    known = _required(shape)
    for name in present:
        if name not in known:
            reason = "Cannot update read-only attribute {}" if name in fixed else UNKNOWN
            raise Invalid(reason.format(name), field=name)
    for name, required in known.items():
        if required and name not in present:
            raise Invalid(
                f"Failed to parse request. Required attribute '{name}' not specified", field=name
            )
    decoded: Shape = _decoded(raw, shape)
    return decoded


def names(shape: type[Body]) -> Collection[str]:
    """The attributes that a body may have."""
    return _required(shape)


@functools.cache
def _required(shape: type[Body]) -> dict[str, bool]:
    """The attributes that a body may have, and whether each is required."""
    return {field.encode_name: field.required for field in msgspec.structs.fields(shape)}


def convert(values: dict[str, Any], name: str, check: Callable[[str, Any], Any]) -> None:
    """Replace a value that is present and not None by what the check returns."""
    if values.get(name) is not None:
        values[name] = check(name, values[name])


def _envelope(request: Request) -> dict[str, msgspec.Raw]:
    envelope: dict[str, msgspec.Raw] = _decoded(request.json, dict[str, msgspec.Raw])
    return envelope


def _decoded(raw: msgspec.Raw | bytes, shape: Any) -> Any:
    """Neutron takes "true" and "5" for true and 5, so we do too."""
    try:
        return msgspec.json.decode(raw, type=shape, strict=False)
    except msgspec.ValidationError as cause:
        text, _, path = str(cause).partition(" - at `")  # "Expected `str` - at `$.name`".
        field = path.rstrip("`").removeprefix("$").removeprefix(".") or "body"
        raise Invalid(f"Invalid input for {field}. Reason: {text}.", field=field) from cause
    except msgspec.DecodeError as cause:
        raise Invalid(
            "The server could not comply with the request since it is either malformed or "
            "otherwise incorrect.",
            field="body",
        ) from cause
    except RecursionError as cause:
        raise Invalid("the body is nested too deeply", field="body") from cause
