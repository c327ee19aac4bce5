from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import socket
import struct
import tarfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from openstack.connection import Connection

from kumoi.base.errors import TooLarge
from kumoi.base.process import run
from kumoi.cloud.api.image import file as file_api
from kumoi.cloud.domain.caller import Caller
from kumoi.cloud.domain.image import content
from kumoi.cloud.drivers.image import inspect
from kumoi.config import changed
from tests.stories.image.test_image import change, queued

if TYPE_CHECKING:
    from pathlib import Path

    from tests.running_cloud import RunningCloud

OCTETS = {"Content-Type": "application/octet-stream"}
BOUND_S = 10.0


def put(owner: Connection, image_id: str, data: bytes) -> Any:
    return owner.image.put(f"/images/{image_id}/file", data=data, headers=OCTETS)


def status(owner: Connection, image_id: str) -> str:
    return str(owner.image.get(f"/images/{image_id}").json()["status"])


def kept(cloud: RunningCloud) -> set[str]:
    """The names of all files but the lock."""
    return {path.name for path in cloud.here.image_dir.iterdir()} - {".lock"}


@contextlib.contextmanager
def begun(
    cloud: RunningCloud, owner: Connection, image_id: str, *, length: int
) -> Iterator[socket.socket]:
    """An upload of which only the head has been sent."""
    head = (
        f"PUT /image/v2/images/{image_id}/file HTTP/1.1\r\nHost: x\r\n"
        f"Content-Length: {length}\r\nContent-Type: application/octet-stream\r\n"
        f"X-Auth-Token: {owner.auth_token}\r\n\r\n"
    )
    address = httpx.URL(cloud.url)
    with socket.create_connection((address.host, address.port or 80), BOUND_S) as line:
        line.sendall(head.encode())
        yield line


def rootfs() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("etc"), None)
    return packed.getvalue()


def squashfs(*, used_bytes: int = 96) -> bytes:
    """As much of one as the image API looks at."""
    return struct.pack("<4s24xHH8xQ", b"hsqs", 4, 0, used_bytes).ljust(96, b"\0")


def test_what_goes_in_comes_out_with_its_hashes(demo: Connection, tmp_path: Path) -> None:
    data = os.urandom(3 * file_api.BLOCK_BYTES + 17)
    (tmp_path / "disk").write_bytes(data)
    made = demo.image.create_image(
        "disk", filename=str(tmp_path / "disk"), disk_format="raw", container_format="bare"
    )
    shown = demo.image.get_image(made.id)
    assert (shown.status, shown.size, shown.virtual_size) == ("active", len(data), len(data))
    assert shown.checksum == hashlib.md5(data).hexdigest()
    assert (shown.hash_algo, shown.hash_value) == ("sha512", hashlib.sha512(data).hexdigest())
    answer = demo.image.get(f"/images/{made.id}/file")
    assert answer.content == data
    assert answer.headers["Content-MD5"] == shown.checksum
    assert answer.headers["Content-Length"] == str(len(data))


def test_a_part_is_read_alone(demo: Connection) -> None:
    key = queued(demo)["id"]
    put(demo, key, b"0123456789")
    for asked, got in (("bytes=2-4", b"234"), ("bytes=7-", b"789"), ("bytes=-2", b"89")):
        answer = demo.image.get(f"/images/{key}/file", headers={"Range": asked})
        assert (answer.status_code, answer.content) == (206, got)
    beyond = demo.image.get(f"/images/{key}/file", headers={"Range": "bytes=10-"})
    assert beyond.status_code == 400


def test_content_comes_once(demo: Connection) -> None:
    key = queued(demo)["id"]
    assert demo.image.get(f"/images/{key}/file").status_code == 204
    assert put(demo, key, b"first").status_code == 204
    assert put(demo, key, b"second").status_code == 409
    assert demo.image.get(f"/images/{key}/file").content == b"first"
    refused = change(demo, key, {"op": "replace", "path": "/disk_format", "value": "iso"})
    assert refused.status_code == 403


def test_one_content_is_kept_once_and_goes_with_its_last_image(
    cloud: RunningCloud, demo: Connection
) -> None:
    data = os.urandom(1000)
    name = hashlib.sha256(data).hexdigest()
    first, second = queued(demo)["id"], queued(demo)["id"]
    put(demo, first, data)
    put(demo, second, data)
    demo.image.delete_image(first)
    assert name in kept(cloud)
    assert demo.image.get(f"/images/{second}/file").content == data
    demo.image.delete_image(second)
    assert name not in kept(cloud)


@pytest.mark.parametrize(
    ("disk_format", "data"),
    [
        ("qcow2", b"nothing of the kind"),
        ("raw", b"QFI\xfb\x00\x00\x00\x03" + bytes(200)),
        ("qcow2", b"QFI\xfb\x00\x00\x00\x03" + bytes(7) + b"\x68" + bytes(200)),
        ("qcow2", b"QFI\xfb\x00\x00\x00\x03" + bytes(16) + b"\xff" * 8 + bytes(1_000)),
        ("root-tar", gzip.compress(b"no archive", mtime=0)),
        ("squashfs", rootfs()),
        ("squashfs", squashfs(used_bytes=4096)),
    ],
    ids=[
        "no qcow2",
        "qcow2 called raw",
        "qcow2 on another file",
        "qcow2 of a size that no store has a number for",
        "no archive",
        "no squashfs",
        "squashfs cut off",
    ],
)
def test_an_image_that_is_not_what_it_says_stays_queued_and_leaves_nothing(
    cloud: RunningCloud, demo: Connection, disk_format: str, data: bytes
) -> None:
    before = kept(cloud)
    key = queued(demo, disk_format=disk_format)["id"]
    answer = put(demo, key, data)
    assert answer.status_code == 400
    assert disk_format in answer.text
    assert status(demo, key) == "queued"
    assert kept(cloud) == before


@pytest.mark.parametrize("disk_format", ["its own", "raw"])
def test_a_root_file_system_goes_by_its_own_name_and_by_the_only_one_the_client_has(
    demo: Connection, disk_format: str
) -> None:
    for own, data in (("root-tar", gzip.compress(rootfs())), ("squashfs", squashfs())):
        key = queued(demo, disk_format=own if disk_format == "its own" else disk_format)["id"]
        assert put(demo, key, data).status_code == 204
        assert status(demo, key) == "active"


def test_a_cut_upload_leaves_the_image_queued_and_no_file(
    cloud: RunningCloud, demo: Connection
) -> None:
    before, key = kept(cloud), queued(demo)["id"]
    with begun(cloud, demo, key, length=9_000_000) as line:
        line.sendall(os.urandom(2 * file_api.BLOCK_BYTES))
        wait_until(lambda: kept(cloud) != before)
    wait_until(lambda: kept(cloud) == before)
    assert status(demo, key) == "queued"
    assert put(demo, key, b"whole").status_code == 204


def test_an_image_larger_than_allowed_is_refused(cloud: RunningCloud, demo: Connection) -> None:
    before, key = kept(cloud), queued(demo)["id"]
    config = changed(cloud.config, image_max_bytes=1000)
    with cloud.services.images.draft(config.image_max_bytes) as draft:
        draft.write(bytes(1000))
        with pytest.raises(Exception, match="too large"):
            draft.write(b"1")
    with begun(cloud, demo, key, length=1 << 50) as line:
        assert line.recv(100).startswith(b"HTTP/1.1 413 ")
    assert kept(cloud) == before


def test_a_project_fills_no_more_than_its_share(cloud: RunningCloud, demo: Connection) -> None:
    first, second = queued(demo)["id"], queued(demo)["id"]
    assert put(demo, first, b"a" * 1000).status_code == 204
    before = kept(cloud)
    config = changed(cloud.config, image_project_max_bytes=1500)
    owner = Caller("u", demo.current_project_id, frozenset({"member"}), "req-1")
    with cloud.services.images.draft(config.image_max_bytes) as draft:
        draft.write(b"b" * 1000)
        with pytest.raises(TooLarge, match="together"):
            content.accept(
                cloud.database,
                config,
                cloud.services.images,
                draft,
                inspect=inspect.check_file,
                caller=owner,
                key=second,
                now=datetime.now(UTC),
            )
    assert status(demo, second) == "queued"
    assert kept(cloud) == before


@pytest.mark.parametrize(
    ("attributes", "headers", "wanted"),
    [
        ({}, {"Content-Type": "application/json"}, 415),
        ({"disk_format": None}, OCTETS, 400),
        ({"container_format": None}, OCTETS, 400),
    ],
)
def test_an_upload_that_cannot_succeed_is_refused_before_it_begins(
    demo: Connection, attributes: dict[str, Any], headers: dict[str, str], wanted: int
) -> None:
    key = queued(demo, **attributes)["id"]
    answer = demo.image.put(f"/images/{key}/file", data=b"x", headers=headers)
    assert answer.status_code == wanted


def test_a_deactivated_image_is_read_by_administrators_only(
    admin: Connection, demo: Connection
) -> None:
    key = queued(demo)["id"]
    assert demo.image.post(f"/images/{key}/actions/deactivate").status_code == 403
    put(demo, key, b"content")
    demo.image.deactivate_image(key)
    assert status(demo, key) == "deactivated"
    assert demo.image.get(f"/images/{key}/file").status_code == 403
    assert admin.image.get(f"/images/{key}/file").content == b"content"
    demo.image.reactivate_image(key)
    assert demo.image.get(f"/images/{key}/file").content == b"content"


def test_the_sweeper_takes_what_a_killed_process_left_and_nothing_else(
    cloud: RunningCloud, demo: Connection
) -> None:
    key, data = queued(demo)["id"], os.urandom(100)
    put(demo, key, data)
    left = {"0" * 64, ".draft-left-over"}
    for name in left:
        (cloud.here.image_dir / name).write_bytes(b"left over")
    with cloud.services.images.draft(cloud.config.image_max_bytes) as draft:
        draft.write(b"still coming in")
        assert set(content.sweep(cloud.database, cloud.services.images)) == left
        assert draft.finish().size == len(b"still coming in")
    assert demo.image.get(f"/images/{key}/file").content == data


def test_two_uploads_at_once_end_with_one_content(demo: Connection) -> None:
    """The slower one is told so."""
    key = queued(demo)["id"]

    def slow() -> Iterator[bytes]:
        yield b"slow"
        assert put(demo, key, b"fast").status_code == 204

    assert demo.image.put(f"/images/{key}/file", data=slow(), headers=OCTETS).status_code == 409
    assert demo.image.get(f"/images/{key}/file").content == b"fast"


@pytest.mark.system
def test_a_disk_that_fills_up_leaves_the_image_queued_and_no_file(
    cloud: RunningCloud, demo: Connection
) -> None:
    """A small file system over the directory of images stands for a full disk."""
    key = queued(demo)["id"]
    directory = cloud.here.image_dir
    run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", directory])
    try:
        answer = put(demo, key, os.urandom(8 << 20))
        assert answer.status_code == 413
        assert "full" in answer.text
        assert kept(cloud) == set()
        assert status(demo, key) == "queued"
        assert put(demo, key, b"small").status_code == 204
        demo.image.delete_image(key)
    finally:
        run(["umount", directory])


def wait_until(reached: Any) -> None:
    until = time.monotonic() + BOUND_S
    while not reached():
        assert time.monotonic() < until
        time.sleep(0.01)
