"""What to do for a server, from what is wanted and what is there: a reconciler's plan, pure.

wanted running, never started for this generation, or ended by the host's reboot   start it
wanted running, started for this generation, and it has ended                      leave it: it
    ended by itself, and its owner decides; it is reported stopped
boot or hard_boot has grown                                                        stop, start
build differs from its disk's                                                      stop, build;
    where that is refused, its disk is the one it had
"""

from __future__ import annotations

from dataclasses import dataclass

from kumoi.cloud.drivers.instance.interface import ObservedInstance
from kumoi.cloud.hostapi.messages import InstanceSpec, InstanceState, Power, ServerStatus

STOP_GRACE_S = 20.0


@dataclass(frozen=True, slots=True)
class Stop:
    grace_s: float

    def __str__(self) -> str:
        return f"stop within {self.grace_s:g} s" if self.grace_s else "stop at once"


@dataclass(frozen=True, slots=True)
class Build:
    build: int

    def __str__(self) -> str:
        return f"build {self.build}"


@dataclass(frozen=True, slots=True)
class Start:
    """Or resume."""

    def __str__(self) -> str:
        return "start"


@dataclass(frozen=True, slots=True)
class Settle:
    """Plug the ports as wanted, and record the generation as the one that is running."""

    def __str__(self) -> str:
        return "settle"


@dataclass(frozen=True, slots=True)
class Pause:
    def __str__(self) -> str:
        return "pause"


Action = Stop | Build | Start | Settle | Pause


def plan(wanted: InstanceSpec, seen: ObservedInstance | None, *, host_boot: str) -> list[Action]:
    """The actions, in order; empty when the server is as wanted."""
    if seen is None or seen.build != wanted.build:
        clearing = [Stop(0)] if seen and _has_run(seen) else []
        return [*clearing, Build(wanted.build), *_from_stopped(wanted)]
    if wanted.power is Power.STOPPED:
        if seen.state is InstanceState.RUNNING:
            return [Stop(STOP_GRACE_S)]
        return [Stop(0)] if _has_run(seen) else []
    if seen.state is InstanceState.STOPPED:
        clearing = [Stop(0)] if seen.remains else []
        ended = ended_by_itself(wanted, seen, host_boot=host_boot)
        return [*clearing, *([] if ended else _from_stopped(wanted))]
    return _from_started(wanted, seen)


def status(seen: ObservedInstance | None) -> ServerStatus:
    """What to report when nothing is left to do, or the rest has failed for good."""
    if seen is None or seen.build is None:
        return ServerStatus(state=InstanceState.BUILDING)
    return ServerStatus(
        state=seen.state,
        boot=seen.boot,
        hard_boot=seen.hard_boot,
        build=seen.build,
        connections=seen.connections,
        listening=seen.listening,
    )


def guarded(wanted: InstanceSpec) -> frozenset[str]:
    """Ids of the ports that are to let no advertisements of routers out."""
    return frozenset(port.id for port in wanted.ports) - set(wanted.advertisers)


def bounded(wanted: InstanceSpec) -> frozenset[str]:
    """Ids of the ports that are to send from few MACs only."""
    return frozenset(port.id for port in wanted.ports) & set(wanted.advertisers)


def ended_by_itself(wanted: InstanceSpec, seen: ObservedInstance, *, host_boot: str) -> bool:
    """Whether it was started as wanted, in this boot of the host, and has ended since."""
    return (
        seen.state is InstanceState.STOPPED
        and seen.started_generation == wanted.generation
        and seen.host_boot == host_boot
        and (seen.boot, seen.hard_boot) == (wanted.boot, wanted.hard_boot)
    )


def _from_stopped(wanted: InstanceSpec) -> list[Action]:
    match wanted.power:
        case Power.RUNNING:
            return [Start()]
        case Power.PAUSED:
            return [Start(), Pause()]
        case _:
            return []


def _from_started(wanted: InstanceSpec, seen: ObservedInstance) -> list[Action]:
    if seen.hard_boot != wanted.hard_boot:
        return [Stop(0), *_from_stopped(wanted)]
    if seen.boot != wanted.boot:
        grace_s = STOP_GRACE_S if seen.state is InstanceState.RUNNING else 0
        return [Stop(grace_s), *_from_stopped(wanted)]
    actions: list[Action] = []
    if seen.state is InstanceState.PAUSED and wanted.power is Power.RUNNING:
        actions.append(Start())
    elif (
        seen.started_generation != wanted.generation
        or seen.ports != {port.id for port in wanted.ports}
        # Ports change their addresses without a new generation of their server.
        or (seen.wired is not None and seen.wired != tuple(wanted.ports))
        or (
            seen.guarded is not None
            and (seen.guarded, seen.bounded) != (guarded(wanted), bounded(wanted))
        )
    ):
        actions.append(Settle())
    if seen.state is InstanceState.RUNNING and wanted.power is Power.PAUSED:
        actions.append(Pause())
    return actions


def _has_run(seen: ObservedInstance) -> bool:
    return seen.state is not InstanceState.STOPPED or seen.remains
