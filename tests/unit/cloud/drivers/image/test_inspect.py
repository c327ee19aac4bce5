from __future__ import annotations

import gzip
import io
import lzma
import struct
import tarfile

import pytest

from kumoi.base.errors import Invalid
from kumoi.cloud.drivers.image.inspect import Finding, Kind, check, find


def qcow2(
    *, version: int = 3, backing_at: int = 0, features: int = 0, size: int = 1 << 30
) -> bytes:
    head = struct.pack(">4sIQIIQ", b"QFI\xfb", version, backing_at, 0, 16, size)
    return head.ljust(72, b"\0") + struct.pack(">Q", features) + bytes(32)


def vmdk(descriptor: bytes, *, sectors: int = 2048) -> bytes:
    head = struct.pack("<4sIIQQQQ", b"KDMV", 1, 3, sectors, 128, 1, 20)
    return head.ljust(512, b"\0") + descriptor.ljust(20 * 512, b"\0")


def squashfs(*, used: int, version: int = 4) -> bytes:
    return struct.pack("<4s24xHH8xQ", b"hsqs", version, 0, used)


def tar() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("etc"), None)
    return packed.getvalue()


def test_a_qcow2_disk_says_its_own_size() -> None:
    assert check("qcow2", qcow2(size=7 << 30), b"", 999) == Finding(Kind.QCOW2, 7 << 30)
    assert find(qcow2(version=2, features=4), b"").kind is Kind.QCOW2


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (qcow2(backing_at=104), "backing file"),
        (qcow2(features=0b100), "data file"),
        (qcow2(features=1 << 40), "unknown features"),
        (qcow2(version=4), "version 4"),
        (qcow2()[:60], "cut off"),
        (vmdk(b'createType="monolithicFlat"\nRW 1 FLAT "/etc/shadow" 0\n'), "other files"),
        (vmdk(b'createType="monolithicSparse"\nRW 1 SPARSE "/etc/shadow"\n'), "other files"),
        (vmdk(b'createType="streamOptimized"\nRW 1 FLAT "x" 0\n'), "other files"),
        (vmdk(b""), "other files"),
        (b"# Disk DescriptorFile\nversion=1\n", "other files"),
        (b"KDMV\1\0\0\0", "cut off"),
    ],
)
def test_a_disk_that_could_reach_other_files_is_refused_whatever_it_is_called(
    head: bytes, why: str
) -> None:
    for disk_format in ("qcow2", "vmdk", "raw", "ami"):
        with pytest.raises(Invalid, match=why):
            check(disk_format, head, head[-512:], len(head))


def test_a_vmdk_in_one_file_is_taken() -> None:
    head = vmdk(b'createType="streamOptimized"\nRDONLY 2048 SPARSE "disk.vmdk"\n')
    assert check("vmdk", head, b"", 1) == Finding(Kind.VMDK, 2048 * 512)


@pytest.mark.parametrize(
    ("head", "tail", "kind"),
    [
        (tar(), b"", Kind.ROOT_TAR),
        (gzip.compress(tar(), mtime=0), b"", Kind.ROOT_TAR),
        (lzma.compress(tar()), b"", Kind.ROOT_TAR),
        (b"\x28\xb5\x2f\xfd rest", b"", Kind.ROOT_TAR),
        (squashfs(used=48), b"", Kind.SQUASHFS),
        (b"vhdxfile", b"", Kind.VHDX),
        (b"conectix", b"", Kind.VHD),
        (b"disk", b"conectix", Kind.VHD),
        (bytes(64) + b"\x7f\x10\xda\xbe", b"", Kind.VDI),
        (bytes(0x8001) + b"CD001", b"", Kind.ISO),
        (b"WithoutFreeSpace", b"", Kind.PLOOP),
        (b"WithouFreSpacExt", b"", Kind.PLOOP),
        (gzip.compress(b"no archive", mtime=0), b"", Kind.RAW),
        (b"\x1f\x8b broken", b"", Kind.RAW),
        (b"\xfd7zXZ\x00 broken", b"", Kind.RAW),
        (b"", b"", Kind.RAW),
    ],
)
def test_content_is_known_by_its_own_marks(head: bytes, tail: bytes, kind: Kind) -> None:
    assert find(head, tail).kind is kind


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"hsqs", "header is cut off"),
        (squashfs(used=48, version=3), "version 3"),
        (squashfs(used=4096), "it has 48 bytes of 4096"),
    ],
)
def test_a_squashfs_file_that_nobody_could_unpack_is_refused_at_once(
    content: bytes, why: str
) -> None:
    for disk_format in ("squashfs", "raw"):
        with pytest.raises(Invalid, match=why):
            check(disk_format, content, b"", len(content))


def test_raw_is_what_shows_no_mark_or_a_root_file_system() -> None:
    assert check("raw", b"boot", b"", 4) == Finding(Kind.RAW, 4)
    assert check("raw", gzip.compress(tar(), mtime=0), b"", 4).kind is Kind.ROOT_TAR
    with pytest.raises(Invalid, match="disk_format is raw, the content is vhdx"):
        check("raw", b"vhdxfile", b"", 8)


def test_amazons_formats_are_not_looked_at_further() -> None:
    assert check("ami", b"anything", b"", 8).kind is Kind.RAW


def test_a_wrong_name_is_refused_with_both_names() -> None:
    with pytest.raises(Invalid, match="disk_format is iso, the content is nothing known"):
        check("iso", b"text", b"text", 4)
