"""Hosts have images ready before anybody asks for a server."""

from __future__ import annotations

import io
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import msgspec
import pytest
from openstack.connection import Connection

from kumoi.cloud.hostapi.hello import PATH
from kumoi.cloud.hostapi.messages import read_images
from kumoi.cloud.hostapi.things import WantedThings
from kumoi.hosts.first_use import first_run
from kumoi.hosts.install import image as recipe
from tests.plain_http import PLAIN
from tests.running_cloud import HOST_HEADER, RunningCloud
from tests.tarball import tarball

pytestmark = pytest.mark.apis("compute")

WAIT_S = 20
AT_ONCE_S = 4.0  # Less than a hub looks by itself, and much less than a poll lasts.


def listen(cloud: RunningCloud, seen: WantedThings) -> WantedThings:
    """As a host does: an answer when there is news."""
    answer = httpx.get(
        f"{cloud.host.url}{PATH}/wanted",
        params={"epoch": seen.epoch, "since": seen.revision, "wait_s": WAIT_S},
        headers={HOST_HEADER: cloud.host.name},
        timeout=WAIT_S + 5,
        verify=PLAIN,
    )
    answer.raise_for_status()
    return msgspec.json.decode(answer.content, type=WantedThings)


def upload(admin: Connection, name: str, visibility: str) -> str:
    made = admin.image.create_image(
        name,
        disk_format="root-tar",
        container_format="bare",
        visibility=visibility,
        data=root_tar(),
    )
    return str(made.id)


def root_tar() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("sbin/init"))
    return packed.getvalue()


def test_a_host_hears_at_once_of_an_image_that_everybody_may_use(
    cloud: RunningCloud, admin: Connection
) -> None:
    admin.network.create_network(
        name="before"
    )  # A cloud in which nothing ever happened has no news.
    before = cloud.host.wanted()
    with ThreadPoolExecutor(1) as host:
        news = host.submit(listen, cloud, before)
        image_id = upload(admin, "for-all", "public")
        answer = news.result(AT_ONCE_S)
        assert image_id in {image.id for image in read_images(answer.images)}
        assert answer.revision > before.revision
        again = host.submit(listen, cloud, answer)
        upload(admin, "for-me", "private")
        with pytest.raises(TimeoutError):
            again.result(1.0)  # It is no news to a host.
        admin.image.update_image(upload(admin, "shown", "private"), visibility="public")
        assert len(again.result(AT_ONCE_S).images) == len(answer.images) + 1


def test_the_runners_image_is_found_by_name_and_in_nobodys_list(
    admin: Connection, demo: Connection, tmp_path: Path
) -> None:
    file = tmp_path / "image.tar"
    file.write_bytes(tarball())
    assert first_run.ensure_image(admin, recipe.RUNNER, file).uploaded
    found = demo.image.find_image(recipe.RUNNER.name, ignore_missing=False)
    assert found.id not in {image.id for image in demo.image.images()}
    admin.image.update_image(found, is_hidden=False)  # As the release before made it.
    assert not first_run.ensure_image(admin, recipe.RUNNER, file).uploaded
    assert demo.image.get_image(found.id).is_hidden
