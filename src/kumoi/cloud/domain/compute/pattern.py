"""Regular expressions that tenants send as filters, by an engine that takes linear time for each.

Python's own backtracks: a nested or often repeated wildcard would hold the whole process. RE2 refuses
what cannot be had in linear time (back references, looking around), and its memory has a bound here.
"""

from __future__ import annotations

from collections.abc import Callable

import re2

from kumoi.base.errors import Invalid

LENGTH_MAX = 255
MEMORY_BYTES_MAX = 1 << 20
_OPTIONS = re2.Options()
_OPTIONS.max_mem = MEMORY_BYTES_MAX
_OPTIONS.log_errors = False


def finder(text: str, field: str) -> Callable[[str], bool]:
    """Whether a text has the expression in it. Raises Invalid when it is none, or too large."""
    if len(text) > LENGTH_MAX:
        raise Invalid(f"{field} is longer than {LENGTH_MAX} characters", field=field)
    try:
        found = re2.compile(text, _OPTIONS)
    except re2.error as cause:
        raise Invalid(f"{field} is not a regular expression: {text}", field=field) from cause
    return lambda searched: found.search(searched) is not None
