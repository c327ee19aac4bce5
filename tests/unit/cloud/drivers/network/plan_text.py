"""A plan of the northbound database as text, with every column. For golden files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kumoi.cloud.drivers.network.ovn.apply import EMPTY
from kumoi.cloud.drivers.network.ovn.northbound import columns_of, references_of
from kumoi.cloud.drivers.network.ovn.plan import Action, Create, Update


def printed(actions: Iterable[Action]) -> str:
    lines: list[str] = []
    for action in actions:
        lines.append(str(action))
        if isinstance(action, Create):
            lines += [f"    {detail}" for detail in _created(action)]
        elif isinstance(action, Update):
            lines += [f"    {detail}" for detail in _updated(action)]
    return "".join(f"{line}\n" for line in lines)


def _created(action: Create) -> list[str]:
    names, refers = columns_of(type(action.record)), references_of(type(action.record))
    values = {name: getattr(action.record, name) for name in names if name not in refers}
    return [
        *(f"{name} = {_text(value)}" for name, value in values.items() if value not in EMPTY),
        *(f"{column} += {target.key}" for column, target in action.references),
    ]


def _updated(action: Update) -> list[str]:
    record, before = action.record, action.before
    return [
        *(
            f"{name} = {_text(getattr(record, name))}, was {_text(getattr(before, name))}"
            for name in action.columns
        ),
        *(f"{column} += {target.key}" for column, target in action.added),
        *(f"{column} -= {target.key}" for column, target in action.removed),
    ]


def _text(value: Any) -> str:
    """A column's value, with sets and maps in a fixed order."""
    if isinstance(value, frozenset):
        pairs = all(isinstance(item, tuple) for item in value)
        items = [": ".join(map(str, item)) if pairs else str(item) for item in sorted(value)]
        return "{" + ", ".join(items) + "}"
    return "none" if value is None else str(value)
