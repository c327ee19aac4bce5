from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from kumoi.hosts.units import compiling
from kumoi.hosts.units.compiling import PlainLoader

SOURCE = '''"""The module."""

from __future__ import annotations


class Thing:
    """A thing."""

    def double(self, number):
        """Twice."""
        """Twice more."""
        assert number > 0, "positive"
        text = """kept"""
        return [number * 2, text]


class Bare:
    """Nothing else."""


async def wait():
    """Nothing."""


if Thing:
    try:
        def late():
            """Here, too."""
            return 2
    finally:
        pass
'''


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = tmp_path / "thing.py"
    path.write_text(SOURCE)
    return path


def loaded(file: Path) -> dict[str, Any]:
    code = PlainLoader("thing", str(file)).get_code("thing")
    assert isinstance(code, CodeType)
    found: dict[str, Any] = {"__name__": "thing", "__doc__": None}
    exec(code, found)
    return found


def test_code_without_docstrings_does_the_same(file: Path) -> None:
    found = loaded(file)
    assert found["Thing"]().double(2) == [4, "kept"]
    with pytest.raises(AssertionError, match="positive"):
        found["Thing"]().double(0)
    assert found["late"].__doc__ is None
    whole = ast.parse(SOURCE)
    compiling.leave_out_docstrings(whole)
    texts = {node.value for node in ast.walk(whole) if isinstance(node, ast.Constant)}
    assert texts == {0, 2, "positive", "kept", compiling.SHORT}


def test_it_is_kept_where_python_looks_for_it(file: Path) -> None:
    """And so every process has it, by Python's own loader."""
    loaded(file)
    assert Path(importlib.util.cache_from_source(str(file))).exists()
    spec = importlib.util.spec_from_file_location("thing", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.__doc__ is None
    assert module.Thing.__doc__ == compiling.SHORT


def test_whatever_a_role_imports_is_compiled_and_what_it_imports_later_exists() -> None:
    found = list(compiling.modules())
    assert {"kumoi.main", "kumoi.cloud.api.serve", "kumoi.pipeline.receive_hook"} <= set(found)
    assert not [name for name in found if name.startswith(("kumoi.cli", "kumoi.drill"))]
    missing = [name for name in compiling.LATER if importlib.util.find_spec(name) is None]
    assert missing == []
