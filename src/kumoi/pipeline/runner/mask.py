"""What no log and no result shows: the secrets that the environment was given, and those that a step names.

A secret is masked as it is, each of its lines, and in base64, whatever stands before it there. It is done
here, on the runner, so that a secret never leaves the tenant. A step that fetches one names it by a line
`::add-mask::SECRET`, which is not shown.
"""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Iterator
from typing import Any

STARS = "***"
ADD = "::add-mask::"
SECRET_MIN = 4  # A shorter one would take ordinary words with it.
LINE_MIN = 8  # Of a secret with several lines.
ENCODED_MIN = 8
WRAPS = (64, 76)  # Where openssl and base64 begin another line.
SECRETS_MAX = 10_000  # Of all their forms.


class Mask:
    """May be used by several threads."""

    def __init__(self) -> None:
        self._forms: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._lock = threading.Lock()
        self.longest = 0

    def add(self, secret: str) -> None:
        with self._lock:
            if len(self._forms) < SECRETS_MAX:
                self._forms.update(forms(secret))
            self.longest = max(map(len, self._forms), default=0)
            # The longest first: one may be the beginning of another.
            ordered = sorted(self._forms, key=lambda form: (-len(form), form))
            self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def text(self, text: str) -> str:
        pattern = self._pattern
        return text if pattern is None else pattern.sub(STARS, text)

    def line(self, text: str) -> str | None:
        """A line of output; None where it named a secret."""
        before, found, secret = text.partition(ADD)
        if found and not before.strip():
            self.add(secret.strip())
            return None
        return self.text(text)

    def deep(self, value: Any) -> Any:
        """Every text in what is posted."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.deep(each) for each in value]
        if isinstance(value, dict):
            return {key: self.deep(each) for key, each in value.items()}
        return value

    def split(self, text: str) -> tuple[str, str]:
        """A text that goes on, in two: what can be shown now, masked, and the rest, in which a secret may
        have begun.
        """
        cut = max(len(text) - max(self.longest - 1, 0), 0)
        pattern = self._pattern
        for found in pattern.finditer(text) if pattern is not None else ():
            if found.start() < cut < found.end():
                cut = found.end()
        return self.text(text[:cut]), text[cut:]


def forms(secret: str) -> set[str]:
    """All that a secret may look like in a line."""
    lines = [line.strip() for line in secret.splitlines()]
    found = {line for line in lines if len(line) >= LINE_MIN}
    if len(secret.strip()) >= SECRET_MIN:
        if len(lines) == 1:
            found.add(secret.strip())
        found |= {form for form in _encoded(secret.strip()) if len(form) >= ENCODED_MIN}
        found |= {form for form in _encoded(secret) if len(form) >= ENCODED_MIN}
    return found


def _encoded(secret: str) -> Iterator[str]:
    """In base64, of either alphabet: from each of the three places where it may begin, without the
    characters that depend on what is beside it; and as programs wrap it.
    """
    data = secret.encode()
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + data).decode().rstrip("=")
        first = -(-before * 8 // 6)
        last = (before + len(data)) * 8 // 6
        yield from _alphabets(whole[first:last])
    whole = base64.b64encode(data).decode()
    for width in WRAPS:
        for start in range(0, len(whole), width):
            yield from _alphabets(whole[start : start + width].rstrip("="))


def _alphabets(text: str) -> tuple[str, str]:
    return text, text.replace("+", "-").replace("/", "_")


MASK = Mask()
