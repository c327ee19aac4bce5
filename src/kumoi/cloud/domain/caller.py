"""The caller of a domain function: what the rules decide by, and the request it came with."""

from __future__ import annotations

from dataclasses import dataclass

from kumoi.policy import caller


@dataclass(frozen=True, slots=True)
class Caller(caller.PolicySubject):
    """The user, project and roles of a token."""

    request_id: str
