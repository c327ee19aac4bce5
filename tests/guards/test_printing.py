"""All that commands print passes cli/output.py, which lets nothing steer the reader's terminal."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "kumoi"
ALLOWED = {
    "cli/output.py": "it is the place",
    "cloud/drivers/instance/login.py": "its answer, to the agent that started it",
    "main.py": "an error of any command, and the end of a pipe: both through `printable`",
    "pipeline/receive_hook.py": "few imports; through `printable`",
    "pipeline/runner/log.py": "on the runner, which is the tenant's",
    "pipeline/runner/runner.py": "on the runner, which is the tenant's",
}
"""What writes to a terminal by itself, and why it may."""
STREAMS = ("sys.stdout", "sys.stderr")
WRITES = ("write", "writelines", "buffer")


def _faults(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "[/]" in node.value:
            found.append(
                f"line {node.lineno} has a text with markup, which is printed as it stands"
            )
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in ("print", "Console", "rich.print", "rich.get_console", "pprint"):
                found.append(f"line {node.lineno} calls {name}")
            if name.endswith((".from_markup", ".from_ansi")):
                found.append(f"line {node.lineno} reads a text as markup")
            markup = [each for each in node.keywords if each.arg in ("markup", "emoji")]
            if markup:
                found.append(f"line {node.lineno} has {markup[0].arg}")
        if (
            isinstance(node, ast.Attribute)
            and node.attr in WRITES
            and ast.unparse(node.value) in STREAMS
        ):
            found.append(f"line {node.lineno} writes to {ast.unparse(node.value)}")
    return found


def test_only_one_place_prints() -> None:
    faults = {
        name: found
        for path in sorted(SOURCE.rglob("*.py"))
        if (name := str(path.relative_to(SOURCE))) not in ALLOWED and (found := _faults(path))
    }
    assert faults == {}


@pytest.mark.parametrize("name", ALLOWED)
def test_what_may_print_by_itself_still_does(name: str) -> None:
    assert _faults(SOURCE / name)
