"""Hosts on other machines, as `upgrade run` and `upgrade rollback` on the first host see and order them.

On each of them the same command carries out what is ordered here (cli/upgrade_part.py). Nothing is changed before all
that are up have said that they are there, so nobody is left between two releases because a command was not called.
"""

from __future__ import annotations

import contextlib
import functools
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Sequence

from kumoi.base.errors import Conflict, Permanent
from kumoi.base.release import version_of
from kumoi.cli import cloud_store
from kumoi.cli.progress import Progress
from kumoi.cloud.domain.host import enrolment
from kumoi.config import CloudSettings, HostSettings
from kumoi.hosts.cluster import order_channel
from kumoi.hosts.cluster.order_channel import OrderFailed
from kumoi.hosts.cluster.upgrade_orders import (
    UpgradeAction,
    UpgradeListener,
    UpgradeOrder,
    UpgradeReport,
)

COME_WITHIN_S = 900.0  # People call a command on each.
TURN_WITHIN_S = (
    900.0  # What fails there is said long before, and this is for a machine that is lost.
)
END_WITHIN_S = 15.0
POLL_S = 0.2
LOOK_EVERY_S = 2.0


class UpgradeMachines:
    """Hosts of these names, one on each; there may be none. `release` is the id of what the cloud goes to."""

    def __init__(
        self,
        names: Sequence[str],
        listener: UpgradeListener,
        action: UpgradeAction,
        release: str,
    ) -> None:
        self.names = tuple(names)
        self._listener = listener
        self._action = action
        self._release = release
        self._last: dict[str, UpgradeReport] = {}
        self._off: set[str] = set()
        self._looked_at = 0.0

    def await_all(
        self, progress: Progress, silent: Callable[[Collection[str]], Collection[str]]
    ) -> None:
        """Until each has said that it is there, and to which release it goes. Those that are `silent` by then, of the
        names that it is asked about, are off: nobody waits for them. Raises Permanent, or Conflict where one goes to
        another release.
        """
        if not self.names:
            return
        self._order()
        self._tell_what_to_call(self.names, progress)
        with progress.stage("the other machines are there") as stage:
            there = functools.partial(self._ready_or_off, silent)
            self._listener.wait(self.names, there, within_s=COME_WITHIN_S, tell=stage.tell)
            off = self._off - self._ready()
            self.names = tuple(name for name in self.names if name not in off)
            for name in self.names:
                report = self._last[name]
                if version_of(report.release) != version_of(self._release):
                    raise Conflict(
                        f"{name} would go to {report.release}, and the others to {self._release}: call this there in a "
                        "checkout of the same release"
                    )
                if (
                    report.release != self._release
                ):  # The same version, and other packages or edits.
                    stage.note(f"{name}: {report.release}")

    def take_turn(self, name: str, progress: Progress) -> None:
        """Until that host is of its release, and well as far as its own machine sees. Raises Permanent with its words."""
        self._order(turn=name)
        if name not in self._listener.heard():
            self._tell_what_to_call([name], progress)
        with progress.stage("its turn, on its machine") as stage:
            try:
                self._listener.wait(
                    [name], self._went_well, within_s=TURN_WITHIN_S, tell=stage.tell
                )
            except OrderFailed as error:
                raise Permanent(error.why) from error
            stage.note(", ".join(self._last[name].runs))

    def end(self) -> None:
        """All have had their turns: their commands end. One that does not hear it waits for some minutes, and ends."""
        if not self.names:
            return
        self._order(is_over=True)
        deadline = time.monotonic() + END_WITHIN_S
        while set(self.names) - self._carried_out() and time.monotonic() < deadline:
            time.sleep(POLL_S)

    def _tell_what_to_call(self, names: Sequence[str], progress: Progress) -> None:
        progress.say(f"On {' and '.join(names)}: sudo ./kumoi upgrade {self._action}")

    def _order(self, *, turn: str = "", is_over: bool = False) -> None:
        id_ = secrets.token_hex(8)
        self._listener.give(UpgradeOrder(id=id_, release=self._release, turn=turn, is_over=is_over))

    def _ready(self) -> set[str]:
        heard = self._listener.heard()
        self._last |= heard
        return {name for name, report in heard.items() if report.release}

    def _ready_or_off(self, silent: Callable[[Collection[str]], Collection[str]]) -> set[str]:
        ready = self._ready()
        if time.monotonic() - self._looked_at > LOOK_EVERY_S:
            self._off = set(silent([name for name in self.names if name not in ready]))
            self._looked_at = time.monotonic()
        return ready | self._off

    def _went_well(self) -> set[str]:
        return {name for name in self._carried_out() if not self._last[name].failure}

    def _carried_out(self) -> set[str]:
        done = self._listener.carried_out()
        self._last |= done
        return set(done)


def _nobody() -> UpgradeMachines:
    listener = UpgradeListener("", {}, UpgradeAction.RUN)
    return UpgradeMachines((), listener, UpgradeAction.RUN, "")


NOBODY = _nobody()


@contextlib.contextmanager
def ordered(
    cloud: CloudSettings,
    first: HostSettings,
    names: Sequence[str],
    action: UpgradeAction,
    release: str,
) -> Iterator[UpgradeMachines]:
    """Listens while there are any of these names."""
    if not names:
        yield NOBODY
        return
    with cloud_store.opened(cloud, first) as database, database.read() as connection:
        known = enrolment.keys(connection)
    keys = {name: known[name] for name in names if name in known}
    listener = UpgradeListener(cloud.name, keys, action)
    with order_channel.listening(cloud, first, listener):
        yield UpgradeMachines(names, listener, action, release)
