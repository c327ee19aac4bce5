"""Regular expressions that tenants send as filters, run by RE2 in linear time.

Python's own engine backtracks: a nested or often repeated wildcard would block the whole process.
RE2 refuses what has no linear algorithm (back references, lookaround), and its memory is limited.
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
    """A function that says whether a text contains the expression. Raises Invalid for a text that is
    no regular expression, or too long.
    """
    if len(text) > LENGTH_MAX:
        raise Invalid(f"{field} is longer than {LENGTH_MAX} characters", field=field)
    try:
        found = re2.compile(text, _OPTIONS)
    except re2.error as cause:
        raise Invalid(f"{field} is not a regular expression: {text}", field=field) from cause
    return lambda searched: found.search(searched) is not None
