"""Composition: the command line and the roles. The only place that opens stores and wires roles.

A command is a module of cli/ that is imported when it is called (`cli/commands.py` lists them), and a
role imports only its own code: a process that runs all the time should be small.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from kumoi import addresses, config, members
from kumoi.base.errors import (
    Invalid,
    KumoiError,
    Permanent,
    StoreDamaged,
    StoreFull,
    Transient,
    UserError,
    chain,
)
from kumoi.base.text import printable
from kumoi.cli.commands import COMMANDS
from kumoi.config import CloudSettings, HostSettings

if TYPE_CHECKING:
    from kumoi.engine.activation import Activation
    from kumoi.engine.db import Database

Role = Callable[[CloudSettings, HostSettings, "Activation"], Coroutine[Any, Any, None]]

EXIT_FAILED = 1
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
EXIT_USAGE = 2
ONLY_ENGINES = "--only-engines"
EXIT_INTERRUPTED, EXIT_CUT_OFF = 130, 141
BOOT_ATTEMPTS = 10  # When they are over, systemd begins again.
BOOT_PAUSE_S = 3.0
AGENT_GRACE_S, HALT_GRACE_S = 10.0, 5.0  # For the agent, then for servers, when the machine stops.


def main(argv: list[str] | None = None) -> int:
    """Run one command; its exit status."""
    words = sys.argv[1:] if argv is None else argv
    if words and not words[0].startswith("-") and words[0] not in {*COMMANDS, *INNER}:
        _print_error(Invalid(f"there is no command {words[0]}: {', '.join(COMMANDS)}"))
        return EXIT_USAGE
    try:
        if words and words[0] in INNER:
            leave_out()
            INNER[words[0]](told(words))
            return 0
        from kumoi.cli import parsing

        args = parsing.parser(words[0] if words else "", _refuse).parse_args(words)
        command = COMMANDS[args.command]
        if command.needs_root and os.geteuid() != 0:
            how = (
                "run it with sudo: sudo"
                if shutil.which("sudo")
                else "and there is no sudo: as root,"
            )
            raise KumoiError(f"this needs root, {how} ./kumoi {args.command}")
        if os.geteuid() == 0 and "SUDO_USER" in os.environ:
            _use_clouds_yaml_of_sudo_user()
        status = int(importlib.import_module(command.module).run(args))
        sys.stdout.flush()
    except KumoiError as error:
        _print_error(error)
        return EXIT_FAILED
    except BrokenPipeError:  # Whoever reads what is printed has enough, as `head` has.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = EXIT_CUT_OFF
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        where = f" of {error.filename}" if error.filename else ""
        _print_error(
            Permanent(f"the disk{where} is full. Make room, then call this again; nothing is lost")
        )
        return EXIT_FAILED
    except KeyboardInterrupt:
        status = EXIT_INTERRUPTED
    return status


def leave_out() -> None:
    """What libraries import to print to people, or for a command of their own: 4 MiB and more of each process that runs
    all the time. None says that a library is not installed.
    """
    for name in ("rich", "pygments", "httpx._main"):
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]
    command = ModuleType("uvicorn.main")
    vars(command).update(Server=None, main=None, run=None)  # What `uvicorn` itself takes of it.
    sys.modules.setdefault(command.__name__, command)


def _use_clouds_yaml_of_sudo_user() -> None:
    """`up`, called by sudo, writes clouds.yaml into the home of the user who called it."""
    from kumoi.cli import choice

    os.environ.setdefault("OS_CLIENT_CONFIG_FILE", str(choice.person().file))


def _print_error(error: KumoiError) -> None:
    """An error that whoever reads it can mend is one line; any other is printed with its causes."""
    red, plain = ("\x1b[31m", "\x1b[0m") if sys.stderr.isatty() else ("", "")
    sys.stderr.write(f"{red}kumoi: {printable(str(error))}{plain}\n")
    if not isinstance(error, UserError | StoreFull | StoreDamaged):
        for cause in chain(error)[1:]:
            sys.stderr.write(f"    because of {printable(cause)}\n")


def _refuse(message: str) -> NoReturn:
    _print_error(Invalid(message))
    sys.exit(EXIT_USAGE)


# The commands that Kumoi calls itself. Most run all the time, and keep none of what reads people's words in memory.


@dataclass(frozen=True, slots=True)
class Told:
    """What such a command is told: COMMAND [WORD] --config DIRECTORY [--only-engines]."""

    word: str
    config: Path
    only_engines: bool


def told(words: Sequence[str]) -> Told:
    only_engines = ONLY_ENGINES in words
    match [word for word in words[1:] if word != ONLY_ENGINES]:
        case ["--config", directory]:
            return Told("", Path(directory), only_engines)
        case [word, "--config", directory]:
            return Told(word, Path(directory), only_engines)
        case _:
            raise Invalid(f"say {words[0]} [WORD] --config DIRECTORY [{ONLY_ENGINES}]")


def _role(args: Told) -> None:
    """Run a role until SIGTERM or SIGINT, which let work under way finish; or until SIGUSR1, sent
    when another process serves already, after which connected clients get their answers.
    """
    import asyncio

    from kumoi.base import log
    from kumoi.hosts.units import running

    if args.word not in ROLES:
        raise Invalid(f"there is no role {args.word}: {', '.join(sorted(ROLES))}")
    running.forget_mark()
    log.set_up(args.word)
    cloud, host = config.read(CloudSettings, args.config), config.read(HostSettings, args.config)
    for name in (*cloud.unknown_names, *host.unknown_names):
        log.event("settings.key_unknown", key=name)
    try:
        asyncio.run(_until_signal(ROLES[args.word], cloud.settings, host.settings))
    except ExceptionGroup as group:  # Of the role's tasks: the first that failed ended the others.
        ours, others = group.split(KumoiError)
        if ours is None or others is not None:
            raise
        raise _first_of(ours) from None


def _first_of(group: ExceptionGroup[KumoiError]) -> KumoiError:
    first = group.exceptions[0]
    return _first_of(first) if isinstance(first, ExceptionGroup) else first


async def _until_signal(role: Role, cloud: CloudSettings, host: HostSettings) -> None:
    import asyncio

    from kumoi.engine.activation import Activation

    activation = Activation.of_process()
    task = asyncio.ensure_future(role(cloud, host, activation))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    draining: set[asyncio.Task[None]] = set()

    async def drain() -> None:
        await activation.drain()
        task.cancel()

    loop.add_signal_handler(signal.SIGUSR1, lambda: draining.add(loop.create_task(drain())))
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _supervise(args: Told) -> None:
    from kumoi.hosts.units import control, guard, launch, releases, supervisor, table

    for pid in filter(None, ("self", os.environ.get(guard.GUARD_PID))):
        launch.protect(pid, launch.OOM_OF_UNITS)
    cloud, host = _settings(args)
    release = releases.running()
    wanted = table.all_units(cloud, host, release, only_engines=args.only_engines)
    places = supervisor.Places(host.state_dir, host.run_dir, host.log_dir)
    supervisor.Supervisor(wanted, control.digest_of(wanted), places).run()


def _store(args: Told) -> None:
    """Migrate both stores to this release, and fill the cloud's with its first rows."""
    from kumoi.cloud.store.migrate import upgrade as upgrade_cloud
    from kumoi.pipeline.store.migrate import upgrade as upgrade_pipeline

    cloud, host = _settings(args)
    upgrade_cloud(members.cloud_database(cloud, host))
    upgrade_pipeline(members.pipeline_database(cloud, host))
    _bootstrap(cloud, host)


def _bootstrap(cloud: CloudSettings, host: HostSettings) -> None:
    """Add the first domain, projects, users, roles, catalogue and host, where they are missing."""
    from kumoi.base.clock import Clock
    from kumoi.cloud.domain.host import enrolment
    from kumoi.cloud.domain.identity.bootstrap import bootstrap, prepare
    from kumoi.cloud.domain.image import metadef_first
    from kumoi.engine.db import Database
    from kumoi.hosts.first_use import passwords, pki

    database = Database(members.cloud_database(cloud, host), wake_dir=host.wake_dir)
    first = prepare(
        admin_password=passwords.read(host, "admin"),
        demo_password=passwords.read(host, "demo"),
    )
    key = pki.public_key_sha256(pki.read_certificate(host))
    with database.write() as connection:
        bootstrap(connection, cloud, first)
        metadef_first.ensure(connection, Clock().now())
        enrolment.enrol(connection, host.name, key)


def _settings(args: Told) -> tuple[CloudSettings, HostSettings]:
    cloud, host = config.read(CloudSettings, args.config), config.read(HostSettings, args.config)
    return cloud.settings, host.settings


def _boot(args: Told) -> None:
    """Before systemd starts an agent, which comes before anything else of ours."""
    from kumoi.cli import choice
    from kumoi.hosts import boot

    cloud, host = _settings(args)
    choice.require_whole(host)
    for attempt in range(1, BOOT_ATTEMPTS + 1):
        try:
            boot.ensure(cloud, host)
        except Transient:
            if attempt == BOOT_ATTEMPTS:
                raise
            time.sleep(BOOT_PAUSE_S)
        else:
            return


def _halt(args: Told) -> None:
    """When systemd stops the machine, or all of us. The agent ends before the servers, which it would
    start again; systemd, which is about to stop it, does not.
    """
    from kumoi.cloud.agent import purge
    from kumoi.hosts.units import running

    _, host = _settings(args)
    agents = [unit for unit in running.found(host.state_dir) if unit.name == "agent"]
    running.stop(agents, timeout_s=AGENT_GRACE_S)
    purge.stop_servers(host, grace_s=HALT_GRACE_S)


def _patroni(args: Told) -> None:
    """The unit of that name."""
    from kumoi.hosts.cluster import patroni

    patroni.serve(*_settings(args))


INNER: dict[str, Callable[[Told], None]] = {
    "role": _role,
    "boot": _boot,
    "halt": _halt,
    "supervise": _supervise,
    "store": _store,
    "patroni": _patroni,
}


# The roles. Each opens its store, if it has one, and serves until it is cancelled.


async def _api(cloud: CloudSettings, host: HostSettings, activation: Activation) -> None:
    from kumoi.base.clock import Clock
    from kumoi.cloud.api.serve import serve
    from kumoi.cloud.release_watch import while_current

    store = _cloud_store(cloud, host, follows=True)
    await while_current(store, serve(cloud, host, store, Clock(), activation))


async def _worker(cloud: CloudSettings, host: HostSettings, _activation: Activation) -> None:
    from kumoi.base.clock import Clock
    from kumoi.cloud.release_watch import while_current
    from kumoi.cloud.worker import serve

    store = _cloud_store(cloud, host)
    await while_current(store, serve(cloud, host, store, Clock()))


async def _agent(cloud: CloudSettings, host: HostSettings, _activation: Activation) -> None:
    from kumoi.base.clock import Clock
    from kumoi.cloud.agent.serve import serve

    await serve(cloud, host, Clock())


async def _fence(cloud: CloudSettings, host: HostSettings, _activation: Activation) -> None:
    from kumoi.cloud.agent.fence import serve

    await serve(cloud, host)


async def _health(cloud: CloudSettings, host: HostSettings, _activation: Activation) -> None:
    from kumoi.hosts.cluster import health

    await health.serve(cloud, host)


async def _pipeline(cloud: CloudSettings, host: HostSettings, activation: Activation) -> None:
    from kumoi.base.clock import Clock
    from kumoi.pipeline.serve import serve
    from kumoi.pipeline.store.migrations import FOLDER

    url = members.pipeline_database(cloud, host)
    store = _open_store(url, host.wake_dir / "pipeline", FOLDER)
    await serve(addresses.of_pipeline(cloud, host), host, store, Clock(), activation)


async def _repositories(cloud: CloudSettings, host: HostSettings, activation: Activation) -> None:
    from kumoi.engine.call_service import CallService
    from kumoi.hosts.units import users
    from kumoi.pipeline import repository_calls, repository_service
    from kumoi.pipeline.repositories import Repositories

    repositories = Repositories(host)
    repositories.prepare()
    answer = functools.partial(repository_service.answer, repositories)
    callers = [users.user_of(cloud, host, unit)[0] for unit in ("pipeline", members.COPIES)]
    await CallService(answer, repository_calls.socket_of(host), callers=callers).run(activation)


async def _inspector(cloud: CloudSettings, host: HostSettings, activation: Activation) -> None:
    from kumoi.cloud.drivers.image import inspector
    from kumoi.engine.call_service import CallService
    from kumoi.hosts.units import users

    caller, _ = users.user_of(cloud, host, "api")
    service = CallService(
        inspector.answer, host.inspector_socket, callers=(caller,), prepare=inspector.prepare
    )
    await service.run(activation)


async def _authority(cloud: CloudSettings, host: HostSettings, activation: Activation) -> None:
    from kumoi.base.clock import Clock
    from kumoi.engine.call_service import CallService
    from kumoi.hosts.cluster import authority
    from kumoi.hosts.units import users

    signer = authority.Signer(cloud, host.pki_dir, Clock())
    answer = functools.partial(authority.answer, signer)
    caller, _ = users.user_of(cloud, host, "api")
    await CallService(answer, host.authority_socket, callers=(caller,)).run(activation)


async def _copies(cloud: CloudSettings, host: HostSettings, activation: Activation) -> None:
    import asyncio

    from kumoi.cloud.drivers.image.files import ImageFiles
    from kumoi.cloud.reconcilers.image_copy import ImageCopies
    from kumoi.engine.db import Database
    from kumoi.engine.http.serving import Certificates, Listener, serve
    from kumoi.hosts.cluster import copies, copy_calls, copy_server
    from kumoi.pipeline.repository_client import RepositoriesClient
    from kumoi.pipeline.repository_copies import RepositoryCopies

    def store(name: str) -> Database:
        url = members.copies_store_url(cloud, host, name)
        return Database(url, wake_dir=host.wake_dir)

    key, certificate, authority = members.certificate(host, members.COPIES)
    tls = copy_calls.tls_context((key, certificate, authority))
    me = members.own(cloud, host)
    peers = [copy_calls.CopiesClient(each, tls) for each in cloud.control_hosts if each != me]
    names, pushed = store(members.CLOUD), store(members.PIPELINE)
    images = ImageCopies(names, ImageFiles(host.image_dir), cloud.image_max_bytes)
    repositories = RepositoryCopies(pushed, RepositoriesClient(host), host.state / "copies")
    keeper = copies.CopyKeeper([images, repositories], peers)

    def rest() -> None:
        """In a quiet cloud a look is rare, and each connection 2 MiB."""
        for each in (names, pushed):
            each.close()

    server = copy_server.CopyServer(keeper, images.open, repositories.pack)
    listener = Listener(
        server.app, me.address, members.COPIES_PORT, Certificates(certificate, key, authority)
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(serve([listener], activation))
        group.create_task(copies.follow(keeper, names.listen, prepare=images.prepare, rest=rest))


def _cloud_store(cloud: CloudSettings, host: HostSettings, *, follows: bool = False) -> Database:
    from kumoi.cloud.domain.host import cluster_version
    from kumoi.cloud.store.migrations import FOLDER

    url = members.cloud_database(cloud, host)
    database = _open_store(url, host.wake_dir, FOLDER, follows=follows)
    following = database.following() if follows else contextlib.nullcontext()
    with following, database.read() as connection:
        cluster_version.require(connection)
    return database


def _open_store(url: str, wake_dir: Path, migrations: Path, *, follows: bool = False) -> Database:
    """Raises Permanent when its tables are of a release that ours cannot work with. `follows`: a role that shows things
    does not wait for a server that takes writes.
    """
    from kumoi.engine import schema_check
    from kumoi.engine.db import Database

    database = Database(url, wake_dir=wake_dir)
    following = database.following() if follows else contextlib.nullcontext()
    with following, database.read() as connection:
        schema_check.require(connection, migrations)
    return database


ROLES: dict[str, Role] = {
    "api": _api,
    "worker": _worker,
    "agent": _agent,
    "authority": _authority,
    "copies": _copies,
    "fence": _fence,
    "health": _health,
    "inspector": _inspector,
    "pipeline": _pipeline,
    "repositories": _repositories,
}


if __name__ == "__main__":
    sys.exit(main())
