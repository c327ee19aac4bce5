"""Other machines that are to have the control plane, as `cluster create` on the first host sees and orders them.

On each of them `cluster control` carries out what is ordered here (cli/control_part.py). Nothing is begun before all
have said that they are there, so nothing stands on two.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from kumoi import config, members
from kumoi.base.errors import Conflict, NotFound, Permanent
from kumoi.cli import choice, cloud_store
from kumoi.cli.progress import Progress, ProgressStage
from kumoi.cloud.domain.host import enrolment
from kumoi.cloud.store.seal import Seal
from kumoi.config import CloudSettings, HostSettings, Role
from kumoi.hosts.cluster import databases, order_channel, ovn_members
from kumoi.hosts.cluster.control_orders import ControlListener, ControlOrder, ControlStep
from kumoi.hosts.first_use import passwords, sharing
from kumoi.hosts.units import answering

COME_WITHIN_S = 900.0  # People call a command on each.
# Machines with other work to do; what fails on one is said by it long before.
MEMBERS_WITHIN_S = 600.0
BACK_WITHIN_S = 600.0


class OtherMachines:
    """Hosts of these names, in this order; there may be none."""

    def __init__(self, names: Sequence[str], listener: ControlListener) -> None:
        self.names = tuple(names)
        self._listener = listener

    def await_all(self, progress: Progress, *, anew: bool) -> None:
        """Until each has said that it is there; with `anew`, and has nothing of an attempt that was cut off, whose
        members would follow nobody. Raises Permanent.
        """
        if not self.names:
            return
        progress.say(f"On {' and '.join(self.names)}: sudo ./kumoi cluster control")
        with progress.stage("the other machines are there") as stage:
            self._await(lambda: set(self._listener.heard()), COME_WITHIN_S, stage)
            reports = self._listener.heard().values()
            if anew and any(report.reached is not ControlStep.NONE for report in reports):
                self._send_back(stage)

    def start_members(self, wanted: CloudSettings, first: HostSettings) -> None:
        """While this host starts its own. They have nobody's address yet: nobody would answer there."""
        if self.names:
            sharing.give(wanted, first, (), datetime.now(UTC))
            Seal(members.seal_file(first)).ensure()
            passwords.ensure(first)
            roles = [role for role in (Role.NETWORK,) if role in first.roles]
            self._order(
                ControlStep.MEMBERS, config.changed(wanted, shared_address=""), first, roles
            )

    def await_members(self, cloud: CloudSettings, first: HostSettings, progress: Progress) -> None:
        """Until all of them follow, of every database. Raises Permanent."""
        if not self.names:
            return
        with progress.stage("members on the other machines") as stage:
            self._await(lambda: _following(cloud, first), MEMBERS_WITHIN_S, stage)

    def give_roles(
        self,
        cloud: CloudSettings,
        first: HostSettings,
        progress: Progress,
        *,
        only_absent: bool = False,
    ) -> None:
        """Until the roles of all of them answer; or of those that do not yet, which `cluster control` is called on."""
        names = [name for name in self.names if not (only_absent and _answers(cloud, name))]
        if not names:
            return
        wanted = (Role.NETWORK, Role.API, Role.WORKER, Role.PIPELINE)
        self._order(
            ControlStep.ROLES, cloud, first, [each for each in wanted if each in first.roles]
        )
        if not self._listener.heard():
            progress.say(f"On {' and '.join(names)}: sudo ./kumoi cluster control")
        others = set(self.names) - set(names)
        with progress.stage("roles on the other machines") as stage:
            self._await(lambda: self._as_far_as(ControlStep.ROLES) | others, COME_WITHIN_S, stage)

    def put_back(self, progress: Progress) -> None:
        """Before the first host goes back: their members leave OVN's databases while it has a quorum with them."""
        if not self.names:
            return
        with progress.stage("the other machines go back") as stage:
            try:
                self._send_back(stage)
            except Permanent as error:
                stage.note(f"{error.message}: call `cluster control` there")

    def _send_back(self, stage: ProgressStage) -> None:
        self._listener.give(ControlOrder(id=secrets.token_hex(8), step=ControlStep.NONE))
        self._await(lambda: self._as_far_as(ControlStep.NONE), BACK_WITHIN_S, stage)

    def _order(
        self, step: ControlStep, cloud: CloudSettings, first: HostSettings, roles: Sequence[Role]
    ) -> None:
        given = config.changed(cloud, database_url="", pipeline_database_url="")
        self._listener.give(
            ControlOrder(
                id=secrets.token_hex(8),
                step=step,
                cloud=config.render(given),
                roles=[role.value for role in roles],
                files=sharing.parcel(first),
            )
        )

    def _as_far_as(self, step: ControlStep) -> set[str]:
        reports = self._listener.carried_out()
        return {name for name, report in reports.items() if report.reached is step}

    def _await(self, there: Callable[[], set[str]], timeout_s: float, stage: ProgressStage) -> None:
        self._listener.wait(self.names, there, within_s=timeout_s, tell=stage.tell)


NOBODY = OtherMachines((), ControlListener("", {}))


@contextlib.contextmanager
def ordered(
    cloud: CloudSettings, first: HostSettings, names: Sequence[str]
) -> Iterator[OtherMachines]:
    if not names:
        yield NOBODY
        return
    known = _keys(cloud, first)
    listener = ControlListener(cloud.name, {name: known[name] for name in names if name in known})
    with order_channel.listening(cloud, first, listener):
        yield OtherMachines(names, listener)


def chosen(
    cloud: CloudSettings, first: HostSettings, number: int, named: Sequence[str]
) -> list[str]:
    """Which of the cloud's hosts on other machines are to have the control plane, beside those that are on this
    one. Raises NotFound or Conflict.
    """
    here = [each.name for each in choice.others_here(cloud, first)]
    if cloud.is_replicated:
        return [host.name for host in cloud.control_hosts if host.name not in {first.name, *here}]
    far = sorted(_keys(cloud, first).keys() - {first.name, *here})
    for name in named:
        if name not in far:
            raise NotFound("host", name, message=f"no host {name} has joined on another machine")
    count = max(number - 1 - len(here), 0)
    if named and len(named) != count:
        raise Conflict(f"--on names {len(named)} hosts, and {count} are to be on other machines")
    if not named and len(far) > count > 0:
        raise Conflict(f"say which {count} of {', '.join(far)}, such as --on {far[0]}")
    return list(named) or far[:count]


def _keys(cloud: CloudSettings, first: HostSettings) -> dict[str, str]:
    """Of hosts that have joined, by name."""
    with cloud_store.opened(cloud, first) as database, database.read() as connection:
        return enrolment.keys(connection)


def _following(cloud: CloudSettings, first: HostSettings) -> set[str]:
    """Control hosts whose members of all databases are there."""
    found = databases.look(cloud, first)
    names = {found.leader, *found.followers}
    for each in ovn_members.look(cloud, first):
        names &= {each.leader, *each.followers}
    return names


def _answers(cloud: CloudSettings, name: str) -> bool:
    host = cloud.control_host(name)
    return host is not None and answering.answers(f"tcp:{host.address}:{cloud.api_port}")
