"""A tenant wants to keep everyone else from writing."""

from __future__ import annotations

import pytest

from kumoi.engine import db
from tests.security.in_process import InProcessCloud

NETWORK = {"network": {"name": "mine"}}


def test_who_waits_too_long_for_the_writer_is_told_when_to_come_again(
    inside: InProcessCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "WRITER_WAIT_S", 0.01)
    with inside.database.write():
        refused = inside.ask("POST", "/network/v2.0/networks", NETWORK)
        read = inside.ask("GET", "/network/v2.0/networks")
    assert refused.status_code == 503
    assert refused.headers["Retry-After"] == "1"
    assert read.status_code == 200
    assert inside.ask("POST", "/network/v2.0/networks", NETWORK).status_code == 201
