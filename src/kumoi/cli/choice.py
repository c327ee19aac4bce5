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
from kumoi.config import Settings
from kumoi.hosts import clouds_yaml

NAME_PATTERN = r"[a-z][a-z0-9]{0,7}"
DEFAULT_NAME = "kumoi"
STATE_DIR_MAX = 70  # So that a socket's path below it fits the 107 bytes the kernel takes.


def add_to(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", default=DEFAULT_NAME, help="the cloud's name (default: kumoi)")
    parser.add_argument(
        "--state-dir", metavar="DIR", help="what the cloud keeps (default: /var/lib/NAME)"
    )


def config_file(settings: Settings) -> Path:
    return settings.state / "kumoi.toml"


def chosen(args: argparse.Namespace) -> Settings:
    """The settings of the cloud that is there, or the defaults for its name.

    Raises Invalid when the name or the directory cannot be used.
    """
    if not re.fullmatch(NAME_PATTERN, args.name):
        raise Invalid(f"--name {args.name} is not 1 to 8 of a-z and 0-9", field="name")
    state_dir = str(Path(args.state_dir or f"/var/lib/{args.name}").absolute())
    if len(state_dir) > STATE_DIR_MAX or re.search(r"\s", state_dir):
        raise Invalid("--state-dir is too long or has blanks in it", field="state_dir")
    fresh = Settings(name=args.name, state_dir=state_dir)
    if not config_file(fresh).exists():
        return fresh
    there = config.parse(config_file(fresh).read_text())
    if there.name != args.name:
        raise Invalid(f"{state_dir} belongs to the cloud {there.name}", field="state_dir")
    return there


def write(settings: Settings) -> None:
    """Keep the settings for the roles, and for the next command."""
    draft = settings.state / ".kumoi.toml.new"
    draft.write_text(config.render(settings))
    draft.replace(config_file(settings))


def person() -> clouds_yaml.Person:
    """Who called: the one behind sudo, if there is one."""
    behind = os.environ.get("SUDO_USER")
    if behind and os.geteuid() == 0:
        found = pwd.getpwnam(behind)
        return clouds_yaml.Person(Path(found.pw_dir), found.pw_uid, found.pw_gid)
    return clouds_yaml.Person(Path.home(), os.geteuid(), os.getegid())


def existing(args: argparse.Namespace) -> Settings:
    """The settings of a cloud that must be there. Raises NotFound."""
    settings = chosen(args)
    if not config_file(settings).exists():
        told = f"the cloud {settings.name} is not here: sudo ./kumoi up{words(settings)}"
        raise NotFound("cloud", settings.name, message=told)
    return settings


def words(settings: Settings) -> str:
    """What a command line must have to be about this cloud, with a blank before it."""
    name = "" if settings.name == DEFAULT_NAME else f" --name {settings.name}"
    usual = settings.state_dir == f"/var/lib/{settings.name}"
    return name if usual else f"{name} --state-dir {settings.state_dir}"


@contextlib.contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """One `up` or `down` of a cloud at a time."""
    with (settings.state / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as cause:
            raise Conflict(
                f"another command is changing the cloud {settings.name}: wait until it has ended"
            ) from cause
        yield
