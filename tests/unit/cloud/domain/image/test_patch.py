from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kumoi.base.errors import Conflict, Forbidden, Invalid
from kumoi.cloud.domain.image.formats import require_mix
from kumoi.cloud.domain.image.patch import (
    READ_ONLY,
    RESERVED,
    PatchOperation,
    apply,
    require_writable,
)
from kumoi.cloud.store.image.image import Image

AT = datetime(2026, 1, 1, tzinfo=UTC)
IMAGE = Image(
    id="1",
    name="first",
    status="queued",
    visibility="shared",
    owner="p",
    container_format="bare",
    disk_format="raw",
    content_format=None,
    min_disk=0,
    min_ram=0,
    size=None,
    virtual_size=None,
    checksum=None,
    sha512=None,
    sha256=None,
    protected=False,
    os_hidden=False,
    created_at=AT,
    updated_at=AT,
    properties={"colour": "blue"},
)


def test_changes_follow_each_other() -> None:
    steps = [
        PatchOperation("add", "shape", "round"),
        PatchOperation("replace", "shape", "square"),
        PatchOperation("remove", "colour"),
        PatchOperation("replace", "name", None),
        PatchOperation("add", "tags", ["b", "a", "b"]),
    ]
    changed = apply(IMAGE, steps)
    assert changed.properties == {"shape": "square"}
    assert (changed.name, changed.tags) == (None, ("a", "b"))
    assert IMAGE.properties == {"colour": "blue"}


@pytest.mark.parametrize("op", ["replace", "remove"])
def test_a_property_that_is_not_there_cannot_be_changed(op: str) -> None:
    with pytest.raises(Conflict):
        apply(IMAGE, [PatchOperation(op, "shape", "round")])


def test_what_every_image_has_cannot_be_removed() -> None:
    with pytest.raises(Forbidden):
        apply(IMAGE, [PatchOperation("remove", "min_ram")])
    with pytest.raises(Invalid):
        apply(IMAGE, [PatchOperation("replace", "owner", None)])


@pytest.mark.parametrize("name", sorted(READ_ONLY | RESERVED | {"os_glance_x"}))
def test_what_is_not_the_callers_is_not_writable(name: str) -> None:
    with pytest.raises(Forbidden):
        require_writable(name)


def test_amazons_formats_come_in_pairs() -> None:
    assert require_mix("bare", "raw") == ("bare", "raw")
    assert require_mix(None, "aki") == ("aki", "aki")
    assert require_mix("ari", None) == ("ari", "ari")
    assert require_mix(None, None) == (None, None)
    with pytest.raises(Invalid):
        require_mix("ami", "aki")
