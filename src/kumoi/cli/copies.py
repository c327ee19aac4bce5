"""What of a cluster is on too few disks: images, pushed repositories and the authorities' keys.

`cluster status` shows it, `cluster create --control-hosts` waits until nothing is. Called as root on a control host.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from kumoi import config, members
from kumoi.base.errors import KumoiError
from kumoi.cli import choice
from kumoi.cli.progress import Progress
from kumoi.cloud.store.image import image
from kumoi.config import CloudSettings, HostSettings
from kumoi.engine.db import Database
from kumoi.hosts.cluster import copy_calls, copy_plan
from kumoi.hosts.cluster.copy_calls import CopiesClient, HeldCopies
from kumoi.hosts.cluster.copy_plan import (
    Copies,
    CopyKind,
    CopyName,
    CopyState,
    Shortage,
    Wanted,
)
from kumoi.hosts.first_use import engines_pki
from kumoi.pipeline.store import repository

SHOWN_MAX = 10
POLL_S = 0.5
MADE_WITHIN_S = 600.0
PLURALS = {CopyKind.IMAGE: "images", CopyKind.REPOSITORY: "repositories", CopyKind.KEY: "keys"}


@dataclass(frozen=True, slots=True)
class CopiesSeen:
    """`missing` has fewer copies than there are control hosts, the fewest first. `failing` says by host why
    something is not there yet; `silent` are hosts that do not answer.
    """

    hosts: tuple[str, ...]
    missing: tuple[Shortage, ...]
    silent: tuple[str, ...]
    failing: Mapping[str, Mapping[str, str]]

    @property
    def counts(self) -> dict[str, int]:
        found = Counter(each.copy.kind for each in self.missing)
        return {PLURALS[kind]: found[kind] for kind in CopyKind if found[kind]}

    @property
    def lines(self) -> list[str]:
        """For people; nothing where nothing is missing."""
        if not self.missing:
            return []
        of_what = ", ".join(f"{number} {what}" for what, number in self.counts.items())
        lines = [f"On fewer than {len(self.hosts)} disks: {of_what}"]
        lines += [f"  {each.copy}: {_where(each)}" for each in self.missing[:SHOWN_MAX]]
        if len(self.missing) > SHOWN_MAX:
            lines.append(f"  and {len(self.missing) - SHOWN_MAX} more")
        lines += [f"  {host} does not answer" for host in self.silent]
        for host, reasons in self.failing.items():
            lines += [
                f"  {host}: {why}" for why in list(dict.fromkeys(reasons.values()))[:SHOWN_MAX]
            ]
        return lines

    @property
    def table(self) -> dict[str, Any]:
        """For programs."""
        return {
            "hosts": list(self.hosts),
            "missing": self.counts,
            "fewest": [
                {"kind": each.copy.kind, "name": each.copy.name, "on": list(each.held)}
                for each in self.missing[:SHOWN_MAX]
            ],
            "silent": list(self.silent),
            "failing": {host: dict(reasons) for host, reasons in self.failing.items()},
        }


def look(cloud: CloudSettings, here: HostSettings) -> CopiesSeen:
    tls = copy_calls.tls_context(members.certificate(here, members.COPIES))
    clients = [CopiesClient(each, tls) for each in cloud.control_hosts]
    with ThreadPoolExecutor(len(clients)) as asking:
        held = dict(zip((each.host for each in clients), asking.map(_held, clients), strict=True))
    # The first host alone sees others' files.
    keys = _keys(cloud, here) if config.is_first(cloud, here) else {}
    copies: dict[str, Copies] = {
        host: {**(found.states if found else {}), **keys.get(host, {})}
        for host, found in held.items()
    }
    wanted_keys = _wanted_keys(keys) if keys else {}
    for host in held.keys() - keys.keys():  # On another machine, whose `up` asks for them.
        copies[host] = {**copies[host], **{name: each.state for name, each in wanted_keys.items()}}
    wanted = {**_named(cloud, here), **wanted_keys}
    hosts = tuple(held)
    return CopiesSeen(
        hosts=hosts,
        missing=tuple(copy_plan.shortages(wanted, copies, hosts)),
        silent=tuple(host for host, found in held.items() if found is None),
        failing={host: found.failing for host, found in held.items() if found and found.failing},
    )


def wait(cloud: CloudSettings, here: HostSettings, progress: Progress) -> None:
    """Until every control host has all, or it takes too long, which is said."""
    deadline = time.monotonic() + MADE_WITHIN_S
    with progress.stage("copies on every control host") as stage:
        while True:
            seen = look(cloud, here)
            if not seen.missing:
                return
            if time.monotonic() > deadline:
                break
            stage.tell(" ".join(f"{number} {what}" for what, number in seen.counts.items()))
            time.sleep(POLL_S)
        stage.note("not yet")
    for line in seen.lines:
        progress.say(line)


def _where(each: Shortage) -> str:
    if not each.held:
        return "nowhere"
    return f"on {each.held[0]} alone" if len(each.held) == 1 else f"on {', '.join(each.held)}"


def _held(client: CopiesClient) -> HeldCopies | None:
    try:
        return client.held()
    except KumoiError:
        return None


def _named(cloud: CloudSettings, here: HostSettings) -> dict[CopyName, Wanted]:
    """By the stores."""
    urls = (members.cloud_database(cloud, here), members.pipeline_database(cloud, here))
    with contextlib.ExitStack() as opened:
        images, pushed = (
            opened.enter_context(contextlib.closing(Database(url, wake_dir=here.wake_dir)))
            for url in urls
        )
        with images.read() as connection:
            contents = image.contents(connection)
        with pushed.read() as connection:
            rows = repository.list_copies(connection)
    found = {CopyName(CopyKind.IMAGE, sha256): Wanted() for sha256 in contents}
    for row in rows:
        name = CopyName(CopyKind.REPOSITORY, f"{row.project_id}/{row.name}")
        found[name] = Wanted(CopyState(row.id, row.changes), row.changed_on)
    return found


def _keys(cloud: CloudSettings, here: HostSettings) -> dict[str, dict[CopyName, CopyState]]:
    """Of the authorities, by the control hosts that are on this machine."""
    found: dict[str, dict[CopyName, CopyState]] = {}
    for host in (here, *choice.others_here(cloud, here)):
        marks = {
            name: engines_pki.key_mark(host.pki_dir, name)
            for name in engines_pki.SHARED_AUTHORITIES
        }
        found[host.name] = {
            CopyName(CopyKind.KEY, name): CopyState(mark) for name, mark in marks.items() if mark
        }
    return found


def _wanted_keys(found: Mapping[str, Mapping[CopyName, CopyState]]) -> dict[CopyName, Wanted]:
    """As the first host has them that does."""
    wanted: dict[CopyName, Wanted] = {}
    for name in engines_pki.SHARED_AUTHORITIES:
        copy = CopyName(CopyKind.KEY, name)
        first: Sequence[CopyState] = [each[copy] for each in found.values() if copy in each]
        wanted[copy] = Wanted(first[0] if first else CopyState("lost"))
    return wanted
