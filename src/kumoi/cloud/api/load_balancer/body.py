"""The body of a request, {"pool": {…}}, in Octavia's words when it does not fit."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec

from kumoi.base.errors import Invalid
from kumoi.cloud.api.request import Request
from kumoi.engine.http.bounds import Entries, Text, entries
from kumoi.engine.http.request import UNSET, Body, Unset

Shape = TypeVar("Shape", bound=Body)

Id = Annotated[str, msgspec.Meta(max_length=64)]
PortNumber = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
TlsWords = Annotated[list[Annotated[str, msgspec.Meta(max_length=32)]], msgspec.Meta(max_length=16)]
Tags = Entries[Text]

TOGETHER_MAX = 300
TOGETHER_ENTRIES_MAX = 300
"""All that are told at once are written in one transaction, during which nobody else writes."""


RENAMED = {"loadbalancer_id": "load_balancer_id"}


class Common(Body):
    """What every noun may say of itself."""

    name: Text | Unset | None = UNSET
    admin_state_up: bool | Unset | None = UNSET
    tags: Tags | Unset | None = UNSET


class Described(Common):
    description: Text | Unset | None = UNSET


class Secured(Described):
    """What a listener and a pool may say of TLS."""

    tls_ciphers: Annotated[str, msgspec.Meta(max_length=2_048)] | Unset | None = UNSET
    tls_versions: TlsWords | Unset | None = UNSET
    alpn_protocols: TlsWords | Unset | None = UNSET


def require(request: Request, word: str) -> None:
    """That the body is of that, whatever it says. Raises Invalid."""
    outer: dict[str, dict[str, Any]] = _decoded(request.json, dict[str, dict[str, Any]])
    if word not in outer:
        raise Invalid(f"Missing mandatory field {word}", field=word)


def one(request: Request, word: str, shape: type[Shape]) -> Shape:
    """The thing under `word`. Raises Invalid."""
    outer: dict[str, msgspec.Raw] = _decoded(request.json, dict[str, msgspec.Raw])
    if word not in outer:
        raise Invalid(f"Missing mandatory field {word}", field=word)
    decoded: Shape = _decoded(outer[word], shape)
    return decoded


def several(request: Request, words: str, shape: type[Shape]) -> list[Shape]:
    """The things under `words`. Raises Invalid."""
    outer: dict[str, msgspec.Raw] = _decoded(request.json, dict[str, msgspec.Raw])
    if words not in outer:
        raise Invalid(f"Missing mandatory field {words}", field=words)
    items: list[msgspec.Raw] = _decoded(outer[words], list[msgspec.Raw])
    if len(items) > TOGETHER_MAX:
        raise Invalid(f"At most {TOGETHER_MAX} {words} can be told at once", field=words)
    decoded: list[Shape] = [_decoded(item, shape) for item in items]
    if sum(entries(each) for each in decoded) > TOGETHER_ENTRIES_MAX:
        raise Invalid(
            f"The lists of {words} have at most {TOGETHER_ENTRIES_MAX} entries in all", field=words
        )
    return decoded


def decode(named: dict[str, msgspec.Raw], shape: type[Shape]) -> Shape:
    """A thing within another, of which the names were looked at already. Raises Invalid."""
    decoded: Shape = _decoded(msgspec.json.encode(named), shape)
    return decoded


def said(body: Body) -> dict[str, Any]:
    """What a new thing is said to be, by the columns' names: null is as good as nothing."""
    values = {name: getattr(body, name) for name in body.__struct_fields__}
    found = {
        name: value for name, value in values.items() if value is not UNSET and value is not None
    }
    if "tags" in found:
        found["tags"] = tuple(found["tags"])
    return {RENAMED.get(name, name): value for name, value in found.items()}


def changes(body: Body, defaults: dict[str, Any]) -> dict[str, Any]:
    """What is to be otherwise; null is the default, or null where there is none."""
    values = {name: getattr(body, name) for name in body.__struct_fields__}
    return {
        name: defaults.get(name) if value is None else value
        for name, value in values.items()
        if value is not UNSET
    }


def _decoded(raw: msgspec.Raw | bytes, shape: Any) -> Any:
    """Octavia takes "true" and "5" for true and 5, so we do too."""
    try:
        return msgspec.json.decode(raw, type=shape, strict=False)
    except msgspec.ValidationError as cause:
        raise _invalid(str(cause)) from cause
    except msgspec.DecodeError as cause:
        raise Invalid("Invalid input: the body is not JSON", field="body") from cause
    except RecursionError as cause:
        raise Invalid("Invalid input: the body is nested too deeply", field="body") from cause


def _invalid(message: str) -> Invalid:
    """Msgspec says "Expected `str`, got `int` - at `$.name`"."""
    text, _, path = message.partition(" - at `")
    named = path.rstrip("`").removeprefix("$").removeprefix(".") or "body"
    return Invalid(f"Invalid input for field/attribute {named}. {text}.", field=named)
