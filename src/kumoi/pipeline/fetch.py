"""Stage receive, for repositories that a git host feeds: what a webhook tells of is fetched.

Level-driven: `Fetches` asks the host which branches it has and makes ours the same, so that a delivery
which is lost, repeated or late costs nothing but time. Branches begin to be followed when a delivery
names them; one that the host has no more is deleted here, with its environment. What is fetched goes
into the repository as a push does, with its checks and bounds.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import IO, Protocol

from kumoi.base import log
from kumoi.base.clock import Clock
from kumoi.base.errors import Invalid, KumoiError, Transient
from kumoi.engine import audit
from kumoi.engine.db import Database
from kumoi.engine.loop import BACKOFF
from kumoi.pipeline import push_packets
from kumoi.pipeline.git_remote import GitRemote
from kumoi.pipeline.guarded_http import Guard
from kumoi.pipeline.project_turns import ProjectTurns, Work
from kumoi.pipeline.push_copies import PushCopies
from kumoi.pipeline.push_packets import FLUSH, SIDE_BAND, packet
from kumoi.pipeline.pushes import Pushes
from kumoi.pipeline.receive import Heads
from kumoi.pipeline.repositories import BODY_MAX_BYTES
from kumoi.pipeline.repository_calls import CopyNote
from kumoi.pipeline.repository_client import RepositoriesClient
from kumoi.pipeline.store import delegation, repository, webhook
from kumoi.pipeline.store.repository import Repository
from kumoi.pipeline.store.webhook import Webhook
from kumoi.pipeline.webhook import HEADS, GitHost

LOOK_EVERY_S = 300.0
GIVE_UP_AFTER_S = 600.0
DUE_MAX = 20  # Of a project. Those that wait for their pause were looked at last.
NOTHING = "0" * 40
SERVICE = "git-receive-pack"
NO_NEWS = "nothing new: the branches are as they were"
RUN = re.compile(r"run [0-9a-f]+ started")
TOLD_MAX = 10


class Remote(Protocol):
    """A repository on a git host."""

    def list_heads(self) -> dict[str, str]: ...
    def fetch(self, commit: str, haves: Collection[str], out: IO[bytes], most: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Move:
    """Of a branch of ours, from one commit to another; NOTHING is none."""

    branch: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Failing:
    """A host that so many looks in a row found silent; by the monotonic clock it is not looked at until then."""

    times: int
    until_s: float


class Fetches:
    """The reconciler from git hosts to repositories."""

    def __init__(
        self,
        repositories: RepositoriesClient,
        database: Database,
        clock: Clock,
        heads: Heads,
        *,
        copies: PushCopies,
        pushing: Pushes,
        guard: Guard,
    ) -> None:
        self._repositories = repositories
        self._database = database
        self._clock = clock
        self._heads = heads
        self._copies = copies
        self._pushing = pushing
        self._guard = guard
        self.turns = ProjectTurns(clock)
        self._failing: dict[str, Failing] = {}

    def round(self) -> None:
        """Each host for itself: one that does not answer keeps no other waiting for its pause, and one that
        takes its time no other project.
        """
        before, now_s = self._clock.now() - timedelta(seconds=LOOK_EVERY_S), self._clock.monotonic()
        with self._database.read() as connection:
            due = webhook.list_to_look_at(connection, before, each=DUE_MAX)
        for key, known in list(self._failing.items()):
            if known.until_s + LOOK_EVERY_S < now_s:
                self._failing.pop(key, None)
        work: dict[str, Work] = {}
        for hook in due:
            known = self._failing.get(hook.id, Failing(0, now_s))
            if known.until_s <= now_s:
                work.setdefault(hook.project_id, partial(self._take_turn, hook, known.times))
        self.turns.give(work)

    def _take_turn(self, hook: Webhook, failures: int) -> None:
        if self._look(hook):
            self._failing.pop(hook.id, None)
            return
        until_s = self._clock.monotonic() + BACKOFF.after(failures + 1)
        self._failing[hook.id] = Failing(failures + 1, until_s)

    def _look(self, hook: Webhook) -> bool:
        """At one git host; the deliveries that wait for it are answered. False where that is to be tried
        again.
        """
        with self._database.read() as connection:
            current = webhook.get(connection, hook.id)
            waiting = webhook.deliveries(connection, hook.id, only_waiting=True)
            found = repository.get(connection, hook.repository_id)
        if current is None or current.looked_at != hook.looked_at:
            return True  # Somebody has just looked. What came since is due again.
        now = self._clock.now()
        refused = dict(hook.refused)
        try:
            outcome = self._follow(hook, found, {each.branch for each in waiting}, refused)
        except Transient as error:
            waits_since = min((each.received_at for each in waiting), default=now)
            if waiting and (now - waits_since).total_seconds() < GIVE_UP_AFTER_S:
                log.failure("webhook.not_fetched", error, webhook=hook.id)
                with self._database.write(wakes=False) as connection:  # Others come first then.
                    webhook.set_looked(connection, hook.id, now, refused)
                return False
            outcome = error.message
        except KumoiError as error:
            outcome = error.message
        with self._database.write() as connection:
            webhook.set_looked(connection, hook.id, now, refused)
            webhook.end_deliveries(connection, waiting, outcome, now)
        if waiting:
            log.event("webhook.fetched", webhook=hook.id, outcome=outcome)
        return True

    def _follow(
        self,
        hook: Webhook,
        found: Repository | None,
        named: set[str],
        refused: dict[str, str],
    ) -> str:
        """Make our branches what the host's are; what became of it, for people."""
        if found is None:
            raise Invalid("the repository is gone")
        remote = GitRemote(GitHost(hook.host), hook.url, hook.token, self._guard)
        theirs = remote.list_heads()
        if not theirs:
            raise Invalid("the host lists no branch at all; ours are left as they are")
        self._copies.require_here(found)
        self._repositories.ensure(found.project_id, found.name)
        ours = self._repositories.list_heads(found.project_id, found.name) or {}
        told: list[str] = []
        for branch in sorted(named | ours.keys()):
            before, after = ours.get(branch, NOTHING), theirs.get(branch, NOTHING)
            if before == after or (refused.get(branch) == after and branch not in named):
                continue
            said, is_taken = self._take(hook, found, remote, Move(branch, before, after), ours)
            refused.pop(branch, None)
            if not is_taken:
                refused[branch] = after
            told.append(said)
        return "\n".join(told[:TOLD_MAX]) or NO_NEWS

    def _take(
        self,
        hook: Webhook,
        found: Repository,
        remote: Remote,
        move: Move,
        ours: Mapping[str, str],
    ) -> tuple[str, bool]:
        """Move one branch of ours; what was said of it, and whether it moved."""
        spool = self._repositories.spool
        branch, after = move.branch, move.after
        update = f"{move.before} {after} {HEADS}{branch}\0report-status {SIDE_BAND}"
        spool.require_room(BODY_MAX_BYTES)
        with spool.body() as body, spool.body() as out:
            body.write(packet(update.encode()) + FLUSH)
            if after != NOTHING:
                haves = sorted(set(ours.values()) - {NOTHING})
                remote.fetch(after, haves, body, BODY_MAX_BYTES)
            with self._pushing.one_at_a_time(found.id):
                self._leave_delegation(hook)
                change = self._copies.begin(found)
                self._push(found, body, out, change)
                self._copies.end(found, change)
                began = self._heads.look(found)
                said, is_taken = _answer(out, branch)
                told = audit.recording(_record(hook)) if is_taken else contextlib.nullcontext()
                with told, self._database.write() as connection:
                    delegation.forget_of_repository(connection, found.id)
        return _outcome(branch, after, said, began, is_taken=is_taken), is_taken

    def _leave_delegation(self, hook: Webhook) -> None:
        """What begins meanwhile acts by the credential of whoever registered the webhook."""
        acting = delegation.Delegation(hook.acting.credential_id, hook.acting.secret)
        with self._database.write() as connection:
            delegation.set_of_repository(
                connection, hook.repository_id, acting, self._clock.now(), hook.user_name
            )

    def _push(self, found: Repository, body: IO[bytes], out: IO[bytes], change: CopyNote) -> None:
        size = body.tell()
        body.seek(0)
        self._repositories.serve_git(
            found.project_id,
            found.name,
            rest=SERVICE,
            variables={
                "REQUEST_METHOD": "POST",
                "CONTENT_TYPE": f"application/x-{SERVICE}-request",
                "CONTENT_LENGTH": str(size),
                "REMOTE_USER": "webhook",
            },
            body=body,
            out=out,
            is_push=True,
            change=change,
        )


def _answer(out: IO[bytes], branch: str) -> tuple[str, bool]:
    """What git said, and whether the branch moved."""
    out.seek(0)
    while out.readline().strip():  # The head of a CGI program's answer.
        pass
    at = out.tell()
    is_taken = f"{HEADS}{branch}" in push_packets.accepted(out)
    out.seek(at)
    return push_packets.shown_text(out), is_taken


def _record(hook: Webhook) -> audit.Record:
    """Of a push that is the webhook's."""
    return audit.new_record(
        action="update/push",
        target_type="git",
        target_id=hook.repository_id,
        request_id="",
        request_path=hook.url,
        observer="git",
        address="",
        user_id=f"webhook/{hook.id}",
        project_id=hook.project_id,
    )


def _outcome(branch: str, after: str, said: str, began: list[str], *, is_taken: bool) -> str:
    if not is_taken:
        first = next(filter(None, map(str.strip, said.splitlines())), "")
        return first or f"{branch} could not be taken over"
    if after == NOTHING:
        return f"{branch} was deleted"
    runs = began or [each.split()[1] for each in RUN.findall(said)]
    return (
        f"{branch} is at {after[:10]}: run {' and '.join(runs)} began"
        if runs
        else f"{branch} is at {after[:10]}"
    )
