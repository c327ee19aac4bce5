"""The unit that looks into images' files: what it finds, and what it cannot do."""

from __future__ import annotations

import json
import struct
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kumoi import config
from kumoi.base import process
from kumoi.base.errors import Invalid, Transient
from kumoi.cloud.drivers.image.inspect import DiskFormat, Finding
from kumoi.cloud.drivers.image.inspector_client import InspectorClient
from kumoi.config import CloudSettings
from kumoi.hosts.units import landlock

ROOT = Path(__file__).parents[5]
GIB = 1 << 30
MANY = 50
ATTEMPTS = """
    import json, os, socket, subprocess, sys
    from kumoi.cloud.drivers.image import inspector

    other = sys.argv[1]
    inspector.hold()
    ways = {
        "read": lambda: open(other).read(),
        "write": lambda: open(f"{other}.new", "w").close(),
        "list": lambda: os.listdir("/etc"),
        "network": lambda: socket.socket(socket.AF_INET),
        "program": lambda: subprocess.run(["/bin/true"], check=True),
        "memory": lambda: bytearray(2 << 30),
    }
    done = []
    for name, way in ways.items():
        try:
            way()
        except (OSError, MemoryError, subprocess.SubprocessError):
            continue
        done.append(name)
    print(json.dumps(done))
"""


@pytest.fixture(scope="module")
def client() -> Iterator[InspectorClient]:
    """Of a unit that runs; near the root, so that its socket fits."""
    with tempfile.TemporaryDirectory(prefix="kinsp-", dir="/tmp") as name:
        cloud = CloudSettings(name="kinsp")
        host = config.first_host(cloud, name)
        host.log_dir.mkdir()
        config.write(cloud, host.state)
        config.write(host, host.state)
        unit = process.start(
            [sys.executable, "-m", "kumoi.main", "role", "inspector", "--config", host.state],
            log=host.log_dir / "inspector.log",
            env={"PYTHONPATH": str(ROOT / "src")},
        )
        yield InspectorClient(host.inspector_socket)
        unit.kill()
        unit.wait()


def qcow2(*, backing_at: int = 0) -> bytes:
    head = struct.pack(">4sIQIIQ", b"QFI\xfb", 3, backing_at, 0, 16, GIB)
    return (head.ljust(72, b"\0") + bytes(8)).ljust(1_024, b"\0")


def asked(client: InspectorClient, disk_format: str, content: bytes) -> Finding:
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(content)
        file.seek(0)
        return client.check_file(file, disk_format, len(content))


def test_a_finding_and_a_refusal_reach_who_asked(client: InspectorClient) -> None:
    assert asked(client, "qcow2", qcow2()) == Finding(DiskFormat.QCOW2, GIB)
    assert asked(client, "raw", b"boot") == Finding(DiskFormat.RAW, 4)
    with pytest.raises(Invalid, match="qcow2 image is refused"):
        asked(client, "qcow2", qcow2(backing_at=512))
    with pytest.raises(Invalid, match="disk_format is iso, the content is nothing known"):
        asked(client, "iso", b"text")


def test_it_answers_many_one_after_the_other(client: InspectorClient) -> None:
    began = time.monotonic()
    for _ in range(MANY):
        assert asked(client, "qcow2", qcow2()).kind is DiskFormat.QCOW2
    assert (time.monotonic() - began) / MANY < 0.5


def test_a_file_that_cannot_be_read_fails_alone(client: InspectorClient, tmp_path: Path) -> None:
    for_writing = (tmp_path / "file").open("wb")
    with for_writing, pytest.raises(Transient):
        client.check_file(for_writing, "raw", 4)
    assert asked(client, "raw", b"boot").kind is DiskFormat.RAW


@pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock")
def test_it_reaches_nothing_but_what_it_was_handed(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    argv = [sys.executable, "-I", "-c", textwrap.dedent(ATTEMPTS), str(tmp_path / "other")]
    assert json.loads(process.run(argv).out) == []
