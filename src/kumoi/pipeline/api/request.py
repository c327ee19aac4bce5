"""A request to the pipeline: the framework's, with what the pipeline's handlers work with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from kumoi.base.clock import Clock
from kumoi.base.errors import Invalid
from kumoi.config import CloudSettings
from kumoi.engine.db import Database
from kumoi.engine.http import request
from kumoi.engine.wake import Alarm
from kumoi.pipeline.identity import Identity, ProjectCaller
from kumoi.pipeline.receive import Heads
from kumoi.pipeline.repositories import Repositories
from kumoi.pipeline.store.runner import Runner

NUMBER_DIGITS_MAX = 18


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What handlers work with."""

    cloud: CloudSettings
    repositories: Repositories
    database: Database
    clock: Clock
    identity: Identity
    heads: Heads
    alarm: Alarm


Request: TypeAlias = request.Request[Pipeline, ProjectCaller]
RunnerRequest: TypeAlias = request.Request[Pipeline, Runner]


def number(asked: request.Request[Any, Any], name: str, default: int, most: int) -> int:
    """A query parameter from 0 to `most`. Raises Invalid."""
    text = asked.query.get(name, str(default))
    if not text.isdecimal() or len(text) > NUMBER_DIGITS_MAX or int(text) > most:
        raise Invalid(f"{name} must be a number from 0 to {most}", field=name)
    return int(text)
