"""One setting of config.py's trees: a field with a meaning, and a value for it from a file."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import field, fields
from typing import TYPE_CHECKING, Any

from kumoi import control_host
from kumoi.base.errors import Invalid

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def key(default: Any, meaning: str, *, one_of: Collection[str] = ()) -> Any:
    """One setting: its default, its meaning, and the words that its list may have."""
    return field(default=default, metadata={"meaning": meaning, "one_of": tuple(one_of)})


def names(settings: DataclassInstance) -> list[str]:
    """Every key, and every word that a list may have, as "key.word"."""
    items = fields(settings)
    words: list[str] = [f"{item.name}.{word}" for item in items for word in item.metadata["one_of"]]
    return [*(item.name for item in items), *words]


def of_type(name: str, value: Any, default: Any) -> Any:
    """A value as it was read, as the key's default has it. Raises Invalid naming the key."""
    if name == control_host.KEY:
        return control_host.parse(value)
    if isinstance(default, tuple):
        if isinstance(value, list) and all(type(item) is str for item in value):
            return tuple(value)
        raise Invalid(f"setting {name} must be a list of words, not {value!r}", field=name)
    if type(default) is float and type(value) is int:
        return float(value)
    if type(value) is not type(default):
        wanted = type(default).__name__
        raise Invalid(f"setting {name} must be {wanted}, not {value!r}", field=name)
    return value
