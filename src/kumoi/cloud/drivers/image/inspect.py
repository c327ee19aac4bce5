"""What an image's content is: blocks in, a finding out. inspector.py runs it where it reaches nothing else.

Magic numbers at its beginning say which format it claims. oslo.utils' inspector of that format, the
one that Glance uses, says whether the disk is complete, its virtual size, and whether it refers to
other files; it reads no more than it needs, within bounds of its own. Root file systems, which
oslo.utils does not know, are checked here.
"""

from __future__ import annotations

import enum
import lzma
import re
import struct
import zlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from kumoi.base.errors import Invalid

if TYPE_CHECKING:
    from oslo_utils.imageutils.format_inspector import FileInspector

HEAD_BYTES = 64 << 10
TAIL_BYTES = 512
BLOCK_BYTES = 1 << 20
UNPACKED_BYTES = 1024
SIZE_MAX = 1 << 62
"""More than any disk has, and less than a store's numbers go to."""
VHD_MARK = b"conectix"
VHD_TYPE, VHD_DIFFERENCING = slice(60, 64), struct.pack(">I", 4)
VDI_TYPE, VDI_DIFFERENCES = slice(0x4C, 0x50), (struct.pack("<I", 3), struct.pack("<I", 4))
VHDX_PARENT = bytes.fromhex("2d5fd3a80bb34d45abf7d3d84834ab0c")  # Where it says which disk that is.
TAR_MARK = slice(257, 262)

_VMDK_EXTENT = re.compile(r"^\s*(?:rw|rdonly|noaccess)\s+\d+\s+(\S+)", re.MULTILINE)
_SQUASHFS = struct.Struct("<4s24xHH8xQ")  # Magic, version, bytes used.
_SQUASHFS_VERSION = 4


class DiskFormat(enum.StrEnum):
    """Names are the image API's disk formats. RAW is whatever has no magic number."""

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
    """`virtual_size` is the disk's size in bytes, where the content states it."""

    kind: DiskFormat
    virtual_size: int | None = None


# Contents that an image of disk_format raw may have: the `openstack` command has no word for root
# file systems, and a hybrid ISO is a disk.
ALLOWED_AS_RAW = frozenset(
    {DiskFormat.RAW, DiskFormat.ROOT_TAR, DiskFormat.SQUASHFS, DiskFormat.ISO}
)
UNCHECKED = frozenset({"ami", "ari", "aki"})
INSPECTED = frozenset(
    {
        DiskFormat.QCOW2,
        DiskFormat.VMDK,
        DiskFormat.VHD,
        DiskFormat.VHDX,
        DiskFormat.VDI,
        DiskFormat.ISO,
    }
)


class Inspection:
    """Inspects a content that arrives in blocks, in order. Only its beginning and its end are kept."""

    def __init__(self) -> None:
        self._head, self._tail, self._size = bytearray(), b"", 0
        self._kind: DiskFormat | None = None
        self._inspector: FileInspector | None = None
        self._broken: Exception | None = None

    def eat(self, block: bytes) -> None:
        self._size += len(block)
        self._tail = (self._tail + block[-TAIL_BYTES:])[-TAIL_BYTES:]
        missing = HEAD_BYTES - len(self._head)
        if missing > 0:
            self._head += block[:missing]
            block = block[missing:]
            if len(self._head) == HEAD_BYTES:
                self._begin()
        if block:
            self._feed(block)

    @property
    def wants_more(self) -> bool:
        """Whether blocks after those that it was given may matter, but for the end."""
        if self._kind is None:
            return True
        if self._inspector is None or self._broken is not None:
            return False
        # A VMDK says at its end where what it refers to is.
        return self._kind is DiskFormat.VMDK or not self._inspector.complete

    def skip_to_end(self, tail: bytes, size: int) -> None:
        """Instead of all the rest: the last bytes, and how many there are in all."""
        self._tail, self._size = tail, size

    def claimed(self) -> DiskFormat:
        """The format that it claims, once all of it was eaten."""
        if self._kind is None:
            self._begin()
        if self._kind is DiskFormat.RAW and self._tail.startswith(VHD_MARK):
            self._kind, self._inspector = DiskFormat.VHD, _inspector(DiskFormat.VHD)
            self._feed(self._tail)  # A fixed VHD's header is at its end.
        return self._kind or DiskFormat.RAW

    def find(self) -> Finding:
        """What it is, once all of it was eaten. Raises Invalid for a disk that is broken or refers to
        other files.
        """
        kind, head = self.claimed(), bytes(self._head)
        for magic, why in _REFUSED:
            if head[: len(magic)].lower() == magic:
                raise Invalid(why, field="disk_format")
        if _VMDK_TEXT.match(head):
            raise Invalid(_VMDK_REFUSED, field="disk_format")
        if kind is DiskFormat.SQUASHFS:
            _require_squashfs(head, self._size)
        return Finding(kind, self._virtual_size(kind, self._inspector) if self._inspector else None)

    def _begin(self) -> None:
        """Choose the inspector, once the beginning was eaten."""
        head = bytes(self._head)
        self._kind = _format_of(head)
        if self._kind in INSPECTED:
            self._inspector = _inspector(self._kind)
            self._feed(head)

    def _feed(self, block: bytes) -> None:
        if self._inspector is None or self._broken is not None:
            return
        try:
            self._inspector.eat_chunk(block)
        except Exception as error:  # noqa: BLE001 - of any kind: the content is not trusted
            self._broken = error

    def _virtual_size(self, kind: DiskFormat, inspector: FileInspector) -> int | None:
        from oslo_utils.imageutils.format_inspector import (  # noqa: PLC0415 - see _inspector
            ImageFormatError,
            SafetyCheckFailed,
        )

        try:
            if self._broken is not None:
                raise ImageFormatError from self._broken
            inspector.finish()
            inspector.safety_check()
            size = inspector.virtual_size
        except SafetyCheckFailed as cause:
            why = "; ".join(str(failure) for failure in cause.failures.values())
            raise _refused(kind, f"is refused: {why}") from cause
        except (ImageFormatError, struct.error) as cause:
            raise _refused(kind, "is broken or cut off") from cause
        if kind is DiskFormat.VMDK:
            # The inspector accepts a flat extent with a name but no path; a disk that is one file
            # has none.
            extents = _VMDK_EXTENT.findall(getattr(inspector, "desc_text", None) or "")
            if any(extent != "sparse" for extent in extents):
                raise _refused(kind, "is refused: it refers to other files")
        if self._has_parent(kind, inspector):
            raise _refused(kind, "is refused: it refers to other files")
        if kind is DiskFormat.VHDX and not size:
            raise _refused(kind, "is broken or cut off")
        if size > SIZE_MAX:
            raise _refused(kind, f"is refused: it says that its disk has {size} bytes")
        return size or None

    def _has_parent(self, kind: DiskFormat, inspector: FileInspector) -> bool:
        """Whether the disk is what differs from another one, of formats whose inspectors do not ask."""
        if kind is DiskFormat.VHD:
            footers = (bytes(self._head[:TAIL_BYTES]), self._tail)
            return any(
                each.startswith(VHD_MARK) and each[VHD_TYPE] == VHD_DIFFERENCING for each in footers
            )
        if kind is DiskFormat.VDI:
            return bytes(self._head[VDI_TYPE]) in VDI_DIFFERENCES
        has_table = kind is DiskFormat.VHDX and inspector.has_region("metadata")
        return has_table and VHDX_PARENT in inspector.region("metadata").data


def check_file(file: IO[bytes], disk_format: str, size: int) -> Finding:
    """`check` of a file, of which no more is read than matters. Raises Invalid."""
    inspection = Inspection()
    while inspection.wants_more and (block := file.read(BLOCK_BYTES)):
        inspection.eat(block)
    file.seek(max(0, size - TAIL_BYTES))
    inspection.skip_to_end(file.read(TAIL_BYTES), size)
    return check(disk_format, inspection, size)


def check(disk_format: str, inspection: Inspection, size: int) -> Finding:
    """Raises Invalid when the content is not of the format stated, or would be dangerous."""
    kind = inspection.claimed()
    fits = kind in ALLOWED_AS_RAW if disk_format == DiskFormat.RAW else kind == disk_format
    if not fits and disk_format not in UNCHECKED:
        seen = "nothing known" if kind is DiskFormat.RAW else kind.value
        raise Invalid(
            f"The image is not what it says: disk_format is {disk_format}, the content is {seen}.",
            field="disk_format",
        )
    found = inspection.find()
    is_disk = found.kind is DiskFormat.RAW and disk_format not in UNCHECKED
    return Finding(DiskFormat.RAW, virtual_size=size) if is_disk else found


_MAGIC = (
    (b"QFI\xfb", DiskFormat.QCOW2),
    (b"KDMV", DiskFormat.VMDK),
    (b"vhdxfile", DiskFormat.VHDX),
    (b"hsqs", DiskFormat.SQUASHFS),
    (b"WithoutFreeSpace", DiskFormat.PLOOP),
    (b"WithouFreSpacExt", DiskFormat.PLOOP),
    (b"\x28\xb5\x2f\xfd", DiskFormat.ROOT_TAR),  # Zstandard: the host sees what is inside.
    (VHD_MARK, DiskFormat.VHD),
)
_OLD_VMDK = b"cowd"
_VMDK_TEXT = re.compile(
    rb"(?:#[^\n]*\n| *\r?\n)*(?:# disk descriptorfile|version=[0-9]+ *\r?\n)", re.IGNORECASE
)
"""A descriptor, which names other files, as QEMU knows it when nobody says what it is: after comments and empty lines."""
_VMDK_REFUSED = "A VMDK image that refers to other files is refused."
_REFUSED = (
    (_OLD_VMDK, _VMDK_REFUSED),
    (b"qed\0", "A QED image is refused: nobody maintains that format."),
)


def _format_of(head: bytes) -> DiskFormat:
    """The format that a content's beginning claims, by its magic numbers."""
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head[64:68] == b"\x7f\x10\xda\xbe":
        return DiskFormat.VDI
    if head[0x8001:0x8006] == b"CD001":
        return DiskFormat.ISO
    return DiskFormat.ROOT_TAR if _unpacked(head)[TAR_MARK] == b"ustar" else DiskFormat.RAW


def _inspector(kind: DiskFormat) -> FileInspector:
    """oslo.utils is imported when there is something to inspect: in most processes there never is."""
    from oslo_utils.imageutils import format_inspector  # noqa: PLC0415

    return format_inspector.ALL_FORMATS[kind.value]()


def _require_squashfs(head: bytes, size: int) -> None:
    """Its superblock states its length; the file may be longer, for tools pad it to a whole block."""
    if len(head) < _SQUASHFS.size:
        raise _refused(DiskFormat.SQUASHFS, "is broken or cut off")
    _, version, _, used = _SQUASHFS.unpack_from(head)
    if version != _SQUASHFS_VERSION:
        raise _refused(DiskFormat.SQUASHFS, f"is refused: version {version} is not known")
    if used > size:
        raise _refused(DiskFormat.SQUASHFS, f"is cut off: it has {size} bytes of {used}")


def _unpacked(head: bytes) -> bytes:
    """The first bytes after decompression; of an uncompressed content, its own."""
    try:
        if head.startswith(b"\x1f\x8b"):
            return zlib.decompressobj(wbits=31).decompress(head, UNPACKED_BYTES)
        if head.startswith(b"\xfd7zXZ\x00"):
            return lzma.LZMADecompressor().decompress(head, UNPACKED_BYTES)
    except (zlib.error, lzma.LZMAError, MemoryError):
        return b""
    return head


def _refused(kind: DiskFormat, why: str) -> Invalid:
    return Invalid(f"The {kind.value} image {why}.", field="disk_format")
