"""The application credentials that the pipeline makes and ends.

None is made that is not written down before, by a name and a secret of ours, and none is forgotten before
the cloud has ended it. So a process may be killed at any moment: `sweep` finds what nothing has any more
and ends it, one whose id nobody heard by logging in with its name. Called by the API and by serve.py.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from kumoi.base import log
from kumoi.base.errors import KumoiError, Permanent, Transient
from kumoi.base.ids import new_hex_id
from kumoi.base.secret import Secret
from kumoi.engine import db
from kumoi.engine.db import Database
from kumoi.pipeline.identity import GitLogin, ProjectCaller
from kumoi.pipeline.store import delegation as delegations
from kumoi.pipeline.store import own_credential
from kumoi.pipeline.store.delegation import Delegation
from kumoi.pipeline.store.own_credential import OwnCredential

UNUSED_S = 900.0  # Longer than the making of one, until something has it.
AGAIN_S = 300.0  # After a look that failed.
SECRET_BYTES = 32  # 43 characters: Keystone's hashes heed no more than 54.
SHOWN_MAX = 40
LATE = "the identity service took too long to make an application credential: push again"


class Delegates(Protocol):
    """What is asked of the identity service."""

    def delegate(self, login: GitLogin, caller: ProjectCaller, new: OwnCredential) -> str: ...
    def delegate_by_token(self, token: str, caller: ProjectCaller, new: OwnCredential) -> str: ...
    def end(self, delegation: Delegation) -> None: ...
    def end_named(self, found: OwnCredential) -> None: ...


@dataclass(frozen=True, slots=True)
class Credentials:
    database: Database
    identity: Delegates

    def of_push(self, login: GitLogin, caller: ProjectCaller, repository: str) -> Delegation:
        """For the environments of one push, made as its pusher. A pusher who logs in with an application
        credential delegates that one, since it cannot make another.
        """
        if login.is_credential:
            return Delegation(login.name, login.secret)
        new = _new(caller, "push", repository)
        return self._make(new, lambda: self.identity.delegate(login, caller, new))

    def of_webhook(self, token: str, caller: ProjectCaller, repository: str) -> Delegation:
        """For what a git host will tell of, by the token of whoever registers it. Raises Permanent where
        the token is of an application credential, which may make no other.
        """
        new = _new(caller, "webhook", repository)
        return self._make(new, lambda: self.identity.delegate_by_token(token, caller, new))

    def end(self, made: Delegation) -> None:
        """One of ours that nothing has any more. Nothing where the cloud has removed it already."""
        self.identity.end(made)
        with self.database.write() as connection:
            own_credential.forget_made(connection, made.credential_id)

    def end_unless_used(self, made: Delegation) -> None:
        """One that the pipeline made and no environment has. Raises KumoiError."""
        with self.database.read() as connection:
            is_used = delegations.is_used(connection, made.credential_id)
        if made.is_own and not is_used:
            self.end(made)

    def sweep(self) -> None:
        """End what a process that was killed has left. One that the cloud does not know ends likewise."""
        with self.database.read() as connection:
            now = db.now(connection)
            unused = own_credential.list_unused(connection, now)
        for each in unused:
            try:
                self.identity.end_named(each)
            except KumoiError as error:  # It keeps no other waiting.
                log.failure("credential.not_ended", error, credential=each.name)
                with self.database.write() as connection:
                    again_at = now + timedelta(seconds=AGAIN_S)
                    own_credential.set_look_at(connection, each.name, again_at)
                continue
            with self.database.write() as connection:
                own_credential.forget(connection, each.name)
            log.warning("credential.swept", credential=each.name)

    def _make(self, new: OwnCredential, make: Callable[[], str]) -> Delegation:
        with self.database.write() as connection:
            look_at = db.now(connection) + timedelta(seconds=UNUSED_S)
            own_credential.add(connection, new, look_at)
        try:
            made = Delegation(make(), new.secret, is_own=True)
        except Permanent:  # The cloud refused. Where it did not answer there may be one.
            with self.database.write() as connection:
                own_credential.forget(connection, new.name)
            raise
        try:
            with self.database.write() as connection:
                if not own_credential.set_made(connection, new.name, made.credential_id):
                    raise Transient(LATE)
        except KumoiError:
            self.identity.end(made)
            raise
        return made


def _new(caller: ProjectCaller, what: str, repository: str) -> OwnCredential:
    name = f"kumoi-{what}-{repository[:SHOWN_MAX]}-{new_hex_id()[:12]}"
    return OwnCredential(name, caller.user_id, Secret(secrets.token_urlsafe(SECRET_BYTES)))
