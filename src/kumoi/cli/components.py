"""`up --without NAME` and `up --with NAME`: which APIs a cloud has, and which roles its host has for them.

What is off is not served, and what was made with it stays: servers go on running, with the agent and the
network that they need, until it is put back.
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Collection, Iterator

from kumoi import components, config
from kumoi.base.errors import Conflict, Invalid
from kumoi.cli import choice
from kumoi.cloud.agent.files import WANTED_DIR, ThingFiles
from kumoi.components import OPTIONAL, OPTIONAL_APIS, PIPELINE, Api
from kumoi.config import ROLES, CloudSettings, HostSettings, Role

USED_BY = {Role.NETWORK: (Api.NETWORK,), Role.AGENT: (Api.COMPUTE, Api.LOAD_BALANCER)}
"""Roles that have nothing to do where none of these APIs is served and nothing of theirs is there."""


def add_to(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="NAME",
        help=f"leave this out, also next time: {', '.join(OPTIONAL)}; may be repeated, as in "
        "--without placement --without key-manager",
    )
    parser.add_argument(
        "--with",
        dest="within",
        action="append",
        default=[],
        metavar="NAME",
        help="put it back; what was made with it is there again",
    )


def chosen(
    args: argparse.Namespace, cloud: CloudSettings, host: HostSettings
) -> tuple[CloudSettings, HostSettings]:
    """The settings with what was asked for. Raises Invalid naming what would lack something."""
    without, within = frozenset(args.without), frozenset(args.within)
    _check_names(without, within)
    if not config.is_first(cloud, host):
        if without | within:
            message = f"{host.name} is not the cloud's first host: say this there"
            raise Conflict(message)
        return cloud, host
    off = (frozenset(off_of(cloud, host)) | without) - within
    _check_needs(off, without)
    apis_off = tuple(api for api in OPTIONAL_APIS if api in off)
    others = tuple(word for word in cloud.apis_off if word not in OPTIONAL_APIS)
    after = config.changed(cloud, apis_off=(*apis_off, *others))
    return after, config.changed(host, roles=_roles(cloud, after, host, off))


def off_of(cloud: CloudSettings, host: HostSettings) -> Iterator[str]:
    """What the cloud, or this host of it, is without."""
    for name in OPTIONAL:
        is_there = name in host.roles if name == PIPELINE else name in cloud.apis
        if not is_there:
            yield name


def require(cloud: CloudSettings, host: HostSettings, names: Collection[str], what: str) -> None:
    """Raises Conflict when one of these is off."""
    missing = [name for name in off_of(cloud, host) if name in names]
    if missing:
        words = " ".join(f"--with {name}" for name in missing)
        raise Conflict(
            f"{what} needs {', '.join(missing)}, which the cloud {cloud.name} is without: "
            f"sudo ./kumoi up{choice.words(cloud, host)} {words}"
        )


def _check_names(without: Collection[str], within: Collection[str]) -> None:
    for name in (*without, *within):
        if name not in OPTIONAL:
            near = difflib.get_close_matches(name, OPTIONAL, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(OPTIONAL)}"
            raise Invalid(f"{name} is nothing that a cloud may be without: {hint}", field="without")
    for name in without:
        if name in within:
            raise Invalid(f"{name} is to be there and not to be there", field="without")


def _check_needs(off: Collection[str], without: Collection[str]) -> None:
    lacking = list(components.lacking(off))
    if not lacking:
        return
    name, need = lacking[0]
    if need in without:
        more = sorted({each for each, _ in lacking} | _needing(off))
        words = " ".join(f"--without {each}" for each in more)
        raise Invalid(f"{name} needs {need}: leave it out as well ({words})", field="without")
    more = sorted(components.with_needs(name) & frozenset(off))
    words = " ".join(f"--with {each}" for each in more)
    raise Invalid(f"{name} needs {need}, which is off: {words}", field="with")


def _needing(off: Collection[str]) -> frozenset[str]:
    """All that is there and lacks something, also through others."""
    return frozenset(
        name
        for name in OPTIONAL
        if name not in off and not components.with_needs(name).isdisjoint(off)
    )


def _roles(
    before: CloudSettings, after: CloudSettings, host: HostSettings, off: Collection[str]
) -> tuple[str, ...]:
    wanted = set(host.roles)
    wanted = wanted - {PIPELINE} if PIPELINE in off else wanted | {PIPELINE}
    for role, apis in USED_BY.items():
        was_used, is_used = (not set(apis).isdisjoint(each.apis) for each in (before, after))
        if is_used and not was_used:
            wanted.add(role)
        elif not is_used and not _has_things(host) and not after.is_cluster:
            wanted.discard(role)
    others = [role for role in host.roles if role not in ROLES]  # Of another release.
    return (*(role for role in ROLES if role in wanted), *others)


def _has_things(host: HostSettings) -> bool:
    """Whether servers or balancers are to be on this host."""
    return bool(ThingFiles(host.agent_dir / WANTED_DIR).load())
