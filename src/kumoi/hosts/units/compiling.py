"""Compile what processes that run all the time import, without what it says of itself to programmers: each would keep
that in memory. What it asserts stays, which `python -OO` would drop too.

Releases call it (releases.py). Roles cannot write there: what is not compiled before, each compiles at each of its
starts, and keeps some of the room that this took.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import pkgutil
import sys
from collections.abc import Iterator
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
)
from pathlib import Path
from types import CodeType
from typing import Any

import kumoi

# People call the first two; the last are for one start of a new release.
NOT_OF_ROLES = (
    "kumoi.cli",
    "kumoi.drill",
    "kumoi.cloud.store.migrations",
    "kumoi.pipeline.store.migrations",
)
# What is imported while a role or an engine works.
LATER = (
    "anyio._backends._asyncio",
    "httpcore",
    "openstack.connection",
    "oslo_utils.imageutils.format_inspector",
    "patroni.__main__",
    "patroni.config_generator",
    "patroni.dcs.etcd3",
    "patroni.ha",
    "patroni.api",
    "patroni.postgresql.mpp",
    "patroni.watchdog.linux",
    "uvicorn.lifespan.off",
)

ROLES, REST = PARTS = ("roles", "rest")  # Of equal size.
SHORT = "."


class PlainLoader(SourceFileLoader):
    """Leaves out docstrings, and nothing else."""

    @staticmethod
    def source_to_code(data: Any, path: Any = "<string>") -> CodeType:  # type: ignore[override]
        tree = ast.parse(data, path)
        leave_out_docstrings(tree)
        code: CodeType = compile(tree, path, "exec", dont_inherit=True)
        return code


def leave_out_docstrings(tree: ast.Module) -> None:
    left: list[Any] = [tree]
    while left:
        node = left.pop()
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            _leave_out_docstring(node)
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            left += getattr(node, part, ())


def _leave_out_docstring(
    node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef,
) -> None:
    while (
        ast.get_docstring(node, clean=False) is not None
    ):  # A text that follows would be one, too.
        first = node.body.pop(0)
        if not node.body:
            node.body = [ast.copy_location(ast.Pass(), first)]
        if isinstance(node, ast.ClassDef):  # A data class without any writes itself a longer one.
            short = ast.Expr(ast.Constant(SHORT))
            node.body.insert(0, ast.fix_missing_locations(ast.copy_location(short, first)))
            return


def modules() -> Iterator[str]:
    """Of ours, whatever a role may import."""
    left = list(pkgutil.iter_modules(kumoi.__path__, "kumoi."))
    while left:
        module = left.pop()
        if module.name in NOT_OF_ROLES:
            continue
        yield module.name
        if module.ispkg:
            folder = Path(kumoi.__path__[0], *module.name.split(".")[1:])
            left += pkgutil.iter_modules([str(folder)], f"{module.name}.")


def main(part: str) -> None:
    """In a process of its own. Others' code is compiled where it is imported, so this imports all of it."""
    sys.path_hooks.insert(0, _finder)
    sys.path_importer_cache.clear()
    for name in modules() if part == ROLES else LATER:
        with contextlib.suppress(Exception):  # Whoever needs what cannot be imported says so.
            importlib.import_module(name)
    if part == ROLES:
        return
    for package in NOT_OF_ROLES:
        for file in Path(kumoi.__path__[0], *package.split(".")[1:]).rglob("*.py"):
            PlainLoader(file.stem, str(file)).get_code(file.stem)


def _finder(folder: str) -> FileFinder:
    """Of what a release copies: the system's Python is everybody's."""
    if not folder.startswith((sys.prefix, *kumoi.__path__)):
        raise ImportError(folder)
    return FileFinder(
        folder, (ExtensionFileLoader, EXTENSION_SUFFIXES), (PlainLoader, SOURCE_SUFFIXES)
    )


if __name__ == "__main__":
    main(sys.argv[1])
