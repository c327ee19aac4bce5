"""What an image's content is, by its own marks. Pure: bytes in, finding out.

Reads no more than the first HEAD_BYTES and the last TAIL_BYTES. Refuses what could make a host
read one of its own files: a qcow2 that stands on another file, a VMDK that names one.
"""

from __future__ import annotations

import enum
import lzma
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from kumoi.base.errors import Invalid

HEAD_BYTES = 64 << 10
TAIL_BYTES = 512
UNPACKED_BYTES = 1024
TAR_MARK = slice(257, 262)

_QCOW2_HEADER = struct.Struct(">4sIQIIQ")  # Magic, version, backing offset and size, bits, size.
_QCOW2_FEATURES = struct.Struct(">Q")
_QCOW2_FEATURES_AT = 72
_QCOW2_HARMLESS = 0b1_1011  # Dirty, corrupt, compression type, extended L2; bit 2 is a data file.
_VMDK_SPARSE = struct.Struct("<4sIIQQQQ")  # Magic, version, flags, capacity, grain, descriptor.
_VMDK_SELF_CONTAINED = (b"monolithicSparse", b"streamOptimized")
_VMDK_TYPE = re.compile(rb'createType\s*=\s*"([^"]*)"')
_VMDK_EXTENT = re.compile(rb"^\s*(?:RW|RDONLY|NOACCESS)\s+\d+\s+(\S+)\s*(.*)$", re.MULTILINE)
_SECTOR = 512
_SQUASHFS = struct.Struct("<4s24xHH8xQ")  # Magic, version, bytes used.
_SQUASHFS_VERSION = 4


class Kind(enum.StrEnum):
    """Names are the image API's disk formats. RAW is whatever shows no mark."""

    RAW = "raw"
    ROOT_TAR = "root-tar"
    SQUASHFS = "squashfs"
    QCOW2 = "qcow2"
    VMDK = "vmdk"
    VHD = "vhd"
    VHDX = "vhdx"
    VDI = "vdi"
    ISO = "iso"
    PLOOP = "ploop"


@dataclass(frozen=True, slots=True)
class Finding:
    """`virtual_size` is the disk's size in bytes, where the content says it."""

    kind: Kind
    virtual_size: int | None = None


# What else may be called raw: the `openstack` command has no word for root file systems, and a
# hybrid ISO is a disk.
CALLED_RAW = frozenset({Kind.RAW, Kind.ROOT_TAR, Kind.SQUASHFS, Kind.ISO})
UNCHECKED = frozenset({"ami", "ari", "aki"})


def check(disk_format: str, head: bytes, tail: bytes, size: int) -> Finding:
    """Raises Invalid when the content is not what it is said to be, or would be dangerous."""
    found = find(head, tail)
    if disk_format in UNCHECKED:
        return found
    fits = found.kind in CALLED_RAW if disk_format == Kind.RAW else found.kind == disk_format
    if not fits:
        seen = "nothing known" if found.kind is Kind.RAW else found.kind.value
        raise Invalid(
            f"The image is not what it says: disk_format is {disk_format}, the content is {seen}.",
            field="disk_format",
        )
    if found.kind is Kind.RAW:
        return Finding(Kind.RAW, virtual_size=size)
    if found.kind is Kind.SQUASHFS:
        _require_whole(head, size)
    return found


def find(head: bytes, tail: bytes) -> Finding:
    """What it is. Raises Invalid for a disk that refers to other files."""
    for mark, finder in _MARKS:
        if head.startswith(mark):
            return finder(head)
    if head[64:68] == b"\x7f\x10\xda\xbe":
        return Finding(Kind.VDI)
    if head[0x8001:0x8006] == b"CD001":
        return Finding(Kind.ISO)
    if head[TAR_MARK] == b"ustar":
        return Finding(Kind.ROOT_TAR)
    if head.startswith(b"conectix") or tail.startswith(b"conectix"):
        return Finding(Kind.VHD)
    return Finding(Kind.RAW)


def _qcow2(head: bytes) -> Finding:
    if len(head) < _QCOW2_FEATURES_AT + _QCOW2_FEATURES.size:
        raise Invalid("The qcow2 header is cut off.", field="disk_format")
    _, version, backing_at, _, _, virtual_size = _QCOW2_HEADER.unpack_from(head)
    if version not in (2, 3):
        raise Invalid(f"qcow2 version {version} is not known.", field="disk_format")
    if backing_at:
        raise Invalid("A qcow2 image with a backing file is refused.", field="disk_format")
    if version == 3:  # noqa: PLR2004 - the version itself
        (features,) = _QCOW2_FEATURES.unpack_from(head, _QCOW2_FEATURES_AT)
        if features & ~_QCOW2_HARMLESS:
            raise Invalid(
                "A qcow2 image with an external data file or unknown features is refused.",
                field="disk_format",
            )
    return Finding(Kind.QCOW2, virtual_size)


def _vmdk_sparse(head: bytes) -> Finding:
    if len(head) < _VMDK_SPARSE.size:
        raise Invalid("The VMDK header is cut off.", field="disk_format")
    _, _, _, capacity, _, descriptor_at, descriptor_size = _VMDK_SPARSE.unpack_from(head)
    start = descriptor_at * _SECTOR
    descriptor = head[start : start + descriptor_size * _SECTOR]
    kind = _VMDK_TYPE.search(descriptor)
    extents = _VMDK_EXTENT.findall(descriptor)
    own = all(type_ == b"SPARSE" and b"/" not in name for type_, name in extents)
    if kind is None or kind.group(1) not in _VMDK_SELF_CONTAINED or not own:
        raise Invalid("A VMDK image that refers to other files is refused.", field="disk_format")
    return Finding(Kind.VMDK, capacity * _SECTOR)


def _vmdk_text(_head: bytes) -> Finding:
    raise Invalid("A VMDK image that refers to other files is refused.", field="disk_format")


def _squashfs(head: bytes) -> Finding:
    if len(head) < _SQUASHFS.size:
        raise Invalid("The squashfs header is cut off.", field="disk_format")
    _, version, _, _ = _SQUASHFS.unpack_from(head)
    if version != _SQUASHFS_VERSION:
        raise Invalid(f"squashfs version {version} is not known.", field="disk_format")
    return Finding(Kind.SQUASHFS)


def _require_whole(head: bytes, size: int) -> None:
    """A squashfs file says how long it is; a tool may have filled it up to a whole block."""
    used = _SQUASHFS.unpack_from(head)[3]
    if used > size:
        raise Invalid(
            f"The squashfs file is cut off: it has {size} bytes of {used}.", field="disk_format"
        )


def _gzip(head: bytes) -> Finding:
    try:
        begin = zlib.decompressobj(wbits=31).decompress(head, UNPACKED_BYTES)
    except zlib.error:
        return Finding(Kind.RAW)
    return _tar(begin)


def _xz(head: bytes) -> Finding:
    try:
        begin = lzma.LZMADecompressor().decompress(head, UNPACKED_BYTES)
    except lzma.LZMAError:
        return Finding(Kind.RAW)
    return _tar(begin)


def _tar(begin: bytes) -> Finding:
    return Finding(Kind.ROOT_TAR if begin[TAR_MARK] == b"ustar" else Kind.RAW)


def _simply(kind: Kind) -> Callable[[bytes], Finding]:
    return lambda _head: Finding(kind)


_MARKS: tuple[tuple[bytes, Callable[[bytes], Finding]], ...] = (
    (b"QFI\xfb", _qcow2),
    (b"KDMV", _vmdk_sparse),
    (b"# Disk DescriptorFile", _vmdk_text),
    (b"vhdxfile", _simply(Kind.VHDX)),
    (b"hsqs", _squashfs),
    (b"WithoutFreeSpace", _simply(Kind.PLOOP)),
    (b"WithouFreSpacExt", _simply(Kind.PLOOP)),
    (b"\x1f\x8b", _gzip),
    (b"\xfd7zXZ\x00", _xz),
    (b"\x28\xb5\x2f\xfd", _simply(Kind.ROOT_TAR)),  # Zstandard: what is inside, the host sees.
)
