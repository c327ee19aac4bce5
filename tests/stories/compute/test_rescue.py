"""Rescue: a server is started from another image, and goes back to its own disk."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from openstack import exceptions
from openstack.connection import Connection
from tests.stories.compute.conftest import Workbench
from tests.tarball import tarball

from kumoi.cloud.hostapi.offer import Capability, Offer


@pytest.fixture
def able(bench: Workbench) -> Iterator[Workbench]:
    """A host that can."""
    host = bench.cloud.host
    host.offers = {"lxc": Offer(formats=["root-tar"], capabilities=list(Capability))}
    host.register()
    yield bench
    host.offers = {}
    host.register()


def status(bench: Workbench, server: object) -> tuple[str, str, str | None]:
    shown = bench.show(server)
    return shown.status, shown.vm_state, shown.task_state


def test_a_server_is_rescued_with_another_image_and_goes_back(
    able: Workbench, demo: Connection
) -> None:
    other = demo.image.create_image(
        "rescue", data=tarball(), disk_format="root-tar", container_format="bare"
    )
    made = able.active()
    boot = able.spec(made).boot
    answer = demo.compute.post(
        f"/servers/{made.id}/action", json={"rescue": {"rescue_image_ref": other.id}}
    )
    assert (answer.status_code, list(answer.json())) == (200, ["adminPass"])
    assert status(able, made) == ("ACTIVE", "active", "rescuing")
    spec = able.spec(made)
    assert spec.rescue is not None
    assert (spec.rescue.id, spec.boot, spec.build) == (other.id, boot + 1, 0)
    able.cloud.host.settle()
    assert status(able, made) == ("RESCUE", "rescued", None)
    for attempt in (
        demo.compute.stop_server,
        demo.compute.rescue_server,
        demo.compute.shelve_server,
        demo.compute.pause_server,
    ):
        with pytest.raises(exceptions.ConflictException):
            attempt(made)
    demo.network.create_security_group(name="while-rescued")
    demo.compute.add_security_group_to_server(made, {"name": "while-rescued"})
    assert {"name": "while-rescued"} in able.show(made).security_groups
    demo.compute.remove_security_group_from_server(made, {"name": "while-rescued"})
    demo.compute.unrescue_server(made)
    assert status(able, made) == ("RESCUE", "rescued", "unrescuing")
    assert able.spec(made).rescue is None
    able.cloud.host.settle()
    assert status(able, made) == ("ACTIVE", "active", None)
    with pytest.raises(exceptions.ConflictException):
        demo.compute.unrescue_server(made)


def test_without_an_image_it_is_the_servers_own(able: Workbench, demo: Connection) -> None:
    made = able.active()
    demo.compute.stop_server(made)
    able.cloud.host.settle()
    demo.compute.rescue_server(made, admin_pass="secret")
    spec = able.spec(made)
    assert spec.rescue is not None
    assert (spec.rescue.id, spec.power) == (able.image_id, "running")
    with pytest.raises(exceptions.BadRequestException):
        demo.compute.rescue_server(able.active(), image_ref="11111111-2222-4333-8444-555555555555")


def test_one_that_cannot_be_started_so_goes_back(able: Workbench, demo: Connection) -> None:
    made = able.active()
    demo.compute.rescue_server(made)
    able.cloud.host.fail_with = "no such image"
    able.cloud.host.settle()
    assert able.show(made).status == "ERROR"
    able.cloud.host.fail_with = ""
    demo.compute.unrescue_server(made)
    able.cloud.host.settle()
    assert status(able, made) == ("ACTIVE", "active", None)


def test_a_host_that_cannot_rescue_says_so(bench: Workbench, demo: Connection) -> None:
    made = bench.active()
    with pytest.raises(exceptions.HttpException, match="has no rescue") as refused:
        demo.compute.rescue_server(made)
    assert refused.value.status_code == 501
