"""The words for formats, and which go together."""

from __future__ import annotations

from kumoi.base.errors import Invalid

CONTAINER_FORMATS = ("ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed")
DISK_FORMATS = (
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
)
AMAZON = ("ami", "ari", "aki")


def require_mix(
    container_format: str | None, disk_format: str | None
) -> tuple[str | None, str | None]:
    """Amazon's formats come in pairs; the one that was left out follows. Raises Invalid."""
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
