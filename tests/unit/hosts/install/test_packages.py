"""Packages that are missing, however their names come."""

from __future__ import annotations

import pytest

from kumoi.hosts.install import packages


def test_names_that_can_be_asked_for_once_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    installed: list[str] = []
    monkeypatch.setattr(packages, "_ensure", installed.extend)
    wanted = ["no-such-package-b", "no-such-package-a", "dpkg"]
    assert packages.ensure(name for name in wanted) == sorted(wanted)[1:]
    assert installed == sorted(wanted)[1:]
