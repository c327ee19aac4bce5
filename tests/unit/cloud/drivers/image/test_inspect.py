"""What an image's content is, and which disks are refused."""

from __future__ import annotations

import gzip
import io
import lzma
import struct
import tarfile
import uuid

import pytest

from kumoi.base.errors import Invalid
from kumoi.cloud.drivers.image import inspect
from kumoi.cloud.drivers.image.inspect import HEAD_BYTES, DiskFormat, Finding, Inspection

GIB = 1 << 30
OWN = b'createType="streamOptimized"\nRDONLY 2048 SPARSE "disk.vmdk"\n'


def inspected(content: bytes, *, block_bytes: int = 1 << 20) -> Inspection:
    inspection = Inspection()
    for start in range(0, len(content), block_bytes):
        inspection.eat(content[start : start + block_bytes])
    return inspection


def found(content: bytes, *, block_bytes: int = 1 << 20) -> Finding:
    return inspected(content, block_bytes=block_bytes).find()


def check(disk_format: str, content: bytes) -> Finding:
    """Of a file no more is read than of a stream, and the same is found."""
    try:
        finding = inspect.check(disk_format, inspected(content), len(content))
    except Invalid as streamed:
        with pytest.raises(Invalid) as read:
            inspect.check_file(io.BytesIO(content), disk_format, len(content))
        assert read.value.message == streamed.message
        raise
    assert inspect.check_file(io.BytesIO(content), disk_format, len(content)) == finding
    return finding


def qcow2(*, version: int = 3, backing_at: int = 0, features: int = 0, size: int = GIB) -> bytes:
    head = struct.pack(">4sIQIIQ", b"QFI\xfb", version, backing_at, 0, 16, size)
    return (head.ljust(72, b"\0") + struct.pack(">Q", features)).ljust(1_024, b"\0")


def vmdk(descriptor: bytes, *, sectors: int = 2048) -> bytes:
    head = struct.pack("<4sIIQQQQIQQ", b"KDMV", 1, 3, sectors, 128, 1, 20, 512, 0, 0)
    return head.ljust(512, b"\0") + descriptor.ljust(20 * 512, b"\0")


def vhd(size: int, *, kind: int = 2) -> bytes:
    head = b"conectix".ljust(40, b"\0") + struct.pack(">Q", size)
    return (head.ljust(60, b"\0") + struct.pack(">I", kind)).ljust(512, b"\0")


METADATA = uuid.UUID("8B7CA206-4790-4B9A-B8FE-575F050F886E").bytes_le
SIZE = uuid.UUID("2FA54224-CD1B-4876-B211-5DBED83BF4B8").bytes_le
PARENT = uuid.UUID("A8D35F2D-B30B-454D-ABF7-D3D84834AB0C").bytes_le


def vhdx(size: int, *items: bytes) -> bytes:
    """With that size, and items that nobody asks for."""
    regions = (
        struct.pack("<4sIII", b"regi", 0, 1, 0) + METADATA + struct.pack("<QII", 1 << 20, 0, 1)
    )
    entries = (*items, SIZE)
    table = struct.pack("<8sHH", b"metadata", 0, len(entries)).ljust(32, b"\0")
    for item in entries:
        table += item + struct.pack("<IIII", 1 << 16, 8, 0, 0)
    whole = b"vhdxfile".ljust(192 << 10, b"\0") + regions
    whole = whole.ljust(1 << 20, b"\0") + table
    return whole.ljust((1 << 20) + (1 << 16), b"\0") + struct.pack("<Q", size) + bytes(1 << 16)


def vdi(size: int, *, kind: int = 1) -> bytes:
    head = (bytes(64) + b"\x7f\x10\xda\xbe").ljust(0x4C, b"\0") + struct.pack("<I", kind)
    return (head.ljust(0x170, b"\0") + struct.pack("<Q", size)).ljust(512, b"\0")


def iso(blocks: int) -> bytes:
    volume = b"\x01CD001\x01".ljust(80, b"\0") + struct.pack("<L", blocks)
    volume = volume.ljust(128, b"\0") + struct.pack("<H", 2048)
    return bytes(0x8000) + volume.ljust(2048, b"\0")


def squashfs(*, used: int, version: int = 4) -> bytes:
    return struct.pack("<4s24xHH8xQ", b"hsqs", version, 0, used)


def tar() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("etc"), None)
    return packed.getvalue()


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        (qcow2(size=7 * GIB), Finding(DiskFormat.QCOW2, 7 * GIB)),
        (qcow2(version=2, features=4 << 40)[:72] + bytes(512), Finding(DiskFormat.QCOW2, GIB)),
        (vmdk(OWN), Finding(DiskFormat.VMDK, 2048 * 512)),
        (vhd(3 * GIB), Finding(DiskFormat.VHD, 3 * GIB)),
        (b"disk" * HEAD_BYTES + vhd(3 * GIB), Finding(DiskFormat.VHD, 3 * GIB)),
        (b"small" + vhd(GIB), Finding(DiskFormat.VHD, GIB)),
        (vdi(5 * GIB), Finding(DiskFormat.VDI, 5 * GIB)),
        (vhdx(6 * GIB), Finding(DiskFormat.VHDX, 6 * GIB)),
        (iso(77), Finding(DiskFormat.ISO, 77 * 2048)),
    ],
)
@pytest.mark.parametrize("block_bytes", [100, 4_096, 1 << 20])
def test_a_disk_says_its_own_size_in_whatever_blocks_it_comes(
    content: bytes, finding: Finding, block_bytes: int
) -> None:
    assert (
        found(content + bytes(HEAD_BYTES) * (content[:4] == b"QFI\xfb"), block_bytes=block_bytes)
        == finding
    )


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (qcow2(backing_at=104), "backing file"),
        (qcow2(features=0b100), "data_file"),
        (qcow2(features=1 << 40), "[Uu]nknown QCOW2 features"),
        (qcow2(version=4), "version"),
        (qcow2()[:60], "cut off"),
        (vmdk(b'createType="monolithicFlat"\nRW 1 FLAT "/etc/shadow" 0\n'), "subformat"),
        (vmdk(b'createType="monolithicSparse"\nRW 1 SPARSE "/etc/shadow"\n'), "extent filenames"),
        (vmdk(b'createType="streamOptimized"\nRW 1 FLAT "x" 0\n'), "other files"),
        (vmdk(b'createType="streamOptimized"\nparentFileNameHint /etc/shadow\n'), "descriptor"),
        (vmdk(b""), "refused"),
        (b"# Disk DescriptorFile\nversion=1\n", "other files"),
        (b"# disk descriptorfile\nversion=1\n", "other files"),
        (b'# no disk\n\n  \r\nversion=1\nRW 1 FLAT "/etc/shadow" 0\n', "other files"),
        (b"version=3\r\n", "other files"),
        (b"COWD".ljust(512, b"\0"), "other files"),
        (b"KDMV\1\0\0\0", "cut off"),
        (b"vhdxfile", "cut off"),
        (vhdx(GIB, PARENT), "other files"),
        (vhdx(GIB).replace(METADATA, bytes(16)), "broken"),
        (vhd(GIB, kind=4), "other files"),
        (vhd(GIB, kind=4) + bytes(HEAD_BYTES) + vhd(GIB), "other files"),
        (vhd(GIB, kind=3) + bytes(HEAD_BYTES) + vhd(GIB, kind=4), "other files"),
        (vdi(GIB, kind=4), "other files"),
        (b"vhdxfile".ljust(1 << 20, b"\0"), "broken"),
        (b"QED\0".ljust(512, b"\0"), "QED"),
    ],
)
def test_a_disk_that_could_reach_other_files_is_refused_whatever_it_is_called(
    content: bytes, why: str
) -> None:
    with pytest.raises(Invalid, match=why):
        found(content)
    for disk_format in ("qcow2", "vmdk", "raw", "ami"):
        with pytest.raises(Invalid):
            check(disk_format, content)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (tar(), DiskFormat.ROOT_TAR),
        (gzip.compress(tar(), mtime=0), DiskFormat.ROOT_TAR),
        (lzma.compress(tar()), DiskFormat.ROOT_TAR),
        (b"\x28\xb5\x2f\xfd rest", DiskFormat.ROOT_TAR),
        (squashfs(used=48), DiskFormat.SQUASHFS),
        (b"WithoutFreeSpace", DiskFormat.PLOOP),
        (b"WithouFreSpacExt", DiskFormat.PLOOP),
        (gzip.compress(b"no archive", mtime=0), DiskFormat.RAW),
        (b"\x1f\x8b broken", DiskFormat.RAW),
        (b"\xfd7zXZ\x00 broken", DiskFormat.RAW),
        (b"", DiskFormat.RAW),
    ],
)
def test_content_is_known_by_its_own_marks(content: bytes, kind: DiskFormat) -> None:
    assert found(content) == Finding(kind)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"hsqs", "cut off"),
        (squashfs(used=48, version=3), "version 3"),
        (squashfs(used=4096), "it has 48 bytes of 4096"),
    ],
)
def test_a_squashfs_file_that_nobody_could_unpack_is_refused_at_once(
    content: bytes, why: str
) -> None:
    for disk_format in ("squashfs", "raw"):
        with pytest.raises(Invalid, match=why):
            check(disk_format, content)


def test_raw_is_what_shows_no_mark_or_a_root_file_system() -> None:
    assert check("raw", b"boot") == Finding(DiskFormat.RAW, 4)
    assert check("raw", gzip.compress(tar(), mtime=0)).kind is DiskFormat.ROOT_TAR
    with pytest.raises(Invalid, match="disk_format is raw, the content is vdi"):
        check("raw", vdi(GIB))


@pytest.mark.parametrize(
    "content",
    [
        qcow2(size=(1 << 64) - 1),
        vhd(1 << 63),
        vdi((1 << 64) - 1),
        vmdk(OWN, sectors=(1 << 64) - 1),
    ],
)
def test_a_size_that_no_disk_has_is_refused(content: bytes) -> None:
    """A store has no such number: the upload was answered with 500, and its image stayed queued."""
    with pytest.raises(Invalid, match="says that its disk has"):
        found(content)


def test_lines_that_lead_to_no_descriptor_take_no_time_to_tell() -> None:
    assert check("raw", b"#" * HEAD_BYTES).kind is DiskFormat.RAW
    assert check("raw", b" \r\n#\n" * (HEAD_BYTES // 6)).kind is DiskFormat.RAW
    assert check("raw", b" " * HEAD_BYTES).kind is DiskFormat.RAW


def test_amazons_formats_are_not_looked_at_further() -> None:
    assert check("ami", b"anything").kind is DiskFormat.RAW


def test_a_wrong_name_is_refused_with_both_names() -> None:
    with pytest.raises(Invalid, match="disk_format is iso, the content is nothing known"):
        check("iso", b"text")
