"""What `status` says about the machine that our processes run on."""

from __future__ import annotations

import pytest

from kumoi.cli import status
from kumoi.config import HostSettings
from kumoi.hosts.units import landlock


def test_a_kernel_without_landlock_is_told_whoever_keeps_the_units(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(landlock, "version", lambda: 0)
    own, systemd = (
        status.missing_walls(HostSettings(keeper=keeper)) for keeper in ("kumoi", "systemd")
    )
    assert "only users and modes keep each process to its own files" in own
    assert "systemd keeps each process to its own files" in systemd
    assert own.startswith("This kernel has no Landlock")
    assert systemd.startswith("This kernel has no Landlock")


def test_of_a_kernel_with_landlock_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "version", lambda: 2)
    assert status.missing_walls(HostSettings(keeper="systemd")) == ""
