"""A project follows as many logs as it may, and reading one takes its time: another project's logs are read meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.clock import Clock
from kumoi.config import CloudSettings
from kumoi.engine.db import Database
from kumoi.engine.http.app import App
from kumoi.engine.wake import Alarm
from kumoi.engine.write_turns import CLIENT
from kumoi.pipeline.api.request import Pipeline
from kumoi.pipeline.api.routes import SERVICES
from kumoi.pipeline.identity import ProjectCaller
from kumoi.pipeline.store.schema import metadata

LOOKS = 60  # The library that runs handlers has 40 threads for all of them.
WITHIN_S = 20.0


class GatedDatabase(Database):
    """Whose reads for one project wait."""

    def __init__(self, folder: Path, slow: str) -> None:
        super().__init__(f"sqlite:///{folder / 'store.db'}", wake_dir=folder)
        self.slow, self.gate, self.began = slow, threading.Event(), threading.Semaphore(0)

    @contextlib.contextmanager
    def read(self) -> Iterator[Connection]:
        if CLIENT.get() == self.slow:
            self.began.release()
            self.gate.wait(WITHIN_S * 2)
        with super().read() as connection:
            yield connection


class Tokens:
    """Each token is of the project that it names."""

    def validate(self, token: str) -> ProjectCaller:
        return ProjectCaller("user", token, frozenset({"member"}), token)


async def status_of_log(app: App, project: str) -> int:
    said = 0

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        nonlocal said
        said = message.get("status", said)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/pipeline/v1/runs/none/log",
        "query_string": b"",
        "client": ("127.0.0.1", 1),
        "headers": [(b"x-auth-token", project.encode())],
    }
    await app(scope, receive, send)
    return said


async def seen(database: GatedDatabase) -> tuple[int, list[int]]:
    """Of a neighbour's log, and of those that are slow."""
    nobody: Any = None
    tokens: Any = Tokens()
    alarm = Alarm(database.listen)
    services = Pipeline(
        CloudSettings(name="story"), nobody, database, Clock(), tokens, nobody, alarm,
        heads=nobody, copies=nobody,
    )  # fmt: skip
    app = App(services, SERVICES, root="http://asked", waits=True)
    slow = [asyncio.create_task(status_of_log(app, database.slow)) for _ in range(LOOKS)]
    try:
        await asyncio.to_thread(database.began.acquire, timeout=WITHIN_S)
        looks = [status_of_log(app, "neighbour") for _ in range(LOOKS)]
        neighbours = await asyncio.wait_for(asyncio.gather(*looks), WITHIN_S)
    finally:
        database.gate.set()
        await alarm.close()
    assert set(neighbours) == {404}
    return neighbours[0], list(await asyncio.gather(*slow))


def test_who_follows_many_logs_keeps_nobody_else_from_reading_one(tmp_path: Path) -> None:
    database = GatedDatabase(tmp_path, "many")
    metadata.create_all(database.engine)
    try:
        neighbour, slow = asyncio.run(seen(database))
    finally:
        database.close()
    assert neighbour == 404
    assert slow == [404] * LOOKS
