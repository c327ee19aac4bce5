"""Who keeps the units of a host running: systemd where it is the machine's first process, and our own
supervisor elsewhere. The same table of units either way.

`up`, `down`, `status` and `restore` ask here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from kumoi.base.errors import Invalid
from kumoi.config import CloudSettings, HostSettings, Keeper
from kumoi.hosts.units import control, ownership, systemctl
from kumoi.hosts.units.control import SupervisorStatus
from kumoi.hosts.units.releases import Release, running
from kumoi.hosts.units.systemctl import Systemd
from kumoi.hosts.units.table import Unit


class UnitKeeper(Protocol):
    def tell(self, wanted: Sequence[Unit]) -> None:
        """From now on just these units are to run."""

    def ensure_ready(
        self,
        names: Sequence[str],
        *,
        timeout_s: float,
        tell: Callable[[str], None] = ...,
    ) -> None:
        """Until these of them are ready as they are wanted. Raises Permanent naming what is not."""

    def is_running(self, wanted: Sequence[Unit]) -> bool:
        """Whether just these units are there and ready, so that nothing they need is to be done."""

    def read_status(self) -> SupervisorStatus | None:
        """How each unit is; None when none is to run."""

    def stop_roles(self, *, at_once: bool = False) -> None:
        """Our own processes, which nothing starts again then."""

    def stop_units(self, names: Collection[str]) -> None:
        """These, until somebody tells what is to run. Others go on."""

    def stop(self, *, at_once: bool = False) -> None:
        """Everything."""


@dataclass(slots=True)
class OwnSupervisor:
    """`only_engines` is told to a supervisor that is started."""

    cloud: CloudSettings
    host: HostSettings
    release: Release
    only_engines: bool = False

    def tell(self, wanted: Sequence[Unit]) -> None:
        command = [*self.release.argv, "supervise", "--config", self.host.state_dir]
        if self.only_engines:
            command.append("--only-engines")
        control.ensure(self.host, wanted, command=command)

    def ensure_ready(
        self,
        names: Sequence[str],
        *,
        timeout_s: float,
        tell: Callable[[str], None] = lambda _text: None,
    ) -> None:
        control.wait_ready(self.host, names, timeout_s=timeout_s, tell=tell)
        for name in names:
            ownership.forget_settings_before(self.host, name)

    def is_running(self, wanted: Sequence[Unit]) -> bool:
        return control.is_running(self.host, wanted)

    def read_status(self) -> SupervisorStatus | None:
        return control.read_status(self.host)

    def stop_roles(self, *, at_once: bool = False) -> None:
        control.stop_roles(self.cloud, self.host, at_once=at_once)

    def stop_units(self, names: Collection[str]) -> None:
        control.stop_units(self.host, names)

    def stop(self, *, at_once: bool = False) -> None:
        control.stop(self.cloud, self.host, at_once=at_once)


def of(
    cloud: CloudSettings,
    host: HostSettings,
    *,
    release: Release | None = None,
    only_engines: bool = False,
) -> UnitKeeper:
    """Who keeps them on this machine. What is started anew is of the release."""
    of_release = release or running()
    if is_systemd(host):
        return Systemd(cloud, host, of_release)
    return OwnSupervisor(cloud, host, of_release, only_engines)


def is_systemd(host: HostSettings) -> bool:
    """Raises Invalid when the setting is none of the two."""
    if not host.keeper:
        return systemctl.is_first_process()
    if host.keeper not in tuple(Keeper):
        message = f"keeper is {host.keeper}, and must be systemd, kumoi or empty"
        raise Invalid(message, field="keeper")
    return host.keeper == Keeper.SYSTEMD


def stop_roles(cloud: CloudSettings, host: HostSettings, *, at_once: bool = False) -> None:
    """Our own processes, whoever keeps them."""
    for keeper in _both(cloud, host):
        keeper.stop_roles(at_once=at_once)


def stop(cloud: CloudSettings, host: HostSettings, *, at_once: bool = False) -> None:
    """Everything, whoever keeps it, and what a killed supervisor left."""
    for keeper in _both(cloud, host):
        keeper.stop(at_once=at_once)


def stop_other(cloud: CloudSettings, host: HostSettings) -> None:
    """Whoever kept the units before, when that is another one now: the setting was changed, or an
    earlier release had but one.
    """
    keeps = type(of(cloud, host))
    for keeper in _both(cloud, host):
        if not isinstance(keeper, keeps) and keeper.read_status() is not None:
            keeper.stop()


def _both(cloud: CloudSettings, host: HostSettings) -> list[UnitKeeper]:
    """Systemd first, which starts again whatever else ends."""
    release = running()
    systemd = [Systemd(cloud, host, release)] if systemctl.is_first_process() else []
    return [*systemd, OwnSupervisor(cloud, host, release)]
