"""The container and disk formats of images, and which of them go together."""

from __future__ import annotations

from typing import Literal

from kumoi.base.errors import Invalid

ContainerFormat = Literal["ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed"]
DiskFormat = Literal[
    "ami",
    "ari",
    "aki",
    "vhd",
    "vhdx",
    "vmdk",
    "raw",
    "qcow2",
    "vdi",
    "iso",
    "ploop",
    "root-tar",
    "squashfs",
]
AMAZON = ("ami", "ari", "aki")


def require_mix(
    container_format: str | None, disk_format: str | None
) -> tuple[str | None, str | None]:
    """Both formats; where only one of them is Amazon's, the other becomes the same. Raises Invalid."""
    if container_format not in AMAZON and disk_format not in AMAZON:
        return container_format, disk_format
    container, disk = container_format or disk_format, disk_format or container_format
    if container != disk:
        raise Invalid(
            "Invalid mix of disk and container formats. When setting a disk or container format to "
            "one of 'aki', 'ari', or 'ami', the container and disk formats must match.",
            field="disk_format",
        )
    return container, disk
