"""Whoever changes the state of a flow raises its kind's version: a process of the release before
then leaves the flow alone, and loses nothing of a state that it could read only in part.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import pytest

from kumoi.engine.flow import FlowKind
from kumoi.pipeline.serve import kinds

# By kind and version; a new version is a new line here, and the old lines stay.
SHAPES = {
    ("run", 1): "cb1fd822a1bf9f60",
    ("run", 2): "c650ebbe7a4c1ec6",
    ("run", 3): "7a356dd3f4793c5d",
    ("environment.delete", 1): "22426d787b79c0d6",
}


NO_CONTEXT: Any = None  # The table needs none; only the steps do.


@pytest.mark.parametrize("kind", kinds(NO_CONTEXT, NO_CONTEXT), ids=lambda kind: kind.name)
def test_a_state_that_changed_has_another_version(kind: FlowKind[msgspec.Struct]) -> None:
    assert SHAPES[kind.name, kind.version] == _shape(kind.state)


def _shape(state: type[msgspec.Struct]) -> str:
    """Of what is stored: what the classes are called, and say of themselves, is not."""
    (top,), classes = msgspec.json.schema_components([state])

    def plain(part: Any) -> Any:
        if isinstance(part, list):
            return [plain(item) for item in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            return plain(classes[part["$ref"].rpartition("/")[2]])
        named = {key for key in ("title", "description") if isinstance(part.get(key), str)}
        return {key: plain(value) for key, value in part.items() if key not in named}

    return hashlib.sha256(msgspec.json.encode(plain(top), order="sorted")).hexdigest()[:16]
