"""A spec says what is asked for and no more; a word that is not known is no guess."""

from __future__ import annotations

import msgspec
import pytest

from kumoi.cloud.hostapi.messages import (
    ImageContent,
    InstanceSpec,
    Power,
    ServerPort,
    read_images,
    read_server,
    server_thing,
)
from kumoi.cloud.hostapi.things import NotUnderstood, Thing, raw

ID = "6f04a590-e910-4720-a682-6d5d9a87d591"
PLAIN = InstanceSpec(id=ID, generation=3, power=Power.RUNNING)
PORT = ServerPort(id=ID, mac="02:00:00:00:01:01", mtu=1400, name="eth0")


def with_spec(spec: bytes) -> Thing:
    return Thing(kind="server", id=ID, generation=3, spec=msgspec.Raw(spec))


def test_what_is_at_its_default_does_not_travel() -> None:
    assert bytes(server_thing(PLAIN).spec) == b'{"power":"running"}'


def test_a_host_reads_what_the_control_plane_wrote() -> None:
    server = msgspec.structs.replace(
        PLAIN, ports=[PORT], image=ImageContent(id="i", sha256="00", disk_format="raw"), boot=2
    )
    sent = msgspec.json.decode(raw(server_thing(server)), type=Thing)
    assert read_server(sent) == server


def test_a_server_says_whose_it_is_beside_its_spec_where_the_release_before_reads_over_it() -> None:
    server = msgspec.structs.replace(PLAIN, owner="project")
    thing = server_thing(server)
    assert (thing.owner, bytes(thing.spec)) == ("project", b'{"power":"running"}')
    assert read_server(msgspec.json.decode(raw(thing), type=Thing)) == server


def test_an_absent_server_is_an_absent_thing() -> None:
    gone = server_thing(msgspec.structs.replace(PLAIN, power=Power.ABSENT))
    assert (gone.absent, bytes(gone.spec)) == (True, b"{}")


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (b'{"power":"hibernated"}', "hibernated"),
        (b'{"power":"absent"}', "absent"),
        (b'{"power":"running","sealed":true}', "sealed"),
        (b'{"power":"running","ports":[{"id":"p","mac":"m","mtu":1,"name":"e","vlan":3}]}', "vlan"),
        (b'{"power":"running","vcpus":"two"}', "vcpus"),
        (b'{"power":', "truncated"),
    ],
)
def test_a_word_that_is_not_known_is_not_understood(spec: bytes, why: str) -> None:
    with pytest.raises(NotUnderstood, match=why):
        read_server(with_spec(spec))


def test_an_image_for_newer_hosts_harms_no_other() -> None:
    known = ImageContent(id="i", sha256="00", disk_format="raw")
    newer = msgspec.Raw(b'{"id":"j","sha256":"11","disk_format":"raw","key":"k"}')
    assert read_images([newer, raw(known)]) == [known]
