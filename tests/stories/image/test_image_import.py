"""Imports: of what was staged, and of what the internet has."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from openstack.connection import Connection

from kumoi.cloud.domain.image import image_import
from tests.running_cloud import IMPORTED_FROM
from tests.tarball import tarball

CONTENT = tarball()
OCTETS = {"Content-Type": "application/octet-stream"}


class Site(BaseHTTPRequestHandler):
    """A web server as there are many."""

    def do_GET(self) -> None:
        if self.path == "/away":
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:1/secret")
            self.end_headers()
        elif self.path == "/nowhere":
            self.send_response(302)
            self.send_header("Location", "http://[")
            self.end_headers()
        elif self.path == "/moved":
            self.send_response(301)
            self.send_header("Location", "/root.tar")
            self.end_headers()
        elif self.path in ("/root.tar", "/cut.tar"):
            self.send_response(200)
            more = 1 if self.path == "/cut.tar" else 0
            self.send_header("Content-Length", str(len(CONTENT) + more))
            self.end_headers()
            self.wfile.write(CONTENT)
        else:
            self.send_error(404)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with ThreadingHTTPServer((IMPORTED_FROM, 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://{IMPORTED_FROM}:{server.server_port}"
        server.shutdown()
        thread.join()


def queued(owner: Connection, disk_format: str = "root-tar") -> Any:
    answer = owner.image.post(
        "/images", json={"name": "i", "disk_format": disk_format, "container_format": "bare"}
    )
    assert answer.headers["OpenStack-image-import-methods"] == "glance-direct,web-download"
    return owner.image.get_image(answer.json()["id"])


def imported(owner: Connection, image: Any, **method: Any) -> Any:
    path = f"/images/{image.id}/import"
    return owner.image.post(path, json={"method": method}, headers={"Accept": "application/json"})


def tasks(owner: Connection, image: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = owner.image.get(f"/images/{image.id}/tasks").json()["tasks"]
    return found


def test_what_was_staged_becomes_an_image(demo: Connection, neighbour: Connection) -> None:
    image = queued(demo)
    path = f"/images/{image.id}"
    assert imported(demo, image, name="glance-direct").status_code == 409
    assert demo.image.put(f"{path}/stage", data=CONTENT, headers=OCTETS).status_code == 204
    shown = demo.image.get(path).json()
    assert (shown["status"], shown["size"], shown["checksum"]) == ("uploading", None, None)
    assert demo.image.get(f"{path}/file").status_code == 204
    assert demo.image.put(f"{path}/stage", data=b"x", headers=OCTETS).status_code == 409
    assert demo.image.put(f"{path}/file", data=b"x", headers=OCTETS).status_code == 409
    assert imported(neighbour, image, name="glance-direct").status_code == 404
    answer = imported(demo, image, name="glance-direct")
    assert (answer.status_code, answer.content) == (202, b"")
    shown = demo.image.get(path).json()
    assert (shown["status"], shown["size"]) == ("active", len(CONTENT))
    assert shown["stores"] == "files"
    assert demo.image.get(f"{path}/file").content == CONTENT
    (task,) = tasks(demo, image)
    assert task["request_id"] == answer.headers["x-openstack-request-id"]
    assert task["input"]["import_req"]["method"] == {"name": "glance-direct"}
    assert (task["status"], task["type"], task["message"]) == ("success", "api_image_import", "")


def test_what_is_staged_and_is_no_image_is_refused_by_its_task(demo: Connection) -> None:
    image = queued(demo, "qcow2")
    demo.image.put(f"/images/{image.id}/stage", data=b"not one", headers=OCTETS)
    assert imported(demo, image, name="glance-direct").status_code == 202
    shown = demo.image.get(f"/images/{image.id}").json()
    assert (shown["status"], shown["size"]) == ("queued", None)
    (task,) = tasks(demo, image)
    assert task["status"] == "failure"
    assert task["message"]


def test_of_imports_that_are_tried_without_end_the_newest_are_remembered(
    demo: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_import, "KEPT_MAX", 2)
    image, other = queued(demo, "qcow2"), queued(demo, "qcow2")
    for tried in (other, image, image, image):
        demo.image.put(f"/images/{tried.id}/stage", data=b"not one", headers=OCTETS)
        assert imported(demo, tried, name="glance-direct").status_code == 202
    assert [len(tasks(demo, each)) for each in (image, other)] == [2, 1]


def test_the_internet_gives_an_image(demo: Connection, site: str) -> None:
    for path in ("/root.tar", "/moved"):
        image = queued(demo)
        assert imported(demo, image, name="web-download", uri=site + path).status_code == 202
        shown = demo.image.get(f"/images/{image.id}").json()
        assert (shown["status"], shown["size"]) == ("active", len(CONTENT))
        assert tasks(demo, image)[0]["status"] == "success"


@pytest.mark.parametrize("path", ["/none", "/away", "/nowhere", "/cut.tar"])
def test_what_does_not_come_whole_leaves_the_image_queued(
    demo: Connection, site: str, path: str
) -> None:
    image = queued(demo)
    assert imported(demo, image, name="web-download", uri=site + path).status_code == 202
    assert demo.image.get(f"/images/{image.id}").json()["status"] == "queued"
    (task,) = tasks(demo, image)
    assert task["status"] == "failure"
    assert imported(demo, image, name="web-download", uri=f"{site}/root.tar").status_code == 202
    assert demo.image.get(f"/images/{image.id}").json()["status"] == "active"


@pytest.mark.parametrize(
    ("uri", "status"),
    [
        ("http://127.0.0.1:5000/", 403),
        ("http://localhost/", 403),
        ("http://169.254.169.254/latest/meta-data", 403),
        ("http://10.0.0.1/", 403),
        ("http://[::1]/", 403),
        ("http://[::ffff:10.0.0.1]/", 403),
        ("http://[64:ff9b::7f00:1]/", 403),
        ("http://2130706433/", 403),
        ("http://0/", 403),
        ("http://user:secret@127.0.0.9/", 400),
        ("file:///etc/passwd", 400),
        ("http://", 400),
        ("http://127.0.0.9:x/", 400),
        ("http://127.0.0.9/a b", 400),
        ("http://127.0.0.9/\r\nHost: x", 400),
    ],
)
def test_nothing_comes_from_inside(demo: Connection, uri: str, status: int) -> None:
    image = queued(demo)
    assert imported(demo, image, name="web-download", uri=uri).status_code == status
    assert demo.image.get(f"/images/{image.id}").json()["status"] == "queued"
    assert tasks(demo, image) == []


def test_there_are_two_ways_to_import(demo: Connection) -> None:
    found = demo.image.get("/info/import").json()["import-methods"]["value"]
    assert found == ["glance-direct", "web-download"]
    image = queued(demo)
    answer = imported(demo, image, name="copy-image")
    assert answer.status_code == 501
    assert "nothing to copy" in answer.json()["message"]
    assert imported(demo, image, name="web-download").status_code == 400
    path = f"/images/{image.id}/import"
    for content in (b"", b"{", b"[]", b'{"method": 1}', b"[" * 10_000):
        assert demo.image.post(path, data=content).status_code == 400
    assert demo.image.post(path, data=b"x" * 20_000).status_code == 413


def test_administrators_see_all_tasks(admin: Connection, demo: Connection) -> None:
    image = queued(demo)
    demo.image.put(f"/images/{image.id}/stage", data=CONTENT, headers=OCTETS)
    imported(demo, image, name="glance-direct")
    (task,) = tasks(demo, image)
    assert demo.image.get("/tasks").status_code == 403
    listed = admin.image.get("/tasks?status=success&limit=1").json()
    assert [each["id"] for each in listed["tasks"]] == [task["id"]]
    assert "input" not in listed["tasks"][0]
    assert admin.image.get(f"/tasks/{task['id']}").json() == task
    assert admin.image.get("/tasks?type=export").json()["tasks"] == []
    assert admin.image.get("/tasks/none").status_code == 404
    assert admin.image.post("/tasks", json={"type": "import"}).status_code == 501
