"""What a server's status is, from what is wanted and what is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from kumoi.base.errors import Conflict
from kumoi.cloud.domain.compute import status
from kumoi.cloud.hostapi.messages import InstanceState, Power
from kumoi.cloud.store.compute.server import Server

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SETTLED: dict[str, Any] = {
    "power": Power.RUNNING.value,
    "state": InstanceState.RUNNING.value,
    "launched_at": NOW,
    "deleted": False,
    "generation": 1,
    "observed_generation": 1,
    "reverted": 0,
    "unrescued": 0,
    "suspended": False,
    "imaging": False,
    "shelf": "",
    "moving": "",
}
ZEROES = (
    "boot",
    "hard_boot",
    "build",
    "observed_boot",
    "observed_hard_boot",
    "observed_build",
)


def server(**values: Any) -> Server:
    """One that runs as wanted, but for these columns."""
    blank: dict[str, Any] = dict.fromkeys(Server.__struct_fields__)
    return msgspec.structs.replace(Server(**blank), **(dict.fromkeys(ZEROES, 0) | SETTLED | values))


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({}, ("ACTIVE", "active", None, 1)),
        ({"state": "building", "launched_at": None}, ("BUILD", "building", "spawning", 0)),
        ({"state": "failed", "launched_at": None}, ("ERROR", "error", None, 0)),
        ({"state": "stopped", "power": "stopped"}, ("SHUTOFF", "stopped", None, 4)),
        ({"state": "stopped"}, ("SHUTOFF", "stopped", None, 4)),
        ({"state": "stopped", "generation": 2}, ("SHUTOFF", "stopped", "powering-on", 4)),
        ({"power": "stopped", "generation": 2}, ("ACTIVE", "active", "powering-off", 1)),
        ({"power": "paused", "generation": 2}, ("ACTIVE", "active", "pausing", 1)),
        ({"state": "paused", "power": "paused"}, ("PAUSED", "paused", None, 3)),
        ({"state": "paused", "generation": 2}, ("PAUSED", "paused", "unpausing", 3)),
        (
            {"moving": "copying", "move": {"vm_state": "active"}},
            ("MIGRATING", "active", "migrating", 1),
        ),
        (
            {"moving": "starting", "move": {"vm_state": "active"}, "state": "stopped"},
            ("MIGRATING", "active", "migrating", 4),
        ),
        ({"moving": "leaving", "move": {"vm_state": "active"}}, ("ACTIVE", "active", None, 1)),
        ({"boot": 1, "generation": 2}, ("REBOOT", "active", "reboot_started", 1)),
        (
            {"hard_boot": 1, "generation": 2, "state": "stopped"},
            ("HARD_REBOOT", "stopped", "reboot_started_hard", 4),
        ),
        ({"build": 1, "generation": 2}, ("REBUILD", "active", "rebuilding", 1)),
        (
            {"build": 1, "generation": 2, "state": "building"},
            ("REBUILD", "active", "rebuilding", 0),
        ),
        (
            {"hard_boot": 1, "generation": 2, "state": "failed"},
            ("HARD_REBOOT", "error", "reboot_started_hard", 0),
        ),
        (
            {"generation": 3, "observed_generation": 2, "reverted": 3, "boot": 1},
            ("REVERT_RESIZE", "resized", "resize_reverting", 1),
        ),
        (
            {"generation": 3, "observed_generation": 2, "reverted": 3, "state": "failed"},
            ("REVERT_RESIZE", "resized", "resize_reverting", 0),
        ),
        ({"generation": 3, "observed_generation": 3, "reverted": 3}, ("ACTIVE", "active", None, 1)),
        ({"power": "absent", "generation": 2}, ("ACTIVE", "active", "deleting", 1)),
        (
            {"power": "absent", "state": "building", "launched_at": None},
            ("BUILD", "building", "deleting", 0),
        ),
        ({"deleted": True, "power": "absent"}, ("DELETED", "deleted", None, 0)),
        (
            {"power": "paused", "state": "paused", "suspended": True},
            ("SUSPENDED", "suspended", None, 7),
        ),
        (
            {"power": "paused", "generation": 2, "suspended": True},
            ("ACTIVE", "active", "suspending", 1),
        ),
        ({"imaging": True}, ("ACTIVE", "active", "image_uploading", 1)),
        ({"rescue": {}, "generation": 2, "boot": 1}, ("ACTIVE", "active", "rescuing", 1)),
        ({"rescue": {}}, ("RESCUE", "rescued", None, 1)),
        ({"rescue": {}, "state": "failed"}, ("ERROR", "error", None, 0)),
        ({"unrescued": 2, "generation": 2, "boot": 1}, ("RESCUE", "rescued", "unrescuing", 1)),
        ({"shelf": "stopping", "power": "stopped"}, ("ACTIVE", "active", "shelving", 1)),
        (
            {"shelf": "imaging", "state": "stopped"},
            ("SHUTOFF", "stopped", "shelving_image_uploading", 4),
        ),
        (
            {"shelf": "offloading", "state": "stopped"},
            ("SHELVED", "shelved", "shelving_offloading", 4),
        ),
        (
            {"shelf": "offloaded", "state": "stopped"},
            ("SHELVED_OFFLOADED", "shelved_offloaded", None, 4),
        ),
        (
            {"shelf": "unshelving", "state": "building", "build": 1},
            ("SHELVED_OFFLOADED", "shelved_offloaded", "unshelving", 0),
        ),
    ],
)
def test_status(values: dict[str, Any], shown: tuple[str, str, str | None, int]) -> None:
    now = status.of(server(**values))
    assert (now.status, now.vm_state, now.task_state, now.power_state) == shown


def test_an_action_needs_the_right_state_and_nothing_under_way() -> None:
    status.require(server(), "stop", vm_states=("active",))
    with pytest.raises(Conflict, match="while it is in vm_state active"):
        status.require(server(), "start", vm_states=("stopped",))
    with pytest.raises(Conflict, match="while it is in task_state powering-off"):
        status.require(server(power="stopped", generation=2), "stop", vm_states=("active",))
