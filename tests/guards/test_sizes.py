"""Files and functions stay small, and a class's name is found by one search."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILE_MAX = 500
TEST_FILE_MAX = 800
FUNCTION_MAX = 60
STARTERS = {"subprocess.run", "subprocess.Popen", "os.system", "os.fork"}


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def test_no_file_is_longer_than_its_stop() -> None:
    long = [
        f"{path.relative_to(ROOT)}: {lines}"
        for path in sources("src", "tests", "bench")
        if (lines := len(path.read_text().splitlines()))
        > (TEST_FILE_MAX if "tests" in path.parts else FILE_MAX)
    ]
    assert long == []


def test_no_function_is_longer_than_its_stop() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in sources("src", "tests", "bench")
        if "migrations" not in path.parts  # A table is one statement, however wide.
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= FUNCTION_MAX
    ]
    assert long == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in sources("src")
        if path.read_text().strip() and ast.get_docstring(ast.parse(path.read_text())) is None
    ]
    assert silent == []


def test_asserts_stand_in_tests_only() -> None:
    """Optimised Python drops them."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sources("src")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Assert)
    ]
    assert found == []


def test_programs_are_started_in_one_place() -> None:
    found = [
        str(path.relative_to(ROOT))
        for path in sources("src")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in STARTERS
    ]
    # Sent to a server, where it runs by itself.
    inside_the_tenant = "src/kumoi/pipeline/runner/"
    assert {each for each in found if not each.startswith(inside_the_tenant)} == {
        "src/kumoi/base/process.py"
    }


def test_sql_stands_in_the_store() -> None:
    """A domain function, a handler or a driver that imports SQLAlchemy's expressions writes SQL."""
    found = [
        str(path.relative_to(ROOT))
        for path in sources("src/kumoi/cloud")
        if "/store/" not in str(path) and "import sqlalchemy as sa" in path.read_text()
    ]
    assert found == []


def test_a_class_has_a_name_of_its_own() -> None:
    where: dict[str, list[str]] = {}
    for path in sources("src"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                where.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert where
    assert {name: paths for name, paths in where.items() if len(paths) > 1} == {}
