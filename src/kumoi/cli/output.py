"""What commands print for people: one console, and plain tables of rows.

Names, logs and reasons are what tenants wrote. So all that is printed passes `printable`: a control
character would steer the reader's terminal. No text is markup, and a cell of a table is one line. Nothing
else here writes to a terminal (tests/guards/test_printing.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from kumoi.base.text import printable

WIDTH_OF_PIPE = 200  # Elsewhere than on a terminal a row stays on its line.


class OperatorConsole(Console):
    """Rich's console, whose texts have no control characters but its own, and are no markup."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, **options})

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)


def console() -> Console:
    terminal = OperatorConsole()
    return terminal if terminal.is_terminal else OperatorConsole(width=WIDTH_OF_PIPE)


def say(text: str, *, end: str = "\n", file: TextIO | None = None) -> None:
    """Print a text as it is."""
    print(printable(text), end=end, file=file, flush=True)


def say_json(document: object, *, indent: int | None = 2) -> None:
    """With every character beyond ASCII as its number."""
    print(json.dumps(document, indent=indent), flush=True)


def cells(*values: object) -> list[Text]:
    """The cells of a table's row, which may hold anything: none looks like rows of its own."""
    return [value if isinstance(value, Text) else Text(one_line(str(value))) for value in values]


def one_line(text: str) -> str:
    return text.replace("\n", "\\n")


def table(title: str, rows: Sequence[dict[str, Any]]) -> Table:
    """One or more rows with the same keys, which are the titles of the columns."""
    found = Table(box=None, pad_edge=False, header_style="bold", title=title, title_justify="left")
    for column in rows[0]:
        found.add_column(column.replace("_", " "))
    for row in rows:
        values = (", ".join(value) if isinstance(value, list) else value for value in row.values())
        found.add_row(*cells(*values))
    return found
