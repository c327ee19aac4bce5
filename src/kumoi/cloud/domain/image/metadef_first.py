"""The metadata definitions that a new cloud has: what images and servers of this cloud say of themselves,
by the names that OpenStack's tools use. Called when a cloud is set up; an operator may change or delete
them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.cloud.domain.image import metadef
from kumoi.cloud.domain.image.metadef import MetadefAssociationRequest, MetadefNamespaceRequest
from kumoi.cloud.hostapi.offer import Capability
from kumoi.cloud.store.image import metadef as store
from kumoi.cloud.store.image.metadef import MetadefKind
from kumoi.cloud.store.listing import Listing

IMAGE, SERVER, FLAVOR = "OS::Glance::Image", "OS::Nova::Server", "OS::Nova::Flavor"


def text(title: str, description: str, *, enum: tuple[str, ...] = ()) -> dict[str, Any]:
    found = {"title": title, "description": description, "type": "string"}
    return {**found, "enum": list(enum)} if enum else found


def flag(title: str) -> dict[str, Any]:
    return {"title": title, "type": "boolean"}


ARCHITECTURES = ("x86_64", "aarch64", "i686", "armv7l", "ppc64le", "riscv64", "s390x")
NAMESPACES: dict[str, tuple[str, str, tuple[str, ...], dict[str, dict[str, Any]]]] = {
    "OS::Glance::CommonImageProperties": (
        "Common image properties",
        "What an image is of.",
        (IMAGE,),
        {
            "os_distro": text(
                "Distribution", "The operating system, in lower case: debian, fedora"
            ),
            "os_version": text(
                "Version", "The operating system's version, as its distributor has it"
            ),
            "architecture": text(
                "Architecture", "The processor that the image is for", enum=ARCHITECTURES
            ),
            "instance_uuid": text(
                "Server", "The server that the image was made of, for a snapshot"
            ),
        },
    ),
    "OS::OperatingSystem": (
        "Operating system",
        "How to log in to servers of an image.",
        (IMAGE, SERVER),
        {
            "os_admin_user": text("Administrator", "The user that the image's servers start with"),
            "os_type": text("Family", "The kind of operating system", enum=("linux", "windows")),
        },
    ),
    "OS::Compute::Capabilities": (
        "Capabilities of hosts",
        "Which hosts a flavor's servers may have: those that can do this with a running server.",
        (FLAVOR,),
        {
            Capability.LIVE_ADDRESSES: flag("Addresses change while it runs"),
            Capability.PAUSE: flag("Can be paused"),
            Capability.SNAPSHOT: flag("Can be made an image of"),
        },
    ),
}
PREFIXES = {(FLAVOR, "OS::Compute::Capabilities"): "capabilities:"}


def ensure(connection: Connection, now: datetime) -> None:
    """Make them in a cloud that has no definitions."""
    if store.page(connection, Listing(limit=1), owner=None, resource_types=[]):
        return
    for name, (title, description, types, properties) in NAMESPACES.items():
        wanted = MetadefNamespaceRequest(
            namespace=name,
            owner="admin",
            visibility="public",
            protected=True,
            display_name=title,
            description=description,
            items={MetadefKind.PROPERTY: properties},
            associations=[
                MetadefAssociationRequest(resource_type=each, prefix=PREFIXES.get((each, name)))
                for each in types
            ],
        )
        metadef.create(connection, wanted, now)
