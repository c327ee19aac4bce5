"""What a machine without udev lacks."""

from __future__ import annotations

from pathlib import Path

from kumoi.hosts import boot


def test_a_device_that_is_root_s_alone_is_opened_to_the_switch_s_user(tmp_path: Path) -> None:
    device = tmp_path / "tun"
    device.touch(0o600)

    boot.open_device(device)
    boot.open_device(device)

    assert device.stat().st_mode & 0o777 == 0o666


def test_a_machine_without_the_device_is_left_to_the_switch_to_complain_of(tmp_path: Path) -> None:
    boot.open_device(tmp_path / "tun")

    assert not (tmp_path / "tun").exists()
