"""`kumoi cluster control`: this machine, which has joined, gets a part of the control plane when the cloud's first host
orders it (cli/other_machines.py), or goes back to running servers alone.

It asks the first host again and again. What is ordered is a level, not a step: it is reached from wherever a killed
command left this machine. Where the first host orders nothing and does not know this one as a control host, an attempt
has failed that this machine was a part of: it goes back by itself.
"""

from __future__ import annotations

import functools
import time

from kumoi import config, members
from kumoi.base import trees
from kumoi.base.errors import Conflict, KumoiError, Transient
from kumoi.cli import choice, joining, up
from kumoi.cli.progress import Progress
from kumoi.cloud.hostapi import join as hostapi
from kumoi.cloud.hostapi.client import tls_context
from kumoi.config import ROLES, CloudSettings, HostSettings, Role
from kumoi.hosts.cluster import control_orders, ovn_members
from kumoi.hosts.cluster.control_orders import ControlOrder, ControlReport, ControlStep
from kumoi.hosts.first_use import clouds_yaml, passwords, sharing
from kumoi.hosts.install import packages
from kumoi.hosts.units import rights
from kumoi.hosts.wires import virtual

WAIT_S = 900.0  # For people, who call a command on each machine.
AFTERWARDS_S = 20.0
"""Of asking a first host that orders nothing, after what was the last, or failed."""
ASK_EVERY_S = 1.0
OF_CONTROL = frozenset({Role.NETWORK, Role.API, Role.WORKER, Role.PIPELINE})


def follow(cloud: CloudSettings, here: HostSettings, progress: Progress) -> None:
    """Until the roles run here and the first host knows it. Raises Conflict, Transient or what could not be
    carried out, and may be called again.
    """
    _require_machine(cloud, here)
    # Another one would be ordered the same.
    refusal = f"`cluster control` is under way on {here.name} already"
    with choice.only_one(here.state / "control.lock", refusal):
        _follow(cloud, here, progress)


def _follow(cloud: CloudSettings, here: HostSettings, progress: Progress) -> None:
    with progress.stage("system packages") as stage:
        added = packages.ensure((*packages.NEEDED, *packages.FOR_CONTROL_HOSTS))
        stage.note(f"installed {len(added)}" if added else "all there")
    if _was_left(cloud, here):
        progress.say("The first host has gone back, and so does this machine")
        go_back(cloud, here, progress)
    done, failure = "", None
    while True:
        order = _next_order(here, done, failure, progress)
        if order is None:
            return
        done, failure = order.id, None
        try:
            _carry_out(order, here, progress)
        except KumoiError as error:
            failure = error
            progress.say(f"That failed: {error.message}")


def reached(cloud: CloudSettings, here: HostSettings) -> ControlStep:
    """By what is here: who has gone back halfway has not."""
    if cloud.control_host(here.name) is None:
        has_more = members.etcd_dir(here).exists()
        return ControlStep.MEMBERS if has_more else ControlStep.NONE
    return ControlStep.ROLES if Role.API in here.roles else ControlStep.MEMBERS


def go_back(cloud: CloudSettings, here: HostSettings, progress: Progress) -> None:
    """Without a part of the control plane, and without what it kept: a later attempt begins anew. Servers go on."""
    ovn_members.leave(cloud, [here])
    roles = tuple(role for role in here.roles if role not in OF_CONTROL)
    alone = config.changed(cloud, control_hosts=(), shared_address="")
    config.write(alone, here.state)
    config.write(config.changed(here, roles=roles), here.state)
    up.bring_up(up.args_of(alone, here), progress)
    virtual.forget_control_address(cloud, here)
    kept = (members.postgres_dir(here), here.state / "ovn", here.image_dir)
    for directory in (*kept, *rights.of_copies(here), *rights.of_repositories(here)):
        trees.remove(directory)
    sharing.forget(here)
    clouds_yaml.remove(choice.person(), cloud)
    trees.remove(members.etcd_dir(here))  # Last: by this it is known that there is more to do.


def _require_machine(cloud: CloudSettings, here: HostSettings) -> None:
    if config.is_first(cloud, here) or here.has_edge:
        raise Conflict(
            f"{here.name} is on the cloud's first machine, which orders others: "
            "sudo ./kumoi cluster create --control-hosts 3"
        )


def _was_left(cloud: CloudSettings, here: HostSettings) -> bool:
    """Whether this host has a part of a control plane that is not to be, and nobody orders it any more."""
    if reached(cloud, here) is ControlStep.NONE:
        return False
    try:
        _ask(cloud, here, ControlReport(reached=reached(cloud, here)))
    except KumoiError:
        tls = tls_context(here.pki_dir, here.name)
        ask = functools.partial(hostapi.fetch_settings, cloud.host_api_url, tls)
        try:
            found = config.parse(CloudSettings, joining.from_here(here, ask)).settings
        except KumoiError:
            return False  # It may be off.
        return found.control_host(here.name) is None
    return False


def _next_order(
    here: HostSettings, done: str, failure: KumoiError | None, progress: Progress
) -> ControlOrder | None:
    """Another one than was done last; None when there will be none, as all is done."""
    began = time.monotonic()
    cloud, here = _read(here)
    report = ControlReport(
        reached=reached(cloud, here), about=done, failure=failure.message if failure else ""
    )
    is_done = bool(done) and failure is None and report.reached is ControlStep.ROLES
    with progress.stage(f"orders of the first host at {cloud.control_address}") as stage:
        while True:
            waited_s = time.monotonic() - began
            try:
                order = _ask(cloud, here, report)
            except Transient:  # It has ended, or is called again and wants to hear the same.
                if waited_s > AFTERWARDS_S and is_done:
                    return None
                if waited_s > AFTERWARDS_S and failure is not None:
                    raise failure from None
                stage.tell("there: sudo ./kumoi cluster create --control-hosts 3")
            else:
                if order.id not in ("", done):
                    stage.note(WORDS[order.step])
                    return order
                if is_done:
                    return None
            if waited_s > WAIT_S:
                raise failure or Transient(
                    f"nothing was ordered for {WAIT_S:g} s: on the first host "
                    "sudo ./kumoi cluster create --control-hosts 3, then this again"
                )
            time.sleep(ASK_EVERY_S)


def _ask(cloud: CloudSettings, here: HostSettings, report: ControlReport) -> ControlOrder:
    """From the host's own network: the machine has no address there before it is a control host."""
    tls = tls_context(here.pki_dir, here.name)
    ask = functools.partial(control_orders.ask, cloud.control_address, tls, report)
    return joining.from_here(here, ask)


def _carry_out(order: ControlOrder, here: HostSettings, progress: Progress) -> None:
    cloud, here = _read(here)
    if order.step is ControlStep.NONE:
        if reached(cloud, here) is not ControlStep.NONE:
            go_back(cloud, here, progress)
        return
    cloud = config.parse(CloudSettings, order.cloud).settings
    members.own(cloud, here)
    with choice.alone(cloud, here):
        sharing.unpack(here, order.files)
        config.write(cloud, here.state)
        config.write(config.changed(here, roles=_with(here.roles, order.roles)), here.state)
    up.bring_up(up.args_of(cloud, here), progress)
    if order.step is ControlStep.ROLES:
        _write_clouds_yaml(*_read(here))


def _with(there: tuple[str, ...], more: list[str]) -> tuple[str, ...]:
    """In the order of roles; words of another release stay."""
    known = (role for role in ROLES if role in {*there, *more})
    return (*known, *(word for word in there if word not in ROLES))


def _write_clouds_yaml(cloud: CloudSettings, here: HostSettings) -> None:
    """Clients of this machine ask whichever control host answers: the first one may be off."""
    entries = clouds_yaml.entries(
        cloud,
        here,
        admin_password=passwords.read(here, "admin"),
        demo_password=passwords.read(here, "demo"),
        url=cloud.api_url if cloud.shared_address else "",
    )
    clouds_yaml.write(choice.person(), entries)


def _read(here: HostSettings) -> tuple[CloudSettings, HostSettings]:
    """As they are written by now."""
    found = config.read(HostSettings, here.state).settings
    return config.read(CloudSettings, here.state).settings, found


WORDS = {
    ControlStep.NONE: "go back to running servers",
    ControlStep.MEMBERS: "start members of the stores",
    ControlStep.ROLES: "start APIs and workers",
}
