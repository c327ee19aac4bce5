"""Who asks the cloud: what its rules look at, and the request that it came with."""

from __future__ import annotations

from dataclasses import dataclass

from kumoi.policy import caller


@dataclass(frozen=True, slots=True)
class Caller(caller.PolicySubject):
    """As a token says."""

    request_id: str
