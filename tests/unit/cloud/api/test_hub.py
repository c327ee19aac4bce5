from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kumoi.cloud.api.host.hub import Hub
from kumoi.cloud.store.host.host import EVERY_HOST, topic
from kumoi.engine import feed
from kumoi.engine.db import Database
from kumoi.engine.position import Position
from kumoi.engine.schema import metadata
from kumoi.engine.wake import Alarm

LONG_S = 20.0
SHORT_S = 0.2


@pytest.fixture
def database(store_url: str, tmp_path: Path) -> Iterator[Database]:
    opened = Database(store_url, wake_dir=tmp_path / "wake")
    metadata.create_all(opened.engine)
    yield opened
    opened.close()


def touched(database: Database, name: str) -> Position:
    with database.write() as connection:
        feed.touch(connection, name, "server")
        return feed.position(connection)


def woken(database: Database, since: Position, *after: Callable[[], object]) -> set[str]:
    """Which of two hosts that have read as far as `since` hear, and before when something happens."""

    async def listen() -> set[str]:
        alarm = Alarm(database.listen)
        hub = Hub(database, alarm)
        waiting = {
            name: asyncio.create_task(hub.wait(topic(name), since, LONG_S))
            for name in ("one", "two")
        }
        await asyncio.wait(waiting.values(), timeout=SHORT_S)
        assert not after or not any(task.done() for task in waiting.values())
        for happen in after:
            await asyncio.to_thread(happen)
        await asyncio.wait(waiting.values(), timeout=LONG_S, return_when="FIRST_COMPLETED")
        await asyncio.wait(waiting.values(), timeout=SHORT_S)
        heard = {name for name, task in waiting.items() if task.done() and task.result()}
        for task in waiting.values():
            task.cancel()
        await asyncio.gather(*waiting.values(), return_exceptions=True)
        await alarm.close()
        return heard

    return asyncio.run(listen())


def test_a_host_is_woken_by_what_concerns_it(database: Database) -> None:
    since = touched(database, topic("one"))
    assert woken(database, since, lambda: touched(database, topic("two"))) == {"two"}


def test_all_hosts_are_woken_by_what_concerns_all(database: Database) -> None:
    since = touched(database, topic("one"))
    assert woken(database, since, lambda: touched(database, EVERY_HOST)) == {"one", "two"}


def test_all_hosts_are_woken_when_the_store_went_back(database: Database) -> None:
    """Nothing in it is newer than what they have read."""
    since = touched(database, topic("one"))

    def restore() -> None:
        with database.write() as connection:
            feed.new_epoch(connection)

    assert woken(database, since, restore) == {"one", "two"}


def test_a_host_that_read_another_epoch_does_not_wait(database: Database) -> None:
    now = touched(database, topic("one"))
    assert woken(database, replace(now, epoch="another")) == {"one", "two"}
