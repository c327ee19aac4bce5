"""What is known of a member's health, from one probe to the next. Pure; called by probing.py.

A new member works with its first good probe. One that works fails after `max_retries_down` bad probes
in a row, and then works again after `max_retries` good ones.
"""

from __future__ import annotations

from dataclasses import dataclass

from kumoi.cloud.hostapi.load_balancer import ERROR, ONLINE, MonitorSpec

AGAIN_MIN_S = 0.1


@dataclass(frozen=True, slots=True)
class Health:
    """`state` is empty until one is known. `streak` counts equal answers: good ones up, bad ones
    down; 0 is a new member's.
    """

    state: str = ""
    streak: int = 0


def after(health: Health, monitor: MonitorSpec, *, good: bool) -> Health:
    if not health.state and good:
        return Health(ONLINE, 1)
    streak = max(health.streak, 0) + 1 if good else min(health.streak, 0) - 1
    state = health.state
    if -streak >= monitor.max_retries_down:
        state = ERROR
    elif streak >= monitor.max_retries:
        state = ONLINE
    return Health(state, streak)


def again_s(health: Health, monitor: MonitorSpec) -> float:
    """How long after the beginning of the last probe the next one begins. While a member fails they
    are closer, so that it is out within `delay` times `max_retries_down` also where each runs into
    its timeout.
    """
    left = monitor.max_retries_down - 1
    if health.state == ONLINE and health.streak < 0 and left:
        return max(AGAIN_MIN_S, monitor.delay_s - monitor.timeout_s / left)
    return monitor.delay_s
