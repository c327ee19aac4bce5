"""What people say, word by word. Imported for a command that they give; what runs all the time does without."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from typing import NoReturn

from kumoi import __version__
from kumoi.cli.commands import COMMANDS


def parser(called: str, refuse: Callable[[str], NoReturn]) -> argparse.ArgumentParser:
    """One that knows all commands, and the arguments of the called one, the only one that is imported. `refuse` is
    told of wrong use.
    """

    class _Parser(argparse.ArgumentParser):
        def error(self, message: str) -> NoReturn:
            refuse(f"{message} (see {self.prog} --help)")

    words = _Parser(
        prog="kumoi",
        description="A private cloud, and an environment for every git push.",
        epilog="example: sudo ./kumoi demo",
    )
    words.add_argument("--version", action="version", version=f"kumoi {__version__}")
    commands = words.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        example = f"example: {command.example}"
        sub = commands.add_parser(name, help=command.help, description=command.help, epilog=example)
        if name == called:
            importlib.import_module(command.module).add_to(sub)
    return words
