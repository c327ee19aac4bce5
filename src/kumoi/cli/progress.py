"""The progress of a command, for people: a line per stage with its seconds.

On a terminal the stage that runs shows a spinner; elsewhere each stage is one plain line. Stages
that run beside others (image builds) report when they end.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from rich.status import Status as Spinner
from rich.text import Text

from kumoi.cli.output import OperatorConsole, one_line


@dataclass(slots=True)
class ProgressStage:
    """`note` adds a text to the stage's closing line, such as its result."""

    title: str
    spinner: Spinner | None
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def tell(self, text: str) -> None:
        """Show what the stage is waiting for, on a terminal only."""
        if self.spinner is not None:
            self.spinner.update(Text(one_line(f"{self.title}: {text}")))


class Progress:
    def __init__(self, console: OperatorConsole | None = None) -> None:
        self.console = console or OperatorConsole(highlight=False, soft_wrap=True)
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def stage(self, title: str, *, beside: bool = False) -> Iterator[ProgressStage]:
        """One stage, with a spinner on a terminal unless it runs `beside` others."""
        began = time.monotonic()
        has_spinner = self.console.is_terminal and not beside
        spinner = self.console.status(Text(one_line(title))) if has_spinner else None
        with spinner or contextlib.nullcontext():
            stage = ProgressStage(title, spinner)
            try:
                yield stage
            except BaseException:
                self._line(Text("✗", "red"), stage, began)
                raise
        self._line(Text("✓", "green"), stage, began)

    def say(self, text: str | Text = "") -> None:
        with self._lock:
            self.console.print(text, soft_wrap=True)  # So that commands can be copied.

    def _line(self, sign: Text, stage: ProgressStage, began: float) -> None:
        """One line, whatever a server is called that it is about."""
        seconds = time.monotonic() - began
        notes = f" {one_line('; '.join(stage.notes))}" if stage.notes else ""
        self.say(
            Text.assemble(sign, f" {one_line(stage.title):<34} {seconds:6.1f} s", (notes, "dim"))
        )
