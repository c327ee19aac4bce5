"""TOML, written: the standard library only reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def written(value: Any) -> str:
    """A value as tomllib parses it. JSON's strings are TOML's, but for DEL, which JSON need not escape."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(written(item) for item in value)}]"
    if isinstance(value, Mapping):
        pairs = (f"{written(name)} = {written(item)}" for name, item in value.items())
        return f"{{ {', '.join(pairs)} }}"
    return str(value)  # Numbers, and times, which read as ISO 8601.
