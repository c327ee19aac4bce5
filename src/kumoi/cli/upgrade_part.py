"""`kumoi upgrade run` and `rollback` on a machine that is not the first host's: its host goes to another release, or back,
when the first host says that it is its turn (cli/upgrade_machines.py).

It asks the first host again and again. Whoever is killed here or there is called again, and finds less to do.
"""

from __future__ import annotations

import contextlib
import functools
import time

import msgspec

from kumoi import config
from kumoi.base.errors import KumoiError, NotFound, Transient
from kumoi.cli import choice, joining, up, upgrading
from kumoi.cli.progress import Progress
from kumoi.cloud.hostapi.client import tls_context
from kumoi.config import CloudSettings, HostSettings
from kumoi.hosts.cluster import upgrade_orders
from kumoi.hosts.cluster.upgrade_orders import UpgradeAction, UpgradeOrder, UpgradeReport
from kumoi.hosts.units import releases

WAIT_S = 900.0  # For people, who call a command on each machine, and for other hosts' turns.
ASK_EVERY_S = 1.0


def follow(
    cloud: CloudSettings,
    here: HostSettings,
    action: UpgradeAction,
    progress: Progress,
    *,
    wanted: str = "",
) -> None:
    """Until the first host says that all have had their turns. `wanted` is the id of the release to go back to, where it is
    not the one that the first host names. Raises Conflict, Transient or what could not be carried out.
    """
    if here.has_edge:
        raise NotFound(
            "store",
            cloud.name,
            message=f"{here.name} is on the machine of the first host of {cloud.name}: call this for that one",
        )
    refusal = f"`upgrade` is under way on {here.name} already"
    with choice.only_one(here.state / "upgrade.lock", refusal):
        _follow(cloud, here, action, progress, wanted)


def _follow(
    cloud: CloudSettings,
    here: HostSettings,
    action: UpgradeAction,
    progress: Progress,
    wanted: str,
) -> None:
    release = ""
    if action is UpgradeAction.RUN:
        with progress.stage("release") as stage:
            release = releases.install(here.release_dir).id
            stage.note(release)
    about, failure = "", ""
    while True:
        report = UpgradeReport(
            action=action,
            release=release,
            runs=list(upgrading.running_releases(here)),
            about=about,
            failure=failure,
        )
        order = _next_order(cloud, here, report, progress)
        about, failure = order.id, ""
        try:
            if not release:
                release = upgrading.release_there(here, wanted or order.release)
            if order.turn == here.name:
                _take_turn(here, action, release, progress)
        except KumoiError as error:
            failure = str(error)
            progress.say(f"That failed: {failure}")
        if order.is_over:
            with contextlib.suppress(KumoiError):  # The first host waits no longer, then.
                _ask(cloud, here, msgspec.structs.replace(report, about=about))
            return


def _next_order(
    cloud: CloudSettings, here: HostSettings, report: UpgradeReport, progress: Progress
) -> UpgradeOrder:
    """Another one than was carried out last. Raises Transient when there is none for long, and Conflict."""
    silent_since = time.monotonic()
    with progress.stage(f"turns, as the first host at {cloud.control_address} says") as stage:
        while True:
            try:
                order = _ask(cloud, here, report)
            except Transient as cause:  # It is not called yet, or has ended.
                if time.monotonic() - silent_since > WAIT_S:
                    raise Transient(
                        f"the first host orders nothing for {WAIT_S:g} s: there sudo ./kumoi upgrade "
                        f"{report.action}, then this again"
                    ) from cause
                stage.tell(f"there: sudo ./kumoi upgrade {report.action}")
            else:
                silent_since = time.monotonic()
                if order.id not in ("", report.about):
                    stage.note(_words(order, here))
                    return order
            time.sleep(ASK_EVERY_S)


def _words(order: UpgradeOrder, here: HostSettings) -> str:
    if order.is_over:
        return "all have had theirs"
    if order.turn == here.name:
        return "it is this host's"
    return f"{order.turn}'s" if order.turn else "the first host is there"


def _ask(cloud: CloudSettings, here: HostSettings, report: UpgradeReport) -> UpgradeOrder:
    """From the host's own network, which each has."""
    tls = tls_context(here.pki_dir, here.name)
    ask = functools.partial(upgrade_orders.ask, cloud.control_address, tls, report)
    return joining.from_here(here, ask)


def _take_turn(here: HostSettings, action: UpgradeAction, release: str, progress: Progress) -> None:
    """Raises Permanent where this host is not well with it."""
    cloud = config.read(CloudSettings, here.state).settings
    is_there = upgrading.running_releases(here) == (release,)
    if is_there and not upgrading.own_trouble(cloud, here, release):
        return
    progress.say(f"Host {here.name}:")
    if action is UpgradeAction.ROLLBACK:
        upgrading.bring_back(cloud, here, release, progress)
        return
    upgrading.hand_over(cloud, here, progress)
    up.bring_up(up.args_of(cloud, here), progress)
    with progress.stage("well again") as stage:
        trouble = functools.partial(upgrading.own_trouble, cloud, here, release)
        upgrading.wait_until_well(trouble, stage)
