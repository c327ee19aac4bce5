"""Text that others wrote, for people to read."""

from __future__ import annotations


def printable(text: str) -> str:
    """A text whose control characters, but for ends of lines and tabs, are written as Python writes
    them, in backslash and digits.
    """
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else ascii(letter)[1:-1]
        for letter in text
    )
