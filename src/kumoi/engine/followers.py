"""Reads while no server of PostgreSQL takes writes, or the one that does is silent: from one that has what was
acknowledged.

A write is acknowledged by two servers (hosts/cluster/patroni.py). So of three, whichever two answer have between them all
that was acknowledged before they were asked; who has most of it is read from when it has applied it. Where fewer answer,
what is read may lack something, and whoever is shown it is told so. It is for who shows things to people, and for
nobody who acts by what he reads.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from kumoi.base import log
from kumoi.engine.statement import execute_text

ACKNOWLEDGED_BY = 2
_LOG = """
SELECT CASE WHEN pg_is_in_recovery() THEN greatest(checkpoint.timeline_id, recovery.min_recovery_end_timeline)
            ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END,
       pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
                            ELSE pg_current_wal_lsn() END, '0/0')::bigint,
       pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                            ELSE pg_current_wal_lsn() END, '0/0')::bigint
  FROM pg_control_checkpoint() AS checkpoint, pg_control_recovery() AS recovery
"""
CONNECT_S = 2  # The least that libpq keeps to.
LONGEST_S = 3.0  # For so long anybody is waited for.
OTHERS_S = 1.5  # And for so long the others, when one has answered and is not enough.
SILENT_S = 0.2  # One of them that did not answer who asked before.
OPEN_MOST = 3  # Questions to one server that it has not answered.
BEHIND_S = 2.0  # For so long an answer that was not enough is kept.
APPLIES_S, APPLIES_AGAIN_S = 1.0, 0.01  # A server has applied what it has after that, or is behind.

Answer = TypeVar("Answer")


class LogPosition(NamedTuple):
    """How much of the log a server has, and how much of that its tables show, in bytes. A later timeline has what was
    acknowledged of the earlier one.
    """

    timeline: int
    has: int
    shows: int


@dataclass(frozen=True, slots=True)
class Choice:
    """The server to read from. `is_enough`: it has all that was acknowledged before `asked_s`."""

    server: FollowedServer
    shows: int
    asked_s: float
    is_enough: bool


class Following:
    """What one reader is shown in one request. `is_behind`: it may lack what was acknowledged before."""

    def __init__(self) -> None:
        self.choice: Choice | None = None
        self.is_behind = False


class Followers:
    """The servers of a URL, each on its own. `make` opens an engine. What is asked of a frozen server is never
    answered, so only threads of this class ask.
    """

    def __init__(self, url: sa.URL, make: Callable[[sa.URL], Engine]) -> None:
        self._threads = _DaemonThreads()
        self._servers = [FollowedServer(make(each), self._threads) for each in _alone(url)]
        self._enough = max(1, len(self._servers) + 1 - ACKNOWLEDGED_BY)
        self._asking = threading.Lock()
        self._chosen: Choice | None = None
        self._failed: tuple[float, sa.exc.OperationalError] | None = None
        self._looking: Future[Connection] | None = None

    def begin(self, begin: str, following: Following) -> Connection:
        """A connection in a new transaction, by the server that was chosen for this reader. Raises OperationalError
        where no server answers.
        """
        choice = following.choice = following.choice or self._choose()
        beginning = self._threads.submit(_begin_at, choice, begin)
        try:
            connection, shows_all = beginning.result(LONGEST_S)
        except TimeoutError as cause:  # It was frozen since it was chosen.
            self._forget(following)
            beginning.add_done_callback(_close)
            raise sa.exc.OperationalError(begin, {}, cause) from cause
        except sa.exc.OperationalError:
            self._forget(following)
            raise
        following.is_behind |= not (choice.is_enough and shows_all)
        return connection

    def within(
        self,
        seconds: float,
        begin: Callable[[], Connection],
        missed: Callable[[], None],
        late: Callable[[Connection], None],
    ) -> Connection | None:
        """What `begin` gives by then; None where it fails, as a server does that is lost, after `missed`. `late` gets
        what begins later: never before `missed` has returned.
        """
        beginning = self._threads.submit(begin)
        try:
            return beginning.result(seconds)
        except TimeoutError:
            missed()
            beginning.add_done_callback(
                lambda done: None if done.exception() else late(done.result())
            )
        except sa.exc.OperationalError as error:
            if not (error.statement is None or error.connection_invalidated):
                raise
            missed()
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
        for each in self._servers:
            each.engine.dispose()

    def _forget(self, following: Following) -> None:
        following.choice = self._chosen = None

    def _choose(self) -> Choice:
        """One thread asks for all that wait meanwhile: they came before it began to. Raises what the last server said,
        where none answers.
        """
        came_s = time.monotonic()
        with self._asking:
            chosen, failed = self._chosen, self._failed
            if chosen is not None and came_s < chosen.asked_s + (not chosen.is_enough) * BEHIND_S:
                return chosen
            if failed is not None and came_s < failed[0]:
                raise failed[1]
            asked_s = time.monotonic()
            try:
                chosen = self._ask(asked_s)
            except sa.exc.OperationalError as error:
                self._failed = asked_s, error
                raise
            if self._chosen is None or self._chosen.server is not chosen.server:
                host = chosen.server.engine.url.query.get("host")
                log.warning("store.read_from", server=host, has_all=chosen.is_enough)
            self._chosen = chosen
            return chosen

    def _ask(self, asked_s: float) -> Choice:
        """Of the servers that answer, the one that has most. As many as are enough are waited for, unless they are known
        to be silent.
        """
        asked = {future: each for each in self._servers if (future := each.ask())}
        waiting, answered = set(asked), dict[FollowedServer, LogPosition]()
        failure: BaseException | None = None
        ends_s = asked_s + LONGEST_S
        while waiting and len(answered) < self._enough and time.monotonic() < ends_s:
            done, waiting = wait(waiting, ends_s - time.monotonic(), FIRST_COMPLETED)
            for each in done:
                failure = each.exception() or failure
                if each.exception() is None:
                    answered[asked[each]] = each.result()
            if answered:
                is_new = any(not asked[each].is_silent for each in waiting)
                ends_s = min(ends_s, time.monotonic() + (OTHERS_S if is_new else SILENT_S))
        if len(answered) < self._enough:
            for future in waiting:
                asked[future].is_silent = True
        if not answered:
            raise sa.exc.OperationalError(_LOG, {}, failure or TimeoutError()) from failure
        present = self._chosen.server if self._chosen is not None else None
        server = max(answered, key=lambda each: (answered[each], each is present))
        shows = max(each.has for each in answered.values() if each[0] == answered[server][0])
        return Choice(server, shows, asked_s, len(answered) >= self._enough)


class FollowedServer:
    """`is_silent`: it did not answer in time when it was asked last."""

    def __init__(self, engine: Engine, threads: _DaemonThreads) -> None:
        self.engine = engine
        self.is_silent = False
        self._threads = threads
        self._open: list[Future[LogPosition]] = []

    def ask(self) -> Future[LogPosition] | None:
        """None where earlier questions are open: their answers may be older than whoever asks now, and who is silent
        is not to keep a thread for each.
        """
        self._open = [each for each in self._open if not each.done()]
        if len(self._open) >= (1 if self.is_silent else OPEN_MOST):
            return None
        asked = self._threads.submit(self._answer)
        self._open.append(asked)
        return asked

    def _answer(self) -> LogPosition:
        """By a connection of its own, as one that is open may be to a process that is frozen."""
        with sa.create_engine(self.engine.url, poolclass=sa.NullPool).connect() as connection:
            position = _position(connection)
        self.is_silent = False
        return position


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


def _begin_at(choice: Choice, begin: str) -> tuple[Connection, bool]:
    """And whether its tables show by then what the server was chosen for."""
    connection = choice.server.engine.connect()
    try:
        shows_all = _applies(connection, choice.shows)
        connection.begin()
        execute_text(connection, begin)
    except BaseException:
        connection.close()
        raise
    return connection, shows_all


def _applies(connection: Connection, shows: int) -> bool:
    ends_s = time.monotonic() + APPLIES_S
    while _position(connection).shows < shows:
        if time.monotonic() > ends_s:
            return False
        time.sleep(APPLIES_AGAIN_S)
    return True


def _position(connection: Connection) -> LogPosition:
    ((timeline, has, shows),) = execute_text(connection, _LOG).fetchall()
    return LogPosition(int(timeline), int(has), int(shows))


def _close(late: Future[tuple[Connection, bool]]) -> None:
    with contextlib.suppress(sa.exc.OperationalError):
        late.result()[0].close()


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
