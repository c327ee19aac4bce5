"""Reads while no server of PostgreSQL takes writes: from the one that has most of what was written.

For who shows things to people, and for nobody who acts by what he reads: what is shown may lack what a lost leader
has acknowledged, where the others that have it are away as well.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from kumoi.base import log
from kumoi.engine.statement import execute_text

WRITTEN = (
    "SELECT pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()"
    " ELSE pg_current_wal_lsn() END, '0/0')::bigint"
)
CONNECT_S = 2  # The least that libpq keeps to.
LONGEST_S = 3.0  # For so long anybody is waited for.
OTHERS_S = 0.5
"""For so long the others are waited for when one has answered: most answer in milliseconds."""
CHOSEN_S = 2.0
"""For so long the one that was chosen is read from; then another may have more."""

Answer = TypeVar("Answer")


class Followers:
    """The servers of a URL, each on its own. `make` opens an engine. What is asked of a frozen server is never
    answered, so only threads of this class ask.
    """

    def __init__(self, url: sa.URL, make: Callable[[sa.URL], Engine]) -> None:
        self._engines = [make(each) for each in _alone(url)]
        self._threads = _DaemonThreads()
        self._lock = threading.Lock()
        self._chosen: Engine | None = None
        self._until_s = 0.0
        self._looking: Future[Connection] | None = None

    def begin(self, begin: str) -> Connection:
        """A connection in a new transaction. Raises OperationalError where no server answers."""
        beginning = self._threads.submit(_begin_at, self._choose(), begin)
        try:
            return beginning.result(LONGEST_S)
        except TimeoutError as cause:  # It was frozen since it was chosen.
            self._until_s = 0.0
            beginning.add_done_callback(_close)
            raise sa.exc.OperationalError(begin, {}, cause) from cause
        except sa.exc.OperationalError:
            self._until_s = 0.0
            raise

    def within(
        self, seconds: float, begin: Callable[[], Connection], late: Callable[[Connection], None]
    ) -> Connection | None:
        """What `begin` gives by then; None where it fails, as a server does that is lost. `late` gets what begins later."""
        beginning = self._threads.submit(begin)
        try:
            return beginning.result(seconds)
        except TimeoutError:
            beginning.add_done_callback(
                lambda done: None if done.exception() else late(done.result())
            )
        except sa.exc.OperationalError as error:
            if not (error.statement is None or error.connection_invalidated):
                raise
        return None

    def look_for_leader(
        self, begin: Callable[[], Connection], found: Callable[[Connection], None]
    ) -> None:
        """Beside whoever calls, once at a time; `found` gets what begins."""
        if self._looking is None or self._looking.done():
            self._looking = self._threads.submit(begin)
            self._looking.add_done_callback(
                lambda done: None if done.exception() else found(done.result())
            )

    def close(self) -> None:
        self._threads.close()
        for engine in self._engines:
            engine.dispose()

    def _choose(self) -> Engine:
        """One thread asks for all that come meanwhile. Raises what the last server said, where none answers."""
        with self._lock:
            if self._chosen is not None and time.monotonic() < self._until_s:
                return self._chosen
            asked = {self._threads.submit(_written, each): each for each in self._engines}
            most = _first_with_most(asked)
            if most is not self._chosen:
                log.warning("store.read_from", server=most.url.query.get("host"))
            self._chosen, self._until_s = most, time.monotonic() + CHOSEN_S
            return most


class _DaemonThreads:
    """As many as are busy at once. A process ends without those that wait for a server that never answers."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0

    def submit(self, act: Callable[..., Answer], *args: Any) -> Future[Answer]:
        future: Future[Answer] = Future()

        def run() -> None:
            try:
                answer = act(*args)
            except BaseException as error:  # noqa: BLE001 - whoever waits raises it
                future.set_exception(error)
            else:
                future.set_result(answer)

        with self._lock:
            if self._idle:
                self._idle -= 1
            else:
                threading.Thread(target=self._loop, name="followers", daemon=True).start()
        self._work.put(run)
        return future

    def close(self) -> None:
        with self._lock:
            for _ in range(self._idle):
                self._work.put(None)
            self._idle = 0

    def _loop(self) -> None:
        while (work := self._work.get()) is not None:
            work()
            with self._lock:
                self._idle += 1


def _begin_at(engine: Engine, begin: str) -> Connection:
    connection = engine.connect()
    try:
        connection.begin()
        execute_text(connection, begin)
    except BaseException:
        connection.close()
        raise
    return connection


def _close(late: Future[Connection]) -> None:
    if late.exception() is None:
        late.result().close()


def _first_with_most(asked: dict[Future[int], Engine]) -> Engine:
    waiting, answered, failure = set(asked), {}, None
    ends_s = time.monotonic() + LONGEST_S
    while waiting and ends_s > time.monotonic():
        done, waiting = wait(waiting, ends_s - time.monotonic(), FIRST_COMPLETED)
        for each in done:
            failure = each.exception() or failure
            if each.exception() is None:
                answered[each] = each.result()
        if answered:
            ends_s = min(ends_s, time.monotonic() + OTHERS_S)
    if not answered:
        raise failure or sa.exc.OperationalError(WRITTEN, {}, TimeoutError("no server answers"))
    return asked[max(answered, key=answered.__getitem__)]


def _written(engine: Engine) -> int:
    """How much of the log that server has, in bytes; by a connection of its own, as one that is open may be to a
    process that is frozen.
    """
    with sa.create_engine(engine.url, poolclass=sa.NullPool).connect() as connection:
        ((written,),) = execute_text(connection, WRITTEN).fetchall()
        return int(written)


def _alone(url: sa.URL) -> list[sa.URL]:
    """A URL of each server, whichever leads."""
    hosts, ports = (_words(url.query.get(key, "")) for key in ("host", "port"))
    query: dict[str, Any] = {**url.query, "target_session_attrs": "any"}
    query["connect_timeout"] = str(CONNECT_S)
    return [
        url.set(query={**query, "host": host, **({"port": port} if port else {})})
        for host, port in zip(
            hosts, ports if len(ports) == len(hosts) else [""] * len(hosts), strict=True
        )
    ]


def _words(value: Any) -> list[str]:
    return str(value).split(",")
