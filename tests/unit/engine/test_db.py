from __future__ import annotations

import asyncio
import select
import sys
import threading
import traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from kumoi.base import errors
from kumoi.base.clock import Clock, SetClock
from kumoi.base.process import run
from kumoi.engine import feed, holder, lease, schema
from kumoi.engine.db import Database, now
from kumoi.engine.wake import Alarm, WakeListener

SECRET = "xyzzy"
BOUND_S = 30.0
TOKEN_MAX = 36  # As wide as the column.


def test_what_is_written_can_be_read(database: Database) -> None:
    with database.write() as connection:
        feed.touch(connection, "server", "a")
    with database.read() as connection:
        assert feed.changes(connection, "server", since=0).keys == ("a",)


def test_an_exception_leaves_nothing_written(database: Database) -> None:
    with pytest.raises(KeyError), database.write() as connection:
        feed.touch(connection, "server", "a")
        raise KeyError
    with database.read() as connection:
        assert feed.changes(connection, "server", since=0).keys == ()


def test_a_commit_that_fails_says_why(database: Database) -> None:
    """And not that its connection was closed: a full disk is the database's error, answered by 503."""
    whole = sa.MetaData()
    sa.Table("whole", whole, sa.Column("id", sa.Integer, primary_key=True))
    whole_id = sa.ForeignKey("whole.id", deferrable=True, initially="DEFERRED")
    part = sa.Table("part", whole, sa.Column("whole_id", whole_id))
    whole.create_all(database.engine)
    with pytest.raises(sa.exc.IntegrityError), database.write() as connection:
        connection.execute(sa.insert(part).values(whole_id=1))
    with database.write() as connection:
        assert connection.execute(sa.select(part)).all() == []


def test_two_writers_never_overlap(store_url: str, database: Database, tmp_path: Path) -> None:
    """Also when they are two processes, here two Databases: what was checked still holds."""
    twin = Database(store_url, wake_dir=tmp_path / "wake")

    def count_up(which: Database) -> None:
        for _ in range(25):
            with which.write() as connection:
                seen = feed.position(connection).revision
                feed.touch(connection, "server", "a")
                assert feed.position(connection).revision == seen + 1

    workers = [
        threading.Thread(target=count_up, args=[item]) for item in (database, twin, database)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    with database.read() as connection:
        assert feed.position(connection).revision == 75
    twin.close()


def test_a_reader_is_not_stopped_by_a_writer(database: Database) -> None:
    with database.write() as writing:
        feed.touch(writing, "server", "a")
        with database.read() as reading:
            assert feed.position(reading).revision == 0


def test_a_write_wakes_every_listener(store_url: str, database: Database, tmp_path: Path) -> None:
    twin = Database(store_url, wake_dir=tmp_path / "wake")
    listeners = [database.listen(), twin.listen()]
    with twin.write() as connection:
        feed.touch(connection, "server", "a")
    for listener in listeners:
        assert select.select([listener], [], [], 5.0)[0] == [listener]
        listener.drain()
        assert select.select([listener], [], [], 0)[0] == []
        listener.close()
    twin.close()


def test_alarms_of_one_process_share_a_listener_until_the_last_is_closed(
    database: Database,
) -> None:
    listeners: list[WakeListener] = []

    def listen() -> WakeListener:
        listeners.append(database.listen())
        return listeners[-1]

    async def story() -> None:
        one, other = Alarm(listen), Alarm(listen)
        for alarm in (one, other):
            await alarm.wait(BOUND_S, after=0)
        late = Alarm(listen)
        await late.wait(BOUND_S, after=0)  # It rings for who comes when it listens already.
        await one.close()
        seen = [alarm.count for alarm in (other, late)]
        with database.write():
            pass
        for alarm, count in zip((other, late), seen, strict=True):
            await alarm.wait(BOUND_S, after=count)
            assert alarm.count > count
        await other.close()
        await late.close()
        assert len(listeners) == 1
        again = Alarm(listen)
        await again.wait(BOUND_S, after=0)
        await again.close()
        assert len(listeners) == 2

    asyncio.run(story())


def test_a_write_that_says_so_wakes_nobody(database: Database) -> None:
    listener = database.listen()
    with database.write(wakes=False) as connection:
        feed.touch(connection, "server", "a")
    assert select.select([listener], [], [], 0.1)[0] == []
    listener.close()


def test_a_lease_has_one_holder_until_it_expires(database: Database) -> None:
    clock = SetClock()
    database.set_clock(clock)

    def claim(token: str) -> bool:
        with database.write() as connection:
            return lease.claim(connection, "planner", token=token, ttl_s=10)

    assert claim("one")
    assert not claim("two")
    assert claim("one")
    clock.advance(11)
    assert claim("two")
    assert not claim("one")


def test_a_lease_of_a_process_that_ended_is_free_at_once(database: Database) -> None:
    code = "from kumoi.engine import holder; print(holder.new_token())"
    ended = run([sys.executable, "-c", code]).out.strip()
    alive = holder.new_token()
    assert max(len(ended), len(alive)) <= TOKEN_MAX
    with database.write() as connection:
        assert lease.claim(connection, "planner", token=ended, ttl_s=10)
        assert lease.claim(connection, "planner", token=alive, ttl_s=10)
        assert not lease.claim(connection, "planner", token="other", ttl_s=10)


def test_a_lease_of_another_machine_is_kept_until_it_expires(database: Database) -> None:
    machine, *process = holder.new_token().split(":")
    elsewhere = ":".join([machine[::-1] + "x", *process])
    with database.write() as connection:
        assert lease.claim(connection, "planner", token=elsewhere, ttl_s=10)
        assert not lease.claim(connection, "planner", token=holder.new_token(), ttl_s=10)


def test_a_released_lease_is_free_and_only_its_holder_releases_it(database: Database) -> None:
    with database.write() as connection:
        assert lease.claim(connection, "planner", token="one", ttl_s=10)
        lease.release(connection, "planner", token="two")
        assert not lease.claim(connection, "planner", token="two", ttl_s=10)
        lease.release(connection, "planner", token="one")
        assert lease.claim(connection, "planner", token="two", ttl_s=10)
        assert lease.is_held(connection, "planner", token="two", margin_s=9)
        assert not lease.is_held(connection, "planner", token="two", margin_s=11)


def test_all_who_share_a_database_agree_on_its_time(
    store_url: str, database: Database, tmp_path: Path
) -> None:
    twin = Database(store_url, wake_dir=tmp_path / "wake")
    times = [which.now() for which in (database, twin, database)]
    assert times == sorted(times)
    assert {at.utcoffset() for at in times} == {timedelta(0)}
    with database.write() as connection:
        assert now(connection) >= times[-1]
    twin.close()


@pytest.mark.parametrize("skew", [timedelta(hours=-1), timedelta(hours=1)])
def test_a_process_whose_clock_is_wrong_neither_steals_nor_keeps_a_lease(
    database: Database, monkeypatch: pytest.MonkeyPatch, skew: timedelta
) -> None:
    with database.write() as connection:
        assert lease.claim(connection, "planner", token="one", ttl_s=10)
        monkeypatch.setattr(Clock, "now", lambda _self: datetime.now(UTC) + skew)
        assert lease.is_held(connection, "planner", token="one", margin_s=5)
        assert not lease.claim(connection, "planner", token="two", ttl_s=10)
        over = {"expires_at": now(connection) - timedelta(seconds=1)}
        connection.execute(sa.update(schema.lease).values(over))
        assert not lease.is_held(connection, "planner", token="one", margin_s=0)
        assert lease.claim(connection, "planner", token="two", ttl_s=10)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO hidden (word, number) VALUES (:word, 1)",  # Twice: it is there.
        "INSERT INTO hidden (word, number) VALUES (:word, :word)",  # No number.
        "INSERT INTO hidden (word, absent) VALUES (:word, 1)",
    ],
)
def test_no_value_of_a_statement_that_fails_is_told(database: Database, statement: str) -> None:
    with database.write() as connection:
        connection.execute(
            sa.text(
                "CREATE TABLE hidden (word VARCHAR PRIMARY KEY, number INTEGER CHECK (number = 1))"
            )
        )
        connection.execute(sa.text(f"INSERT INTO hidden VALUES ('{SECRET}', 1)"))
    with pytest.raises(Exception) as caught, database.write() as connection:
        connection.execute(sa.text(statement), {"word": SECRET})
    lines = [*errors.chain(caught.value), *traceback.format_exception(caught.value)]
    assert not [line for line in lines if SECRET in line]


def test_who_falls_silent_while_it_writes_does_not_hold_up_the_others(
    store_url: str, database: Database, tmp_path: Path
) -> None:
    if database.is_sqlite:
        return  # Its lock is the kernel's, and goes with the process.
    asked = sa.text("SHOW idle_in_transaction_session_timeout")
    with database.read() as connection:
        assert connection.execute(asked).scalar_one() == "0"  # A backup reads for long.
    twin = Database(store_url, wake_dir=tmp_path / "wake")
    with pytest.raises(errors.StoreLost), database.write() as connection:
        feed.touch(connection, "things", "silent")
        feed.position(connection)
        assert connection.execute(asked).scalar_one() == "5s"
        connection.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = 50"))
        with twin.write() as other:
            feed.touch(other, "things", "other")
        feed.position(connection)
    with database.read() as connection:
        assert feed.changes(connection, "things", since=0).keys == ("other",)
    twin.close()
