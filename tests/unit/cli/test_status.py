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


def test_a_host_on_another_machine_that_is_silent_is_named_with_its_release() -> None:
    rows = [
        {"name": name, "state": state, "release": "0.3.0", "seen_at": "2026-11-29T12:00:00+00:00"}
        for name, state in (("a", "up"), ("near", "down"), ("far", "down"))
    ]
    (line,) = status.hosts_words(rows, {"a", "near"})
    assert line.startswith("far, on another machine, was heard of last at 2026-11-29T12:00:00")
    assert "of release 0.3.0" in line


def test_hosts_of_several_releases_are_listed_by_them() -> None:
    rows = [
        {"name": name, "state": "up", "release": release, "seen_at": ""}
        for name, release in (("a", "0.3.0"), ("b", "0.2.0"), ("c", "0.3.0"))
    ]
    (line,) = status.hosts_words(rows, {"a"})
    assert "2 releases (0.3.0: a, c; 0.2.0: b): sudo ./kumoi upgrade plan" in line
