"""Units under systemd, where it is the machine's first process: installed, started, replaced, stopped.

The counterpart of control.py with supervisor.py. systemd.py says what the files are; which instance of
a unit is in charge stands in the target's `.wants` directory, so that a reboot in the middle of an
update starts each unit once. What replaces another is decided here, while `up` waits.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kumoi.base import files, process
from kumoi.base.errors import Conflict, Permanent
from kumoi.base.files import Promise
from kumoi.config import CloudSettings, HostSettings
from kumoi.hosts.units import ownership, running, systemd
from kumoi.hosts.units.control import SupervisorStatus, UnitStatus
from kumoi.hosts.units.releases import Release
from kumoi.hosts.units.table import Unit, UnitKind

BOOTED = Path("/run/systemd/system")
POLL_S = 0.05
SETTLE_S = 1.0  # What says nothing is ready when it lived this long.
REPLACE_TIMEOUT_S = 90.0
"""On a machine that has other work to do; one that fails is given up before."""
REPLACE_ATTEMPTS = 3
COMMAND_TIMEOUT_S = 120.0
OWNER_NOTE = "# Of the cloud in "


@dataclass(frozen=True, slots=True)
class Instance:
    """One service of a unit, as systemd has it. `active_since_s` is of the monotonic clock."""

    service: str
    state: str
    pid: int
    restarts: int
    why: str
    active_since_s: float


@dataclass(slots=True)
class Systemd:
    """Keeps the units of one host. `directory` is where unit files are."""

    cloud: CloudSettings
    host: HostSettings
    release: Release
    directory: Path = Path(systemd.DIRECTORY)
    _wanted: list[Unit] = field(default_factory=list)

    # What is wanted.

    def tell(self, wanted: Sequence[Unit]) -> None:
        """From now on just these units. What runs goes on until `ensure_ready` replaces it."""
        self._require_ours()
        self._wanted = list(wanted)
        texts = systemd.render(self.cloud, self.host, self.release, wanted)
        note = f"{OWNER_NOTE}{self.host.state_dir}\n"
        changed = [name for name, text in texts.items() if self._write(name, note + text)]
        changed += [name for name in texts if self._stays_again(name)]
        in_charge = self.in_charge()
        names = {unit.name for unit in wanted}
        for name in in_charge.keys() - names:
            _systemctl("disable", "--quiet", "--no-reload", in_charge[name])
            _systemctl("stop", in_charge[name])
        gone = self._stop_others({*texts, *in_charge.values()})
        if changed or gone:
            _systemctl("daemon-reload")
        fixed = [name for name in texts if "@" not in name]
        installed = [name for name in fixed if "[Install]" in texts[name]]
        _systemctl("enable", "--quiet", "--no-reload", *installed)
        self._open_sockets(unit for unit in wanted if unit.name not in in_charge)

    def is_running(self, wanted: Sequence[Unit]) -> bool:
        """Whether just these units are there and ready, so that nothing they need is to be done."""
        services = {unit.name: systemd.service(self.cloud, self.host, unit) for unit in wanted}
        if services != self.in_charge():
            return False
        return all(self._is_ready(instance) for instance in _ask(services.values()))

    def ensure_ready(
        self,
        names: Sequence[str],
        *,
        timeout_s: float,
        tell: Callable[[str], None] = lambda _text: None,
    ) -> None:
        """Until these are ready as they are wanted. Raises Permanent naming what is not."""
        before = self.in_charge()
        wanted = [unit for unit in self._wanted if unit.name in names]
        first = [unit for unit in wanted if before.get(unit.name) in {None, self._service(unit)}]
        self._start(first, timeout_s=timeout_s, tell=tell)
        for unit in first:
            ownership.forget_settings_before(self.host, unit.name)
        self._replace_each([unit for unit in wanted if unit not in first], before, tell)

    # Looking.

    def in_charge(self) -> dict[str, str]:
        """The service of each unit that starts with the machine, by the unit's name."""
        start = f"{systemd.prefix(self.cloud, self.host)}-"
        found = {}
        for path in sorted(self._wants.glob(f"{start}*@*.service")):
            found[path.name.removeprefix(start).partition("@")[0]] = path.name
        return found

    def read_status(self) -> SupervisorStatus | None:
        """None when systemd has no unit of this cloud."""
        in_charge = self.in_charge()
        if not in_charge:
            return None
        by_service = {instance.service: instance for instance in _ask(in_charge.values())}
        rows = [self._row(name, by_service[service]) for name, service in in_charge.items()]
        place = {name: int(self._about(service)["Place"]) for name, service in in_charge.items()}
        rows.sort(key=lambda row: place[row.name])
        return SupervisorStatus(1, "", tuple(rows))

    def _row(self, name: str, instance: Instance) -> UnitStatus:
        about = self._about(instance.service)
        states = {"active": "running", "activating": "starting"}
        return UnitStatus(
            name=name,
            kind=about.get("Kind", ""),
            state=states.get(instance.state, "waiting"),
            pid=instance.pid,
            since=running.started_at(instance.pid) if instance.pid else 0.0,
            restarts=instance.restarts,
            why="" if instance.state == "active" else instance.why,
            listens=about.get("Listens", ""),
            namespace=about.get("Namespace", ""),
        )

    def _about(self, service: str) -> dict[str, str]:
        """What a unit file says of itself beyond what systemd reads."""
        text = (self.directory / service).read_text()
        lines = text.partition("[X-Kumoi]\n")[2].splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    # Stopping.

    def stop_roles(self, *, at_once: bool = False) -> None:
        """Our own processes, which nothing starts again then."""
        roles = [
            service
            for service in self.in_charge().values()
            if self._about(service).get("Kind") == UnitKind.ROLE
        ]
        left = [unit for unit in running.found(self.host.state_dir) if unit.name == "agent"]
        self._stop(roles, at_once=at_once)
        running.kill_what_they_left(left)

    def stop_units(self, names: Collection[str]) -> None:
        """These, until `ensure_ready` starts them."""
        in_charge = self.in_charge()
        self._stop([in_charge[name] for name in names if name in in_charge], at_once=False)

    def stop(self, *, at_once: bool = False) -> None:
        """Everything, and nothing of it starts with the machine."""
        if not self._files():
            return
        self.stop_roles(at_once=at_once)
        self._stop(list(self.in_charge().values()), at_once=at_once)
        fixed = [name for name in self._files() if "@" not in name]
        _systemctl("stop", *self._files())
        _systemctl("disable", "--quiet", "--no-reload", *fixed)
        for name in self._files():
            self._remove(name)
        _systemctl("daemon-reload")

    def _stop(self, services: Sequence[str], *, at_once: bool) -> None:
        if not services:
            return
        _systemctl("disable", "--quiet", "--no-reload", *services)
        if at_once:
            for service in services:
                _systemctl("kill", "--signal=SIGKILL", service, check=False)
        _systemctl("stop", *services)
        _systemctl("reset-failed", *services, check=False)

    # Starting and replacing.

    def _start(
        self, units: Sequence[Unit], *, timeout_s: float, tell: Callable[[str], None]
    ) -> None:
        """All together, in systemd's order. What is there already is told again what follows a start."""
        services = {unit.name: self._service(unit) for unit in units}
        there = {
            instance.service for instance in _ask(services.values()) if instance.state == "active"
        }
        for unit in units:
            if services[unit.name] in there:
                running.run_then(unit)
        missing = [service for service in services.values() if service not in there]
        if missing:
            _systemctl("enable", "--quiet", "--no-reload", *missing)
            _systemctl("start", "--no-block", *self._fixed(), *missing)
        deadline = time.monotonic() + timeout_s
        while late := [
            instance for instance in _ask(services.values()) if not self._is_ready(instance)
        ]:
            if time.monotonic() > deadline:
                raise Permanent(_lateness(late, timeout_s))
            tell(", ".join(instance.service for instance in late))
            time.sleep(POLL_S)

    def _fixed(self) -> list[str]:
        """What starts before any unit: the target, or where that is reached, what belongs to it. Once more the target
        would start each service in charge, beside another version of it where an update was killed in the middle.
        """
        target = systemd.target(self.cloud, self.host)
        (there,) = _ask([target])
        if there.state != "active":
            return [target]
        return sorted(path.name for path in self._wants.iterdir() if "@" not in path.name)

    def _replace_each(
        self, units: Sequence[Unit], before: Mapping[str, str], tell: Callable[[str], None]
    ) -> None:
        """One after the other. Where one stays as it was, so do those after it, which start with what they were told."""
        for place, unit in enumerate(units):
            tell(unit.name)
            try:
                self._replace(unit, before[unit.name])
            except Permanent:
                for later in units[place + 1 :]:
                    ownership.put_settings_back(self.host, later.name)
                raise
            ownership.forget_settings_before(self.host, unit.name)

    def _replace(self, unit: Unit, before: str) -> None:
        """The new one answers before the old one leaves, where two may run at once and listen where they did; otherwise
        the old one comes back when the new one does not start.
        """
        new = self._service(unit)
        is_to_open = self._is_to_open(unit)
        if is_to_open or not unit.overlaps:
            _systemctl("stop", before)
        if is_to_open:  # The old one held what it had of it: an address is opened by one.
            self._open_sockets([unit])
        _systemctl("start", "--no-block", new)
        try:
            self._await_replacement(unit, new)
        except Permanent:
            _systemctl("stop", new, check=False)
            _systemctl("reset-failed", new, check=False)
            ownership.put_settings_back(self.host, unit.name)  # It sees no more than it did.
            _systemctl("start", before)
            raise
        # In this order, a machine that dies in between never starts two.
        _systemctl("disable", "--quiet", "--no-reload", before)
        _systemctl("enable", "--quiet", "--no-reload", new)
        if unit.overlaps:
            self._drain(before)

    def _await_replacement(self, unit: Unit, new: str) -> None:
        deadline = time.monotonic() + REPLACE_TIMEOUT_S
        while True:
            (instance,) = _ask([new])
            if self._is_ready(instance):
                return
            if instance.restarts >= REPLACE_ATTEMPTS or time.monotonic() > deadline:
                raise Permanent(
                    f"{unit.name}: what is wanted does not start ({instance.why or instance.state}); "
                    f"the one before it goes on; see journalctl -u {new}"
                )
            time.sleep(POLL_S)

    def _drain(self, service: str) -> None:
        """It answers who is connected, and ends by itself: nobody waits for it."""
        drop_in = self._leaving(service)
        drop_in.parent.mkdir(exist_ok=True)
        drop_in.write_text("[Service]\nKillSignal=SIGUSR1\n")
        _systemctl("daemon-reload")
        _systemctl("stop", "--no-block", service)

    def _stop_others(self, but: set[str]) -> list[str]:
        """What an `up` that was cut short left; what still answers who was connected may go on. Those
        that are gone now.
        """
        gone = [name for name in self._files() if name not in but]
        leaving = {instance.service for instance in _ask(gone) if instance.state == "deactivating"}
        gone = [name for name in gone if name not in leaving]
        if gone:
            _systemctl("stop", *gone)
        for name in gone:
            self._remove(name)
        return gone

    def _is_ready(self, instance: Instance) -> bool:
        """Where a unit answers somewhere, or says it, systemd knows."""
        about = self._about(instance.service)
        is_known = about["Notifies"] == "True" or about["Listens"]
        settled = time.monotonic() - instance.active_since_s > SETTLE_S
        return instance.state == "active" and bool(is_known or settled)

    def _open_sockets(self, wanted: Iterable[Unit]) -> None:
        """Of these units, those that are not open as they are written, which is refused while their holder is there."""
        if not any(unit.sockets for unit in self._wanted):
            return
        holder = systemd.holder(self.cloud, self.host)
        again = [unit for unit in wanted if self._is_to_open(unit)]
        if again:
            sockets = [systemd.socket(self.cloud, self.host, unit) for unit in again]
            _systemctl("stop", holder, *sockets)
            _systemctl("reset-failed", *sockets, check=False)
        _systemctl("start", holder)

    def _is_to_open(self, unit: Unit) -> bool:
        """Whether its socket is not open, or was written since, with other addresses."""
        if not unit.sockets:
            return False
        name = systemd.socket(self.cloud, self.host, unit)
        (socket,) = _ask([name])
        written_s = (self.directory / name).stat().st_mtime - (time.time() - time.monotonic())
        return socket.state != "active" or socket.active_since_s < written_s

    # Files.

    @property
    def _wants(self) -> Path:
        """Links to what starts with the machine."""
        return self.directory / f"{systemd.target(self.cloud, self.host)}.wants"

    def _service(self, unit: Unit) -> str:
        return systemd.service(self.cloud, self.host, unit)

    def _files(self) -> list[str]:
        start = systemd.prefix(self.cloud, self.host)
        found = [*self.directory.glob(f"{start}-*.*"), *self.directory.glob(f"{start}.target")]
        return sorted(path.name for path in found if path.is_file())

    def _write(self, name: str, text: str) -> bool:
        path = self.directory / name
        if path.exists() and path.read_text() == text:
            return False
        files.replace(path, text, promise=Promise.OLD_OR_NEW, mode=0o644)
        return True

    def _remove(self, name: str) -> None:
        (self.directory / name).unlink(missing_ok=True)
        (self._wants / name).unlink(missing_ok=True)
        self._stays_again(name)

    def _leaving(self, service: str) -> Path:
        """There for what answers who is connected, and ends."""
        return self.directory / f"{service}.d" / "leaving.conf"

    def _stays_again(self, service: str) -> bool:
        """Whether it was to leave. What somebody else added to its directory stays."""
        drop_in = self._leaving(service)
        if not drop_in.exists():
            return False
        drop_in.unlink()
        with contextlib.suppress(OSError):
            drop_in.parent.rmdir()
        return True

    def _require_ours(self) -> None:
        """A cloud of this name may be on this machine with another directory."""
        path = self.directory / systemd.target(self.cloud, self.host)
        if path.exists():
            note = path.read_text().splitlines()[0]
            if note != f"{OWNER_NOTE}{self.host.state_dir}":
                raise Conflict(
                    f"{path} is of another cloud {self.cloud.name} on this machine: "
                    "use another --name, or `down` it first"
                )


def is_first_process() -> bool:
    """As sd_booted(3) has it."""
    return BOOTED.is_dir()


UNSAID = {"MainPID": "0", "NRestarts": "0", "ExecMainStatus": "0", "Result": ""}
"""What systemd does not say of a socket, which has no process, or of a target."""


def _ask(services: Iterable[str]) -> list[Instance]:
    names = list(services)
    if not names:
        return []
    keys = "Id,ActiveState,MainPID,NRestarts,Result,ExecMainStatus,ActiveEnterTimestampMonotonic"
    shown = _systemctl("show", f"--property={keys}", *names).out
    found = []
    for block in shown.strip().split("\n\n"):
        values = {**UNSAID, **dict(line.split("=", 1) for line in block.splitlines())}
        found.append(
            Instance(
                service=values["Id"],
                state=values["ActiveState"],
                pid=int(values["MainPID"]),
                restarts=int(values["NRestarts"]),
                why=f"{values['Result']}, its last status is {values['ExecMainStatus']}",
                active_since_s=int(values["ActiveEnterTimestampMonotonic"]) / 1e6,
            )
        )
    return found


def _lateness(late: Sequence[Instance], timeout_s: float) -> str:
    names = ", ".join(instance.service for instance in late)
    shown = process.run(
        ["journalctl", "--unit", late[0].service, "--lines=3", "--output=cat"], check=False
    ).out
    lines = "\n".join(f"    {line}" for line in shown.splitlines())
    return f"{names} not ready after {timeout_s:g} s; the end of the first one's log:\n{lines}"


def _systemctl(*words: str, check: bool = True) -> process.Completed:
    return process.run(["systemctl", *words], timeout_s=COMMAND_TIMEOUT_S, check=check)
