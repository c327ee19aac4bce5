"""The body of a request, in Neutron's words when it does not fit.

A body is {"port": {…}}, or {"ports": [{…}, …]} to make several at once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from typing import Annotated, Any, TypeVar

import msgspec

from kumoi.base.errors import Invalid
from kumoi.cloud.api.request import Request
from kumoi.engine.http.request import Body

Shape = TypeVar("Shape", bound=Body)

Text = Annotated[str, msgspec.Meta(max_length=255)]
Tag = Annotated[str, msgspec.Meta(min_length=1, max_length=60)]

BULK_MAX = 1_000
UNKNOWN = "Unrecognized attribute(s) '{}'"


def one(request: Request, word: str, shape: type[Shape], *, fixed: Collection[str] = ()) -> Shape:
    """The thing under `word`; `fixed` are attributes that exist but cannot be changed.

    Raises Invalid.
    """
    outer = _outer(request)
    if word not in outer:
        raise Invalid(f"Unable to find '{word}' in request body", field=word)
    if len(outer) > 1:
        extra = min(set(outer) - {word})
        raise Invalid(UNKNOWN.format(extra), field=extra)
    return decode(outer[word], shape, fixed=fixed)


def several(
    request: Request, word: str, words: str, shape: type[Shape]
) -> tuple[list[Shape], bool]:
    """The things under either word, and whether it was the plural. Raises Invalid."""
    outer = _outer(request)
    if words not in outer or word in outer:
        return [one(request, word, shape)], False
    items = _decoded(outer[words], list[msgspec.Raw])
    if not items:
        raise Invalid("Resources required", field=words)
    if len(items) > BULK_MAX:
        raise Invalid(f"at most {BULK_MAX} {words} can be made at once", field=words)
    return [decode(item, shape) for item in items], True


def plain(request: Request, shape: type[Shape]) -> Shape:
    """A body that is the thing itself, as that of an action. Raises Invalid."""
    return decode(request.json if request.raw else b"{}", shape)


def decode(raw: msgspec.Raw | bytes, shape: type[Shape], *, fixed: Collection[str] = ()) -> Shape:
    """Raises Invalid."""
    there: dict[str, msgspec.Raw] = _decoded(raw, dict[str, msgspec.Raw])
    known = _required(shape)
    for name in there:
        if name not in known:
            reason = "Cannot update read-only attribute {}" if name in fixed else UNKNOWN
            raise Invalid(reason.format(name), field=name)
    for name, required in known.items():
        if required and name not in there:
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
    """The names a body may have, and whether it must."""
    return {field.encode_name: field.required for field in msgspec.structs.fields(shape)}


def convert(values: dict[str, Any], name: str, check: Callable[[str, Any], Any]) -> None:
    """Put what the check gives in place of a value that is there and not None."""
    if values.get(name) is not None:
        values[name] = check(name, values[name])


def _outer(request: Request) -> dict[str, msgspec.Raw]:
    outer: dict[str, msgspec.Raw] = _decoded(request.json, dict[str, msgspec.Raw])
    return outer


def _decoded(raw: msgspec.Raw | bytes, shape: Any) -> Any:
    """Neutron takes "true" and "5" for true and 5, so we do too."""
    try:
        return msgspec.json.decode(raw, type=shape, strict=False)
    except msgspec.ValidationError as cause:
        raise _invalid(str(cause)) from cause
    except msgspec.DecodeError as cause:
        raise Invalid(
            "The server could not comply with the request since it is either malformed or "
            "otherwise incorrect.",
            field="body",
        ) from cause
    except RecursionError as cause:
        raise Invalid("the body is nested too deeply", field="body") from cause


def _invalid(message: str) -> Invalid:
    """Msgspec says "Expected `str`, got `int` - at `$.name`"."""
    text, _, path = message.partition(" - at `")
    named = path.rstrip("`").removeprefix("$").removeprefix(".") or "body"
    return Invalid(f"Invalid input for {named}. Reason: {text}.", field=named)
