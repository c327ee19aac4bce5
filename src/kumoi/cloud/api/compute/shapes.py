"""The types of values in compute's bodies, and the checks that depend on the version of the API.

Nova takes many a number or a boolean as text too; `flag` and `count` read those.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import msgspec

from kumoi.base.address import address
from kumoi.base.errors import Invalid
from kumoi.cloud.api.request import Request
from kumoi.engine.http import paging
from kumoi.engine.http.request import UNSET

Version = tuple[int, int]

# Printable, and no blank at either end.
_NAME = r"^(?!\s)[^\x00-\x1f\x7f]*(?<!\s)\Z"
METADATA_MAX = 1_000  # The quota says how many of them a server may have.
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=_NAME)]
Text = Annotated[str, msgspec.Meta(max_length=255)]
LongText = Annotated[str, msgspec.Meta(max_length=65_535)]
Key = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9\-_:. ]+\Z")]
Metadata = Annotated[dict[Key, Text], msgspec.Meta(max_length=METADATA_MAX)]
Tag = Annotated[str, msgspec.Meta(min_length=1, max_length=60, pattern=r"^[^,/]+\Z")]
Tags = Annotated[list[Tag], msgspec.Meta(max_length=50)]
Flag = bool | Text
Count = int | Text
FLAGS = {  # What oslo.utils' `bool_from_string` reads.
    **dict.fromkeys(("1", "t", "true", "on", "y", "yes"), True),
    **dict.fromkeys(("0", "f", "false", "off", "n", "no"), False),
}


def flag(value: Flag, field: str) -> bool:
    """Raises Invalid."""
    if isinstance(value, bool):
        return value
    found = FLAGS.get(str(value).strip().lower())
    if found is None:
        raise invalid(field, value, f"'{value}' is not a boolean")
    return found


def count(value: Count, field: str, *, least: int = 0, most: int = 2**31 - 1) -> int:
    """Raises Invalid."""
    text = str(value)
    number = paging.natural(text.removeprefix("-"))
    if isinstance(value, bool) or number is None:
        raise invalid(field, value, f"{value!r} is not an integer")
    number = -number if text.startswith("-") else number
    if number < least:
        raise invalid(field, value, f"{number} is less than the minimum of {least}")
    if number > most:
        raise invalid(field, value, f"{number} is greater than the maximum of {most}")
    return number


def moment(text: str, field: str) -> datetime:
    """A time as ISO 8601; without a zone it is UTC. Raises Invalid."""
    try:
        return paging.moment(text.replace(" ", "+") if "T" in text else text)
    except ValueError as cause:
        raise invalid(field, text, f"'{text}' is not a 'date-time'") from cause


def ip_address(value: str | None, field: str, version: int | None = None) -> str:
    """The address in its shortest form, empty for None and "". Without a version it may be of either.

    Raises Invalid.
    """
    if not value:
        return ""
    version = version or (6 if ":" in value else 4)
    try:
        found = address(value)
    except ValueError as cause:
        raise invalid(field, value, f"'{value}' is not an IPv{version} address") from cause
    if found.version != version:
        raise invalid(field, value, f"'{value}' is not an IPv{version} address")
    return str(found)


def invalid(field: str, value: Any, why: str) -> Invalid:
    """As Nova words it."""
    return Invalid(f"Invalid input for field/attribute {field}. Value: {value}. {why}", field=field)


def require_versions(
    request: Request,
    body: msgspec.Struct,
    *,
    since: Mapping[str, Version],
    until: Mapping[str, Version] | None = None,
) -> None:
    """Raises Invalid for a field that this version of the API does not have (yet, or any more)."""
    renamed = dict(zip(body.__struct_fields__, body.__struct_encode_fields__, strict=True))
    for name, api_name in renamed.items():
        if getattr(body, name) is UNSET:
            continue
        last = (until or {}).get(name, request.microversion)
        if request.microversion < since.get(name, (2, 1)) or request.microversion > last:
            raise invalid(
                api_name,
                getattr(body, name),
                f"Additional properties are not allowed ('{api_name}' was unexpected)",
            )
