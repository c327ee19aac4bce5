"""Which cloud a command is about: `--name` and `--state-dir`, and the settings found there."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import pwd
import re
from collections.abc import Iterator
from pathlib import Path

from kumoi import config
from kumoi.base.errors import Conflict, Invalid, NotFound
from kumoi.config import CloudSettings, HostSettings, Role, Settings
from kumoi.hosts.first_use import clouds_yaml
from kumoi.hosts.units import running

NAME_PATTERN = r"[a-z][a-z0-9]{0,7}"
DEFAULT_NAME = "kumoi"
STATE_DIR_MAX = 70  # So that a socket's path below it fits the 107 bytes the kernel takes.


def add_to(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", default=DEFAULT_NAME, help="the cloud's name (default: kumoi)")
    parser.add_argument(
        "--state-dir", metavar="DIR", help="what the cloud keeps (default: /var/lib/NAME)"
    )


def chosen(
    args: argparse.Namespace, *, strictly: bool = False
) -> tuple[CloudSettings, HostSettings]:
    """The settings of the cloud and host that are there, or the defaults for the name.

    Raises Invalid when the name or the directory cannot be used; `strictly`, also when a file has a
    key that was mistyped.
    """
    if not re.fullmatch(NAME_PATTERN, args.name):
        raise Invalid(f"--name {args.name} is not 1 to 8 of a-z and 0-9", field="name")
    state_dir = str(Path(args.state_dir or f"/var/lib/{args.name}").absolute())
    if not _has_room_for_sockets(state_dir):
        raise Invalid("--state-dir is too long or has blanks in it", field="state_dir")
    cloud = _read(CloudSettings(name=args.name), state_dir, strictly=strictly)
    if cloud.name != args.name:
        raise Invalid(f"{state_dir} belongs to the cloud {cloud.name}", field="state_dir")
    return cloud, _read(config.first_host(cloud, state_dir), state_dir, strictly=strictly)


def os_cloud() -> str:
    """The entry of clouds.yaml that is meant where a command names none, as OpenStack's clients read it."""
    return os.environ.get("OS_CLOUD") or DEFAULT_NAME


def of_pipeline_alone(os_cloud: str, state_dir: str | None = None) -> HostSettings:
    """Where the pipeline that serves this entry of clouds.yaml alone keeps its state, as whoever runs it;
    or would, see `require_usable`.
    """
    usual = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "kumoi"
    state = str(Path(state_dir or usual / os_cloud).absolute())
    return HostSettings(name=os_cloud, state_dir=state, roles=(Role.PIPELINE.value,))


def require_usable(host: HostSettings) -> None:
    """Raises Invalid where sockets could not be in the state directory."""
    if not _has_room_for_sockets(host.state_dir):
        raise Invalid(
            f"{host.state_dir} is too long or has blanks in it: use --state-dir", field="state_dir"
        )


def _has_room_for_sockets(state_dir: str) -> bool:
    """Also for commands that are told such a path as one word."""
    return len(state_dir) <= STATE_DIR_MAX and not re.search(r"\s", state_dir)


def _read(fresh: Settings, state_dir: str, *, strictly: bool) -> Settings:
    """Those that are there, or fresh ones."""
    kind = type(fresh)
    if not config.file_of(kind, Path(state_dir)).exists():
        return fresh
    found = config.read(kind, Path(state_dir))
    return found.require_known() if strictly else found.settings


def person() -> clouds_yaml.Person:
    """Who called: the one behind sudo, if there is one."""
    behind = os.environ.get("SUDO_USER")
    if behind and os.geteuid() == 0:
        found = pwd.getpwnam(behind)
        return clouds_yaml.Person(Path(found.pw_dir), found.pw_uid, found.pw_gid)
    return clouds_yaml.Person(Path.home(), os.geteuid(), os.getegid())


def existing(args: argparse.Namespace) -> tuple[CloudSettings, HostSettings]:
    """The settings of a cloud that must be there. Raises NotFound."""
    cloud, host = chosen(args)
    if not is_there(host):
        message = f"the cloud {cloud.name} is not here: sudo ./kumoi up{words(cloud, host)}"
        raise NotFound("cloud", cloud.name, message=message)
    return cloud, host


def require_ours(cloud: CloudSettings, host: HostSettings, *, joins: bool = False) -> None:
    """Raises Conflict when the cloud of this name has this host elsewhere on this machine, whose
    links and processes would be taken, and when the directory is something else's. Who `joins` is
    another host of the cloud, and knows its name.
    """
    for other in sorted(running.state_dirs() - {host.state_dir}):
        theirs = HostSettings(state_dir=other)
        with contextlib.suppress(Invalid):  # It cannot be read: then it may be anybody's.
            name = config.read(CloudSettings, theirs.state).settings.name
            if name != cloud.name:
                continue
            theirs = config.read(HostSettings, theirs.state).settings
            if theirs.name == host.name or not (joins or is_there(host)):
                raise Conflict(
                    f"the cloud {cloud.name} runs from {other}, not {host.state_dir}: "
                    f"--state-dir {other}"
                )
    if host.state.is_dir() and not _is_ours(host):
        raise Conflict(f"{host.state_dir} is not empty, and no directory of a cloud")


def _is_ours(host: HostSettings) -> bool:
    """Whether it is empty, or `up` or `down` have begun something there."""
    kinds = (config.file_of(CloudSettings, host.state), config.file_of(HostSettings, host.state))
    known = (*kinds, lock_of(host))
    return any(path.exists() for path in known) or not any(host.state.iterdir())


def lock_of(host: HostSettings) -> Path:
    """Held while something changes the cloud."""
    return host.state / "up.lock"


def is_there(host: HostSettings) -> bool:
    """Whether `up` has been here."""
    return config.file_of(CloudSettings, host.state).exists()


def others_here(cloud: CloudSettings, host: HostSettings) -> list[HostSettings]:
    """The cloud's other hosts on this machine. Its first host stands for all of them; any other one for
    itself.
    """
    if not config.is_first(cloud, host):
        return []
    beside = [str(path) for path in host.state.parent.glob(f"{host.state.name}-*")]
    found = {}
    for directory in sorted({*beside, *running.state_dirs()}):
        with contextlib.suppress(Invalid):  # It cannot be read: then it may be anybody's.
            theirs = config.read(HostSettings, Path(directory)).settings
            name = config.read(CloudSettings, Path(directory)).settings.name
            if name == cloud.name and theirs.name != host.name:
                found[theirs.name] = config.changed(theirs, state_dir=directory)
    return [found[name] for name in sorted(found)]


def unfinished_restore(host: HostSettings) -> Path:
    """What `restore` leaves while there is half of the old cloud and half of the restored one."""
    return host.state / "restore-unfinished"


def require_whole(host: HostSettings) -> None:
    """Raises Conflict when a restore was cut short."""
    note = unfinished_restore(host)
    if note.exists():
        raise Conflict(f"a restore was cut short ({note.read_text()}): call `restore` again")


def words(cloud: CloudSettings, host: HostSettings) -> str:
    """What a command line must have to be about this cloud, with a blank before it."""
    name = "" if cloud.name == DEFAULT_NAME else f" --name {cloud.name}"
    usual = host.state_dir == f"/var/lib/{cloud.name}"
    return name if usual else f"{name} --state-dir {host.state_dir}"


@contextlib.contextmanager
def alone(cloud: CloudSettings, host: HostSettings) -> Iterator[None]:
    """One `up` or `down` of a cloud at a time."""
    refusal = f"another command is changing the cloud {cloud.name}: wait until it has ended"
    with only_one(lock_of(host), refusal):
        yield


@contextlib.contextmanager
def only_one(lock: Path, refusal: str) -> Iterator[None]:
    """Raises Conflict with these words where another process has the lock."""
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as cause:
            raise Conflict(refusal) from cause
        yield
