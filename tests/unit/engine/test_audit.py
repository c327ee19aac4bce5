"""What was changed is recorded in the change's own transaction; what failed, only so often."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from kumoi.base.clock import SetClock
from kumoi.engine import audit, schema
from kumoi.engine.audit import CURRENT, FAILURE, SUCCESS, Pruner, Record, Recorder
from kumoi.engine.db import Database
from kumoi.engine.write_watch import WriteWatch


@pytest.fixture
def database(store_url: str, tmp_path: Path) -> Iterator[Database]:
    database = Database(store_url, wake_dir=tmp_path / "wake")
    schema.metadata.create_all(database.engine)
    yield database
    database.close()


def record(user_id: str = "u", address: str = "192.0.2.1", *, project_id: str = "p") -> Record:
    return audit.new_record(
        action="create",
        target_type="network/ports",
        target_id="",
        request_id="req-1",
        request_path="/network/v2.0/ports",
        observer="network",
        address=address,
        user_id=user_id,
        project_id=project_id,
        token_id="t",
    )


@contextlib.contextmanager
def counted_writes(database: Database) -> Iterator[list[float]]:
    """How long each write transaction within was open."""
    ended: list[float] = []
    watch = database.write_watch
    database.write_watch = _Counted(ended)
    yield ended
    database.write_watch = watch


class _Counted(WriteWatch):
    def __init__(self, ended: list[float]) -> None:
        self._ended = ended

    def ended(self, open_s: float, computed_s: float) -> None:
        del computed_s
        self._ended.append(open_s)


def records(database: Database) -> list[sa.RowMapping]:
    with database.read() as connection:
        return audit.find(connection, {})


def test_a_request_leaves_one_record_with_its_first_transaction(database: Database) -> None:
    recorder = Recorder(database, SetClock())
    current = record()
    token = CURRENT.set(current)
    try:
        with database.write() as connection:
            audit.about("port1")
            assert audit.find(connection, {}) == []
            assert not current.written
        assert len(records(database)) == 1
        with database.write():
            pass
    finally:
        CURRENT.reset(token)
    recorder.succeeded(current, 201)
    (found,) = records(database)
    assert (found["outcome"], found["target_id"], found["initiator_id"]) == (SUCCESS, "port1", "u")


def test_what_is_rolled_back_takes_its_record_along(database: Database) -> None:
    recorder = Recorder(database, SetClock())
    current = record()
    token = CURRENT.set(current)
    try:
        with pytest.raises(ZeroDivisionError), database.write():
            raise ZeroDivisionError
    finally:
        CURRENT.reset(token)
    assert records(database) == []
    recorder.failed(current, 409)
    (found,) = records(database)
    assert (found["outcome"], found["reason_code"]) == (FAILURE, 409)


def test_a_request_that_fails_after_it_wrote_has_failed(database: Database) -> None:
    recorder = Recorder(database, SetClock())
    current = record()
    token = CURRENT.set(current)
    try:
        with database.write():
            pass
    finally:
        CURRENT.reset(token)
    recorder.failed(current, 500)
    (found,) = records(database)
    assert (found["outcome"], found["reason_code"]) == (FAILURE, 500)


def test_a_flood_of_failures_is_counted_and_not_kept(database: Database) -> None:
    clock = SetClock()
    recorder = Recorder(database, clock)
    for _ in range(audit.FAILURES_PER_MINUTE + 7):
        recorder.failed(record("", "2001:db8::1"), 401)
    recorder.failed(record("other"), 403)
    assert len(records(database)) == audit.FAILURES_PER_MINUTE + 1
    clock.advance(audit.MINUTE_S)
    recorder.failed(record("", "2001:db8::2"), 401)
    assert records(database)[-1]["repeated"] == 7


def test_what_is_old_is_forgotten(database: Database) -> None:
    clock = SetClock()
    recorder = Recorder(database, clock)
    recorder.succeeded(record(), 200)
    clock.advance(timedelta(days=2).total_seconds())
    recorder.succeeded(record(), 200)
    Pruner(database, clock, days=1).round()
    assert len(records(database)) == 1


def test_the_newest_failures_are_kept_and_every_success(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "FAILURES_STORED_MAX", 2)
    clock = SetClock()
    recorder = Recorder(database, clock)
    recorder.succeeded(record(), 200)
    for code in (401, 402, 403, 404):
        recorder.failed(record(), code)
    Pruner(database, clock, days=1).round()
    assert [row["reason_code"] for row in records(database)] == [200, 403, 404]


def test_a_project_that_changes_things_without_end_has_its_newest_records_and_nobody_elses_go(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "PROJECT_STORED_MAX", 3)
    monkeypatch.setattr(audit, "PAGE", 2)
    clock = SetClock()
    recorder = Recorder(database, clock)
    recorder.succeeded(record("neighbour", project_id="other"), 200)
    for number in range(10):
        recorder.succeeded(record(f"noisy-{number}"), 200)
    recorder.succeeded(record("no project", project_id=""), 200)
    with counted_writes(database) as writes:
        Pruner(database, clock, days=1).round()
    assert len(writes) == 4, "two at a time"
    monkeypatch.undo()
    assert [row["initiator_id"] for row in records(database)] == [
        *("neighbour", "noisy-7", "noisy-8", "noisy-9", "no project")
    ]


def test_records_are_found_by_what_they_say(database: Database) -> None:
    recorder = Recorder(database, SetClock())
    recorder.succeeded(record("ann"), 200)
    recorder.succeeded(record("bob"), 200)
    with database.read() as connection:
        (found,) = audit.find(connection, {"initiator_id": "bob"})
        (newest,) = audit.find(connection, {}, last=1)
        assert audit.find(connection, {}, after=audit.newest(connection)) == []
    assert found == newest
    (event,) = audit.events([found])
    assert event["initiator"] == {
        "typeURI": "service/security/account/user",
        "id": "bob",
        "project_id": "p",
        "host": {"address": "192.0.2.1"},
        "credential": {"token": "t"},
    }
