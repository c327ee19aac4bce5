"""What commands print for people: one console, and plain tables of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

WIDTH_OF_PIPE = 200  # Elsewhere than on a terminal a row stays on its line.


def console() -> Console:
    terminal = Console()
    return terminal if terminal.is_terminal else Console(width=WIDTH_OF_PIPE)


def table(title: str, rows: Sequence[dict[str, Any]]) -> Table:
    """One or more rows with the same keys, which are the titles of the columns."""
    found = Table(box=None, pad_edge=False, header_style="bold", title=title, title_justify="left")
    for column in rows[0]:
        found.add_column(column.replace("_", " "))
    for row in rows:
        cells = (", ".join(value) if isinstance(value, list) else value for value in row.values())
        found.add_row(*(str(cell) for cell in cells))
    return found
