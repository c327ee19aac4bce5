"""The pipeline's role: its API with git, flow workers and reconcilers, in one process.

Called by main.py, which opens the store; `kumoi up` has migrated it before. The process may be
killed at any moment: all its state is in the store and in git.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

from sqlalchemy.engine import Connection

from kumoi import addresses
from kumoi.base import log
from kumoi.base.clock import Clock
from kumoi.base.errors import KumoiError, NotFound, Permanent, StoreFull
from kumoi.config import CloudSettings, HostSettings
from kumoi.engine import loop
from kumoi.engine.activation import Activation
from kumoi.engine.audit import PRUNE_EVERY_S, Pruner, Recorder
from kumoi.engine.calls import user_of_peer
from kumoi.engine.db import Database
from kumoi.engine.flow_worker import Flows, Makers
from kumoi.engine.http.app import App
from kumoi.engine.http.connections import ConnectionLimits
from kumoi.engine.http.serving import Certificates, Listener
from kumoi.engine.http.serving import serve as serve_http
from kumoi.engine.http.turns import ThreadTurns
from kumoi.engine.loop import Loop
from kumoi.engine.loop_leases import LoopLeases
from kumoi.engine.wake import Alarm
from kumoi.hosts.units import users
from kumoi.pipeline import build, deletion, push_check
from kumoi.pipeline import run as pipeline_run
from kumoi.pipeline.api.request import Pipeline
from kumoi.pipeline.api.routes import SERVICES
from kumoi.pipeline.cloud import Cloud, Noun
from kumoi.pipeline.commit_status import CommitStatuses
from kumoi.pipeline.credentials import Credentials
from kumoi.pipeline.expire import Expiry
from kumoi.pipeline.fetch import Fetches
from kumoi.pipeline.guarded_http import Guard
from kumoi.pipeline.identity import Clouds, Identity
from kumoi.pipeline.push_check import PushCheck
from kumoi.pipeline.push_copies import PushCopies
from kumoi.pipeline.receive import Heads
from kumoi.pipeline.repositories import hook_socket
from kumoi.pipeline.repository_client import RepositoriesClient
from kumoi.pipeline.resources import prefix
from kumoi.pipeline.retention import EVERY_S as RETENTION_EVERY_S
from kumoi.pipeline.retention import Retention
from kumoi.pipeline.runner.script import this_release
from kumoi.pipeline.store import delegation, environment, repository, run
from kumoi.pipeline.store.delegation import Delegation
from kumoi.pipeline.store.repository import Repository
from kumoi.pipeline.webhook_expiry import EVERY_S as WEBHOOKS_EVERY_S
from kumoi.pipeline.webhook_expiry import WebhookExpiry

WORKERS = 4
HEADS_EVERY_S = 15.0
EXPIRE_EVERY_S = 10.0
FETCH_EVERY_S = 10.0  # A host that was silent is tried again.
STATUSES_EVERY_S = 30.0
SWEEP_EVERY_S = 15.0
HOOK_LINES_MAX = 50
HOOK_SOCKET_MODE = 0o660
HOOK_TIMEOUT_S = 15.0
HOOK_THREADS, HOOK_THREADS_EACH = 16, 4
"""Of all and of one project at once: many pushes of one keep nobody else's hooks waiting."""

OTHERS_MAX = 8
UNTAKEN_S = 900.0  # Longer than a push and the look at its heads.
NO_ROOM_FOR_RUN = (
    "the push is kept, but no run began: the disk of this cloud is full. It begins when there is room: "
    "push again then, to be told its id"
)

OpenCloud = Callable[[str], Cloud]


async def serve(
    cloud: CloudSettings,
    host: HostSettings,
    database: Database,
    clock: Clock,
    activation: Activation,
) -> None:
    """Until cancelled."""
    identity = Identity.of(cloud, host, clock)
    clouds = Clouds(lambda delegation: identity.cloud(delegation, cloud.region))
    host.run_dir.mkdir(parents=True, exist_ok=True)
    repositories = RepositoriesClient(host)
    repositories.prepare()
    copies = PushCopies.of(cloud, host, database, repositories)
    heads = Heads(cloud, repositories, database, clock, copies=copies)
    credentials = Credentials(database, identity)
    delegated = Delegated(database, identity, credentials, clouds, heads.look)
    check = PushCheck(cloud, database, repositories, clouds.of)
    expiry = _expiry(delegated, clock)
    context = pipeline_run.RunContext(
        cloud, host, database, clock, delegated.open, began_at=clock.now(), script=this_release()
    )
    flows = Flows(database, clock, kinds(context, delegated.open_to_end))
    alarm = Alarm(database.listen)
    guard = Guard.of(cloud.webhook_networks)
    pipeline = Pipeline(
        cloud, repositories, database, clock, identity, credentials, alarm, heads, copies, guard
    )

    async def end_waiting() -> None:
        pipeline.draining.set()
        alarm.ring()

    activation.on_drain.append(end_waiting)
    listeners = _listeners(pipeline, host)
    loops = (
        Loop("pipeline.heads", heads.round, HEADS_EVERY_S),
        *_loops_of_git_hosts(pipeline, heads),
        Loop("pipeline.expire", expiry.expire, EXPIRE_EVERY_S),
        Loop("pipeline.sweep", expiry.sweep, SWEEP_EVERY_S),
        Loop("pipeline.retention", Retention(database, clock, cloud).round, RETENTION_EVERY_S),
        Loop("pipeline.audit", Pruner(database, clock, cloud.audit_days).round, PRUNE_EVERY_S),
    )
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(serve_http(listeners, activation))
            group.create_task(flows.run(workers=WORKERS))
            group.create_task(answer_hooks(cloud, host, database, heads, check))
            leases = LoopLeases(database)
            for each in loops:
                group.create_task(loop.run(each, database, leases))
    finally:
        await alarm.close()


def _listeners(of: Pipeline, host: HostSettings) -> list[Listener]:
    """At each address of this host."""
    certificates = Certificates(host.pki_dir / "pipeline.crt", host.pki_dir / "pipeline.key")
    limits = ConnectionLimits.of(of.cloud)
    recorder = Recorder(of.database, of.clock)
    return [
        Listener(
            _app(of, address, recorder),
            address,
            of.cloud.pipeline_port,
            certificates,
            limits=limits,
        )
        for address in addresses.of_pipelines(of.cloud, host)
    ]


def _app(pipeline: Pipeline, address: str, recorder: Recorder) -> App:
    """For whom that address answers."""
    cloud = addresses.pipeline_seen_at(pipeline.cloud, address)
    return App(
        replace(pipeline, cloud=cloud),
        SERVICES,
        root=cloud.pipeline_url,
        recorder=recorder,
        requests_max=cloud.requests_per_client,
        waits=True,  # For git and the identity service.
    )


def _loops_of_git_hosts(of: Pipeline, heads: Heads) -> tuple[Loop, ...]:
    """What they tell of is fetched, and they are told what becomes of it, as long as somebody may act for
    it.
    """
    fetches = Fetches(
        of.repositories,
        of.database,
        of.clock,
        heads,
        copies=of.copies,
        pushing=of.pushing,
        guard=of.guard,
    )
    statuses = CommitStatuses(of.database, of.clock, of.guard, of.cloud.pipeline_url)
    expiry = WebhookExpiry(of.database, of.clock, of.identity.is_valid)
    return (
        Loop("pipeline.webhooks", expiry.round, WEBHOOKS_EVERY_S),
        Loop("pipeline.fetch", fetches.round, FETCH_EVERY_S, fetches.turns.poke),
        Loop("pipeline.statuses", statuses.round, STATUSES_EVERY_S, statuses.turns.poke),
    )


def _expiry(of: Delegated, clock: Clock) -> Expiry:
    return Expiry(of.database, clock, of.open_to_end, of.end, of.is_orphaned, of.retire)


def kinds(context: pipeline_run.RunContext, open_to_end: OpenCloud) -> Makers:
    """The pipeline's kinds of flow, each with the function that makes its steps object."""
    return {
        pipeline_run.KIND: lambda state: pipeline_run.PipelineRun(state, context),
        deletion.KIND: lambda state: deletion.EnvironmentDelete(
            state, open_to_end, context.database
        ),
    }


@dataclass(frozen=True, slots=True)
class Delegated:
    """The cloud as an environment's pusher may use it."""

    database: Database
    identity: Identity
    credentials: Credentials
    clouds: Clouds
    begin_runs: Callable[[Repository], object]

    def open(self, environment_id: str) -> Cloud:
        """For its run: as its pusher, and as nobody else."""
        with self.database.read() as connection:
            mine = self._of(connection, environment_id)
        return self.clouds.of(mine)

    def open_to_end(self, environment_id: str) -> Cloud:
        """For its deletion: where its pusher has lost the role, or there was none, as whoever else pushed there."""
        for each in self._all(environment_id):
            if self.identity.is_valid(each):
                return self.clouds.of(each)
        return self.open(environment_id)  # It says why.

    def is_orphaned(self, environment_id: str) -> bool:
        """Whether the cloud refuses all of them. Raises Transient where it does not answer."""
        return not any(map(self.identity.is_valid, self._all(environment_id)))

    def end(self, acted: Delegation) -> None:
        """It acts for an environment no more, of which nothing is left."""
        with _alone(acted):
            self.credentials.end_unless_used(acted)

    def retire(self) -> None:
        """End the credentials that no environment took, those of a kept environment's earlier pushes,
        each of these after the keypair that it alone may see (Nova's belong to users), and what was left
        by processes that were killed.
        """
        before = self.database.now() - timedelta(seconds=UNTAKEN_S)
        with self.database.read() as connection:
            untaken = delegation.list_untaken(connection, before)
            retired = delegation.list_retired(connection)
        for repository_id, each in untaken:
            with _alone(each):
                self._end_untaken(repository_id, each)
        for environment_id, each in retired:
            with _alone(each):
                self._end_retired(environment_id, each)
        self.credentials.sweep()

    def _end_untaken(self, repository_id: str, untaken: Delegation) -> None:
        """Of a push that was cut off, or whose hook was killed. Runs that it has not begun yet begin now,
        or the credential waits for them with their heads: raises what keeps them from it.
        """
        with self.database.read() as connection:
            found = repository.get(connection, repository_id)
        if found is not None:
            self.begin_runs(found)
        self.credentials.end_unless_used(untaken)
        with self.database.write() as connection:
            mine = delegation.get_of_repository(connection, repository_id)
            if mine is not None and mine.credential_id == untaken.credential_id:
                delegation.forget_of_repository(connection, repository_id)

    def _end_retired(self, environment_id: str, retired: Delegation) -> None:
        with self.database.read() as connection:
            is_used = delegation.is_used(connection, retired.credential_id)
        if not is_used and self.identity.is_valid(retired):
            self._clear(environment_id, retired)
            if retired.is_own:
                self.credentials.end(retired)
        with self.database.write() as connection:
            delegation.forget_retired(connection, retired.credential_id)

    def _clear(self, environment_id: str, retired: Delegation) -> None:
        """The keypair of another user than who acts now; his own is in use."""
        with self.database.read() as connection:
            mine = delegation.get(connection, environment_id)
        theirs = self.clouds.of(retired)
        if mine is not None and self.clouds.of(mine).user_id() == theirs.user_id():
            return
        build.delete(theirs, theirs.list_resources(Noun.KEYPAIR, prefix(environment_id)))

    def _all(self, environment_id: str) -> list[Delegation]:
        """Its own first."""
        with self.database.read() as connection:
            others = delegation.others(connection, environment_id, most=OTHERS_MAX)
            try:
                return [self._of(connection, environment_id), *others]
            except Permanent:
                return others

    def _of(self, connection: Connection, environment_id: str) -> Delegation:
        """Raises NotFound, Permanent where nobody delegated anything."""
        mine = delegation.get(connection, environment_id)
        if mine is None:  # It began by a release before 0.3.
            found = environment.get(connection, environment_id)
            if found is None:
                raise NotFound("environment", environment_id)
            mine = delegation.get_of_repository(connection, found.repository_id)
        if mine is None:
            raise Permanent("nobody has let the pipeline work for this environment; push again")
        return mine


@contextlib.contextmanager
def _alone(about: Delegation) -> Iterator[None]:
    """What fails for one credential keeps no other waiting; the next round tries again."""
    try:
        yield
    except KumoiError as error:
        log.failure("delegation.not_ended", error, credential=about.credential_id)


async def answer_hooks(
    cloud: CloudSettings,
    host: HostSettings,
    database: Database,
    heads: Heads,
    check: PushCheck,
) -> None:
    """Serve git's hooks. What is asked before a push is answered with why it is refused; what is asked
    after it makes us look at its repository, and is answered with the runs that it began. Hooks are the user of the unit that owns the repositories,
    who gets to the socket by that unit's group.
    """
    asker = users.user_of(cloud, host, users.REPOSITORIES)
    turns = ThreadTurns(HOOK_THREADS, HOOK_THREADS_EACH)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if user_of_peer(writer.get_extra_info("socket")) != asker[0]:
                return
            async with asyncio.timeout(HOOK_TIMEOUT_S):
                lines: list[str] = []
                while len(lines) < HOOK_LINES_MAX and (line := await reader.readline()):
                    lines.append(line.decode().rstrip("\n"))
                if lines and lines[0].startswith(f"{push_check.WORD} "):
                    project_id = lines[0].split(" ")[1]
                    refusal = await turns.run(project_id, functools.partial(check.refusal, lines))
                    said = [refusal] if refusal else []
                else:
                    project_id = "".join(lines[:1]).partition(" ")[0]
                    look = functools.partial(_runs_of_push, cloud, database, heads, lines)
                    said = await turns.run(project_id, look)
                writer.write("".join(f"{line}\n" for line in said).encode())
                await writer.drain()
        except (TimeoutError, OSError, ValueError):
            return  # The hook says so to the pusher; the run begins all the same.
        except KumoiError as error:  # Likewise.
            log.failure("hook.not_answered", error)
        finally:
            writer.close()

    # Takes the path over from a pipeline that is being replaced.
    path = hook_socket(host)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o711)
    server = await asyncio.start_unix_server(answer, path)
    os.chown(path, -1, asker[1])
    path.chmod(HOOK_SOCKET_MODE)
    async with server:
        await server.serve_forever()


def _runs_of_push(
    cloud: CloudSettings, database: Database, heads: Heads, lines: list[str]
) -> list[str]:
    """The lines that the pusher sees about each run. `lines` are the hook's question: "project
    repository", then "commit branch" for each head.
    """
    if not lines or " " not in lines[0]:
        return []
    project_id, name = lines[0].split(" ", 1)
    with database.read() as connection:
        found = repository.find(connection, project_id, name)
    if found is None:
        return []
    try:
        heads.look(found)
    except StoreFull as error:
        log.failure("repository.not_followed", error, repository=found.id)
        return [NO_ROOM_FOR_RUN]
    answer: list[str] = []
    with database.read() as connection:
        for line in lines[1:]:
            commit, _, branch = line.partition(" ")
            new = run.find_of_push(connection, found.id, branch, commit)
            if new is not None:
                url = f"{cloud.pipeline_url}/reports/{found.project_name}/{new.id}"
                if new.is_queued:
                    answer.append(f"run {new.id} waits for {new.waits_for}")
                elif new.status == run.RunStatus.FAILED:
                    answer.append(f"run {new.id} failed: {new.reason}")
                else:
                    answer.append(f"run {new.id} started: {url}")
                answer.append(f"follow it with: kumoi run follow {new.id}")
    return answer
