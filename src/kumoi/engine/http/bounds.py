"""Types of a body's fields that have no narrower bound of their own.

Every text, list and object in a body has a bound in its shape, which msgspec checks before any code
of ours looks at what is inside; tests/guards/test_bounds.py names a field that has none.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec

Entry = TypeVar("Entry")

TEXT_MAX = 255  # As wide as OpenStack's columns of names, ids and addresses.
ENTRIES_MAX = 100

Text = Annotated[str, msgspec.Meta(max_length=TEXT_MAX)]
Entries = Annotated[list[Entry], msgspec.Meta(max_length=ENTRIES_MAX)]
Object = Annotated[dict[Text, Entry], msgspec.Meta(max_length=ENTRIES_MAX)]
AnyObject = Annotated[dict[Text, Any], msgspec.Meta(max_length=ENTRIES_MAX)]
"""Whose values are read by other shapes, or by none."""


def entries(body: msgspec.Struct) -> int:
    """How many entries the lists of a body have."""
    values = (getattr(body, name) for name in body.__struct_fields__)
    return sum(len(value) for value in values if isinstance(value, list))
