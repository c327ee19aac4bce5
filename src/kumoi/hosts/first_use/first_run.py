"""The first images and flavors of a cloud, and its external network `public`.

They are made by the public API, as any administrator would make them, each time `up` runs; existing
ones stay as they are. Nothing here knows the store.
"""

from __future__ import annotations

import hashlib
import ipaddress
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keystoneauth1.exceptions import ClientException
from openstack.exceptions import SDKException

from kumoi.base.errors import Permanent
from kumoi.components import Api
from kumoi.config import CloudSettings, HostSettings
from kumoi.hosts.install import image

if TYPE_CHECKING:
    from openstack.connection import Connection

DISK_FORMAT = "root-tar"
RECIPE_PROPERTY = "kumoi_recipe"
SHA256_PROPERTY = "kumoi_sha256"
PUBLIC_NETWORK = "public"
PHYSICAL_NETWORK = "physnet1"
FIRST_PROJECT = "demo"
PER_ENVIRONMENT = {"routers": 1, "security_groups": 4, "security_group_rules": 20}
"""Of the network's quota, where Neutron's defaults are few. A group of the environment's own, and one for
each group of servers that is reached from outside; each begins with two rules.
"""
POLL_S = 0.1
SILENT_S = (
    120.0  # An image that was sent is looked through, on a machine that has other work to do.
)
FIRST_FLOATING = 10  # The addresses before it are for the machine and for later use.


@dataclass(frozen=True, slots=True)
class FirstFlavor:
    name: str
    vcpus: int
    ram_mib: int
    disk_gib: int


FLAVORS = (
    FirstFlavor("tiny", 1, 256, 2),
    FirstFlavor("small", 1, 512, 5),
    FirstFlavor("medium", 2, 1024, 10),
    FirstFlavor("large", 2, 4096, 20),
)


def connect(entry: Mapping[str, Any]) -> Connection:
    """A connection by an entry of clouds.yaml. A call whose answer does not come raises ClientException."""
    import openstack  # noqa: PLC0415 - half a second, and not every command needs it

    return openstack.connection.Connection(
        auth=dict(entry["auth"]),
        region_name=entry["region_name"],
        identity_api_version=entry["identity_api_version"],
        cacert=entry["cacert"],
        app_name="kumoi",
        api_timeout=SILENT_S,
    )


def ensure_flavors_and_network(api: Connection, cloud: CloudSettings) -> None:
    """Raises Permanent when the API refuses."""
    try:
        for flavor in FLAVORS if Api.COMPUTE in cloud.apis else ():
            if api.compute.find_flavor(flavor.name) is None:
                api.compute.create_flavor(
                    name=flavor.name, vcpus=flavor.vcpus, ram=flavor.ram_mib, disk=flavor.disk_gib
                )
        _ensure_public_network(api, cloud)
        _ensure_room_for_environments(api, cloud)
    except (SDKException, ClientException) as cause:
        raise Permanent(f"the first flavors and networks could not be made: {cause}") from cause


def wait_for_host(api: Connection, host: HostSettings, *, timeout_s: float) -> None:
    """Wait until this host accepts servers. Raises Permanent when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            found = api.compute.hypervisors(details=True)
            if any(each.name == host.name and each.state == "up" for each in found):
                return
        except (SDKException, ClientException) as cause:
            raise Permanent(f"the hosts could not be listed: {cause}") from cause
        if time.monotonic() > deadline:
            raise Permanent(
                f"the host {host.name} did not report within {timeout_s:g} s; "
                f"see {host.log_dir / 'agent.log'}"
            )
        time.sleep(POLL_S)


@dataclass(frozen=True, slots=True)
class EnsuredImage:
    """`sha256` is the hash by which hosts name the image's content."""

    sha256: str
    uploaded: bool


def ensure_image(api: Connection, recipe: image.Recipe, file: Path) -> EnsuredImage:
    """Upload a recipe's image, unless the cloud has it. One made by an older version of the recipe
    is deleted after that. Raises Permanent when the API refuses.
    """
    try:
        key = image.key(recipe)
        keys = [
            (found, (found.properties or {}).get(RECIPE_PROPERTY))
            for is_hidden in (False, True)
            for found in api.image.images(name=recipe.name, is_hidden=is_hidden)
        ]
        ours = [(found, its_key) for found, its_key in keys if its_key is not None]
        for found, its_key in ours:
            if its_key == key and found.status == "active":
                if found.is_hidden != recipe.hidden:
                    api.image.update_image(found, is_hidden=recipe.hidden)
                return EnsuredImage(str(found.properties[SHA256_PROPERTY]), uploaded=False)
        with file.open("rb") as opened:
            sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
        api.image.create_image(
            recipe.name,
            filename=str(file),
            allow_duplicates=True,
            disk_format=DISK_FORMAT,
            container_format="bare",
            visibility="public",
            meta={
                "os_hidden": recipe.hidden,
                "os_distro": recipe.distribution,
                "os_admin_user": recipe.user,
                RECIPE_PROPERTY: key,
                SHA256_PROPERTY: sha256,
            },
        )
        for found, _its_key in ours:
            api.image.delete_image(found, ignore_missing=True)
    except (SDKException, ClientException) as cause:
        raise Permanent(f"the image {recipe.name} could not be uploaded: {cause}") from cause
    return EnsuredImage(sha256, uploaded=True)


def _ensure_room_for_environments(api: Connection, cloud: CloudSettings) -> None:
    """The first tenant may have as many environments as the pipeline lets it have. What somebody has set
    stays.
    """
    project = api.identity.find_project(FIRST_PROJECT)
    if project is None:
        return
    has, usual = api.network.get_quota(project.id), api.network.get_quota_default(project.id)
    wanted = {
        name: cloud.project_environments * each + usual[name]
        for name, each in PER_ENVIRONMENT.items()
        if has[name] == usual[name]
    }
    if wanted:
        api.network.update_quota(project.id, **wanted)


def _ensure_public_network(api: Connection, cloud: CloudSettings) -> None:
    network = api.network.find_network(PUBLIC_NETWORK)
    if network is None:
        network = api.network.create_network(
            name=PUBLIC_NETWORK,
            is_router_external=True,
            provider_network_type="flat",
            provider_physical_network=PHYSICAL_NETWORK,
        )
    if any(api.network.subnets(network_id=network.id)):
        return
    addresses = ipaddress.IPv4Network(cloud.public_cidr)
    api.network.create_subnet(
        name=PUBLIC_NETWORK,
        network_id=network.id,
        ip_version=4,
        cidr=cloud.public_cidr,
        gateway_ip=cloud.public_address,
        is_dhcp_enabled=False,
        allocation_pools=[
            {"start": str(addresses[FIRST_FLOATING]), "end": str(addresses[-2])},
        ],
    )
