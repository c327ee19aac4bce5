from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kumoi.engine.db import Database
from kumoi.hosts.cluster import copies
from kumoi.hosts.cluster.copies import CopyKeeper

WAIT_S = 20.0


class CountedKeeper(CopyKeeper):
    """Of nothing."""

    def __init__(self) -> None:
        super().__init__([], [])
        self.rounds = 0

    def round(self) -> None:
        super().round()
        self.rounds += 1


def test_after_a_look_that_nobody_asked_for_it_rests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "PAUSE_S", 0.0)
    monkeypatch.setattr(copies, "LOOK_EVERY_S", 0.01)
    database, keeper = (
        Database(f"sqlite:///{tmp_path / 's.db'}", wake_dir=tmp_path),
        CountedKeeper(),
    )
    rested_after: list[int] = []

    async def until_it_rests() -> None:
        loop, rested = asyncio.get_running_loop(), asyncio.Event()

        def rest() -> None:
            database.close()
            rested_after.append(keeper.rounds)
            loop.call_soon_threadsafe(rested.set)

        following = asyncio.create_task(
            copies.follow(keeper, database.listen, prepare=lambda: None, rest=rest)
        )
        async with asyncio.timeout(WAIT_S):
            await rested.wait()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    asyncio.run(until_it_rests())
    assert rested_after[0] > 1  # The first look is the start's.
    with database.read() as connection:  # It works as before.
        assert connection.exec_driver_sql("SELECT 1").scalar_one() == 1
