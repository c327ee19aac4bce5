"""The HTTP framework's request, with the services that the pipeline's handlers use."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, TypeAlias

from kumoi.base.clock import Clock
from kumoi.base.errors import Invalid
from kumoi.config import CloudSettings
from kumoi.engine.db import Database
from kumoi.engine.http import paging, request
from kumoi.engine.http.turns import ThreadTurns
from kumoi.engine.wake import Alarm
from kumoi.pipeline.credentials import Credentials
from kumoi.pipeline.guarded_http import Guard
from kumoi.pipeline.identity import Identity, ProjectCaller
from kumoi.pipeline.look_ups import LookUps
from kumoi.pipeline.push_copies import PushCopies
from kumoi.pipeline.pushes import Pushes
from kumoi.pipeline.receive import Heads
from kumoi.pipeline.repository_client import RepositoriesClient
from kumoi.pipeline.store.runner import Runner

PART_BYTES = 65_536
GIT_THREADS, GIT_THREADS_EACH = 32, 4
"""For git at work, and for pushes that wait for one to the same repository: of a project so many."""
LOOK_THREADS, LOOK_THREADS_EACH = 16, 2
"""For looks at runs that whoever waits for them has again and again."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The services behind the pipeline's handlers, one object for all requests. `draining` is set when
    another process takes over: what waits for long then ends.
    """

    cloud: CloudSettings
    repositories: RepositoriesClient
    database: Database
    clock: Clock
    identity: Identity
    credentials: Credentials
    alarm: Alarm
    heads: Heads
    copies: PushCopies
    guard: Guard = field(default_factory=Guard)
    look_ups: LookUps = field(default_factory=LookUps)
    pushing: Pushes = field(default_factory=Pushes)
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    git_turns: ThreadTurns = field(
        default_factory=lambda: ThreadTurns(GIT_THREADS, GIT_THREADS_EACH)
    )
    look_turns: ThreadTurns = field(
        default_factory=lambda: ThreadTurns(LOOK_THREADS, LOOK_THREADS_EACH)
    )


Request: TypeAlias = request.Request[Pipeline, ProjectCaller]
RunnerRequest: TypeAlias = request.Request[Pipeline, Runner]


def number(request: Request, name: str, default: int, maximum: int) -> int:
    """A query parameter from 0 to `maximum`. Raises Invalid."""
    found = paging.natural(request.query.get(name, str(default)))
    if found is None or found > maximum:
        raise Invalid(f"{name} must be a number from 0 to {maximum}", field=name)
    return found


def file_parts(file: IO[bytes]) -> Iterator[bytes]:
    """The body of a streamed answer: the file from where it stands, closed at its end."""
    with file:
        while part := file.read(PART_BYTES):
            yield part
