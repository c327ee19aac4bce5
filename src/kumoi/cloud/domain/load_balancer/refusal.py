"""How the rules of this service refuse, in Octavia's words. Called by the files beside it."""

from __future__ import annotations

from kumoi.base.errors import Invalid, NotFound


def not_found(noun: str, key: str) -> NotFound:
    return NotFound(noun.lower(), key, message=f"{noun} {key} not found.")


def invalid(reason: str, field: str | None = None) -> Invalid:
    return Invalid(f"Validation failure: {reason}", field=field)


def option(value: object, name: str) -> Invalid:
    return Invalid(f"{value} is not a valid option for {name}", field=name)
