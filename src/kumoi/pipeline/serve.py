"""The pipeline's role: its API with git, flow workers and reconcilers, in one process.

Called by main.py, which opens the store. `kumoi up` has brought its tables to the newest migration
before. Killed at any moment it loses nothing: what is wanted stands in the store and in git.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kumoi.base.clock import Clock
from kumoi.base.errors import NotFound, Permanent, Transient
from kumoi.config import CloudSettings, HostSettings
from kumoi.engine import loop
from kumoi.engine.activation import Activation
from kumoi.engine.audit import PRUNE_EVERY_S, Pruner, Recorder
from kumoi.engine.db import Database
from kumoi.engine.flow_worker import Flows, Makers
from kumoi.engine.http.app import App
from kumoi.engine.http.serving import Certificates, Listener
from kumoi.engine.http.serving import serve as serve_http
from kumoi.engine.loop import Loop
from kumoi.engine.wake import Alarm
from kumoi.pipeline import deletion
from kumoi.pipeline import run as pipeline_run
from kumoi.pipeline.api.request import Pipeline
from kumoi.pipeline.api.routes import SERVICES
from kumoi.pipeline.cloud import Cloud
from kumoi.pipeline.expire import Expiry
from kumoi.pipeline.identity import Clouds, Identity
from kumoi.pipeline.receive import Heads
from kumoi.pipeline.repositories import Repositories
from kumoi.pipeline.runner.script import this_release
from kumoi.pipeline.store import environment, repository, run

WORKERS = 4
HEADS_EVERY_S = 15.0
EXPIRE_EVERY_S = 10.0
SWEEP_EVERY_S = 15.0
HOOK_LINES_MAX = 50
HOOK_TIMEOUT_S = 15.0

OpenCloud = Callable[[str], Cloud]


async def serve(
    cloud: CloudSettings,
    host: HostSettings,
    database: Database,
    clock: Clock,
    activation: Activation,
) -> None:
    """Until cancelled."""
    certificate = host.pki_dir / "pipeline.crt", host.pki_dir / "pipeline.key"
    ca = host.pki_dir / "ca.crt"
    identity = Identity(
        f"{cloud.api_url}/identity",
        ca,
        clock,
        attempts_per_minute=cloud.login_attempts_per_minute,
    )
    await serve_with(
        cloud,
        host,
        database,
        clock,
        identity,
        certificates=Certificates(*certificate),
        open_cloud=delegated(database, identity, cloud.region),
        activation=activation,
    )


async def serve_with(
    cloud: CloudSettings,
    host: HostSettings,
    database: Database,
    clock: Clock,
    identity: Identity,
    *,
    certificates: Certificates,
    open_cloud: OpenCloud,
    activation: Activation,
) -> None:
    """As `serve`, with the cloud given. Tests give their own."""
    host.run_dir.mkdir(parents=True, exist_ok=True)
    repositories = Repositories(host)
    repositories.prepare()
    heads = Heads(cloud, repositories, database, clock)
    expiry = Expiry(database, clock, open_cloud)
    means = pipeline_run.Means(
        cloud, host, database, clock, open_cloud, began_at=clock.now(), script=this_release()
    )
    flows = Flows(database, clock, kinds(means))
    alarm = Alarm(database.listen)
    app = App(
        Pipeline(cloud, repositories, database, clock, identity, heads, alarm),
        SERVICES,
        root=cloud.pipeline_url,
        body_max_bytes=cloud.body_max_bytes,
        recorder=Recorder(database, clock),
    )
    listener = Listener(app, cloud.public_address, cloud.pipeline_port, certificates)
    pruner = Pruner(database, clock, cloud.audit_days)
    loops = (
        Loop("pipeline.heads", heads.round, HEADS_EVERY_S),
        Loop("pipeline.expire", expiry.expire, EXPIRE_EVERY_S),
        Loop("pipeline.sweep", expiry.sweep, SWEEP_EVERY_S),
        Loop("pipeline.audit", pruner.round, PRUNE_EVERY_S),
    )
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(serve_http([listener], activation))
            group.create_task(flows.run(workers=WORKERS))
            group.create_task(answer_hooks(cloud, repositories, database, heads))
            for each in loops:
                group.create_task(loop.run(each, database))
    finally:
        await alarm.close()


def kinds(means: pipeline_run.Means) -> Makers:
    """The pipeline's flows."""
    return {
        pipeline_run.KIND: lambda state: pipeline_run.PipelineRun(state, means),
        deletion.KIND: lambda state: deletion.EnvironmentDelete(state, means.open_cloud),
    }


def delegated(database: Database, identity: Identity, region: str) -> OpenCloud:
    """How to open the cloud of an environment: as what its repository's pusher delegated."""
    clouds = Clouds(lambda given: identity.cloud(given, region))

    def open_cloud(environment_id: str) -> Cloud:
        with database.read() as connection:
            lived = environment.get(connection, environment_id)
            owner = repository.get(connection, lived.repository_id) if lived else None
            given = repository.get_delegation(connection, owner.id) if owner else None
        if owner is None:
            raise NotFound("environment", environment_id)
        if given is None:
            raise Permanent("nobody has let the pipeline work for this repository; push again")
        return clouds.of(owner, given)

    return open_cloud


async def answer_hooks(
    cloud: CloudSettings, repositories: Repositories, database: Database, heads: Heads
) -> None:
    """Tell a post-receive hook which runs its push began; being asked is the hint to look."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(HOOK_TIMEOUT_S):
                lines: list[str] = []
                while len(lines) < HOOK_LINES_MAX and (line := await reader.readline()):
                    lines.append(line.decode().rstrip("\n"))
                said = await asyncio.to_thread(_began, cloud, database, heads, lines)
                writer.write("".join(f"{line}\n" for line in said).encode())
                await writer.drain()
        except (TimeoutError, OSError, ValueError, Transient):
            return  # The hook says so itself; the run begins all the same.
        finally:
            writer.close()

    # A pipeline that is being replaced had it; whoever asks there from now on asks this one.
    server = await asyncio.start_unix_server(answer, repositories.hook_socket)
    async with server:
        await server.serve_forever()


def _began(cloud: CloudSettings, database: Database, heads: Heads, lines: list[str]) -> list[str]:
    """`lines` are "project repository" and then "commit branch" for each head."""
    if not lines or " " not in lines[0]:
        return []
    project_id, name = lines[0].split(" ", 1)
    with database.read() as connection:
        found = repository.find(connection, project_id, name)
    if found is None:
        return []
    heads.look(found)
    said: list[str] = []
    with database.read() as connection:
        for line in lines[1:]:
            commit, _, branch = line.partition(" ")
            new = run.find_of_push(connection, found.id, branch, commit)
            if new is not None:
                where = f"{cloud.pipeline_url}/pipeline/v1/runs/{new.id}"
                said.append(f"run {new.id} started: {where}")
                said.append(f"follow it with: kumoi run follow {new.id}")
    return said
