"""What `kumoi audit` shows of the cloud's records and the pipeline's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kumoi.base.clock import SetClock
from kumoi.base.errors import Invalid
from kumoi.cli.audit import Trail, _since
from kumoi.engine import audit, schema
from kumoi.engine.audit import Recorder
from kumoi.engine.db import Database


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[list[Database]]:
    made = [
        Database(f"sqlite:///{tmp_path / name}.db", wake_dir=tmp_path / name)
        for name in ("cloud", "pipeline")
    ]
    for item in made:
        schema.metadata.create_all(item.engine)
    yield made
    for item in made:
        item.close()


def change(database: Database, clock: SetClock, user_id: str) -> None:
    clock.advance(1)
    record = audit.new_record(
        action="create",
        target_type="network/ports",
        target_id="x",
        request_id="req-1",
        request_path="/",
        observer="network",
        address="192.0.2.1",
        user_id=user_id,
    )
    Recorder(database, clock).succeeded(record, 201)


def who(events: list[dict[str, dict[str, str]]]) -> list[str]:
    return [event["initiator"]["id"] for event in events]


def test_both_stores_are_shown_in_the_order_of_time(stores: list[Database]) -> None:
    clock, (cloud, pipeline) = SetClock(), stores
    for number, database in enumerate((cloud, pipeline, cloud, pipeline)):
        change(database, clock, str(number))
    assert who(Trail(stores, {}, None).last(3)) == ["1", "2", "3"]
    assert who(Trail(stores, {"initiator_id": "2"}, None).last(3)) == ["2"]


def test_what_is_followed_comes_once(stores: list[Database]) -> None:
    clock, (cloud, pipeline) = SetClock(), stores
    change(cloud, clock, "old")
    trail = Trail(stores, {}, None)
    trail.last(0)
    change(pipeline, clock, "a")
    change(cloud, clock, "b")
    assert who(trail.newer()) == ["a", "b"]
    assert who(trail.newer()) == []


def test_a_time_is_an_age_or_a_moment() -> None:
    now = datetime(2026, 11, 28, tzinfo=UTC)
    assert _since("2h", now) == now - timedelta(hours=2)
    assert _since("2026-11-27T00:00:00+00:00", now) == now - timedelta(days=1)
    for text in ("yesterday", "99999999999999d", "9999999d", "d", ""):
        with pytest.raises(Invalid):
            _since(text, now)
