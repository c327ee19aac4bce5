"""Regular expressions that tenants send as filters, of a kind that cannot take long to match.

Python's engine backtracks: a nested or often repeated wildcard would hold the whole process. What
is refused here is what nobody filters names and addresses with.
"""

from __future__ import annotations

import re
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

from kumoi.base.errors import Invalid

LENGTH_MAX = 255
REPEATS_MAX = 2
EDGES = re.compile(r"^\^?(\.\*)+|(\.\*)+\$?$")


def compiled(text: str, field: str) -> re.Pattern[str]:
    """The expression, to be searched for. Raises Invalid when it is none or might take long."""
    if len(text) > LENGTH_MAX:
        raise Invalid(f"{field} is longer than {LENGTH_MAX} characters", field=field)
    short = EDGES.sub("", text)  # A search finds the same without the wildcards at its ends.
    try:
        repeats = _repeats(parser.parse(short), nested=False, field=field)
        found = re.compile(short)
    except (re.error, OverflowError) as cause:
        raise Invalid(f"{field} is not a regular expression: {text}", field=field) from cause
    if repeats > REPEATS_MAX:
        raise Invalid(f"{field} repeats too much: {text}", field=field)
    return found


def _repeats(tree: Any, *, nested: bool, field: str) -> int:
    """How many repetitions there are. Raises Invalid when one is inside another."""
    count = 0
    for operation, argument in tree:
        name = str(operation)
        if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            if nested:
                raise Invalid(f"{field} repeats a repetition", field=field)
            count += 1 + _repeats(argument[2], nested=True, field=field)
        elif name == "SUBPATTERN":
            count += _repeats(argument[3], nested=nested, field=field)
        elif name == "BRANCH":
            if nested:
                raise Invalid(f"{field} repeats a choice", field=field)
            count += sum(_repeats(branch, nested=nested, field=field) for branch in argument[1])
        elif name not in ("LITERAL", "NOT_LITERAL", "ANY", "IN", "AT", "CATEGORY"):
            raise Invalid(f"{field} may not use {name.lower()}", field=field)
    return count
