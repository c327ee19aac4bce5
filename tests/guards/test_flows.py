"""Whoever changes the state of a flow raises its kind's version: a process of the release before
then leaves the flow alone, and loses nothing of a state that it could read only in part.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import pytest

from kumoi.engine.flow import Kind
from kumoi.pipeline.serve import kinds

# By kind and version; a new version is a new line here, and the old lines stay.
SHAPES = {
    ("run", 1): "c49750767c2934ea",
    ("environment.delete", 1): "bec796aa38b1b5a9",
}


WITHOUT_MEANS: Any = None  # The table needs none; only the steps do.


@pytest.mark.parametrize("kind", kinds(WITHOUT_MEANS), ids=lambda kind: kind.name)
def test_a_state_that_changed_has_another_version(kind: Kind[msgspec.Struct]) -> None:
    schema = msgspec.json.encode(msgspec.json.schema(kind.state), order="sorted")
    shape = hashlib.sha256(schema).hexdigest()[:16]
    assert SHAPES[kind.name, kind.version] == shape
