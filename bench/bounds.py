"""How long one request may keep all other writers waiting: the longest write transaction of each route
that is asked for as much as its body may hold, in this process over SQLite and over PostgreSQL, which wait
for the disk at each commit. Needs no cloud that is up.

How much of that a transaction computed is a figure of ours; the rest is the disk's and PostgreSQL's, and on
a machine that does other things, theirs. tests/security/test_bounds.py counts what these transactions do.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from tests.postgres import fresh_database, running_postgres
from tests.security import full_bodies
from tests.security.in_process import WatchByRoute, in_process_cloud

from bench.measure import Figure, come_first
from kumoi.base import log

QUIET = 50
HELD_MAX_MS = 50.0
SHORT_MS = 8.0
TIMES = 5
REFUSED = 400


def figures() -> list[Figure]:
    """On each database. Those first that compute most. Routes whose transactions compute little are one
    line.
    """
    log.set_up("bench", level=QUIET)
    come_first()
    rows: list[Figure] = []
    with (
        tempfile.TemporaryDirectory(prefix="kumoi-bench-") as directory,
        running_postgres(is_durable=True) as server,
        fresh_database(server) as postgres,
    ):
        for name, url in (("SQLite", f"sqlite:///{directory}/store.db"), ("PostgreSQL", postgres)):
            watches = _watched(Path(directory), url)
            longest = [max(watch.open_s.values()) * 1_000 for watch in watches]
            rows.append(
                Figure(f"the longest write transaction, {name}", longest, "ms", HELD_MAX_MS)
            )
            rows += _by_route(watches)
    return rows


def _watched(directory: Path, url: str) -> list[WatchByRoute]:
    watches = []
    with in_process_cloud(directory, url) as cloud:
        cloud.add_host()
        cloud.lift_quotas()

        def ask(method: str, path: str, body: Any, **headers: str) -> Any:
            answer = cloud.ask(method, path, body, **headers)
            if answer.status_code >= REFUSED:
                raise RuntimeError(f"{method} {path}: {answer.text}")
            return answer.json() if answer.content else None

        for number in range(TIMES):
            watches.append(WatchByRoute())
            cloud.database.write_watch = watches[-1]
            full_bodies.send_all(ask, str(number))
    return watches


def _by_route(watches: list[WatchByRoute]) -> list[Figure]:
    routes = sorted(watches[0].open_s, key=lambda route: -_computed_ms(watches, route))
    rows: list[Figure] = []
    short = [route for route in routes if _computed_ms(watches, route) < SHORT_MS]
    for route in routes:
        if route not in short:
            held = [watch.open_s[route] * 1_000 for watch in watches]
            computed = [watch.computed_s[route] * 1_000 for watch in watches]
            rows.append(Figure(route, held, "ms", HELD_MAX_MS))
            rows.append(Figure("  of which it computed", computed, "ms", HELD_MAX_MS))
    for what, found in (("", "open_s"), ("  of which it computed", "computed_s")):
        held = [getattr(watch, found)[route] * 1_000 for watch in watches for route in short]
        rows.append(Figure(what or f"the {len(short)} others", held, "ms", HELD_MAX_MS))
    return rows


def _computed_ms(watches: list[WatchByRoute], route: str) -> float:
    return max(watch.computed_s[route] for watch in watches) * 1_000
