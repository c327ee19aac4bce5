"""What requests that make or change servers may hold, by version, and what becomes of it."""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import Annotated, Any

import msgspec

from kumoi.base.address import address
from kumoi.base.errors import Invalid
from kumoi.base.ids import is_uuid
from kumoi.cloud.api.compute import shapes
from kumoi.cloud.api.compute.shapes import Count, Flag, LongText, Metadata, Name, Tags, Text
from kumoi.cloud.api.request import Request, fields_set
from kumoi.cloud.domain.compute.networking import Nic
from kumoi.cloud.domain.compute.server_create import HOSTNAME_MAX, ServerRequest
from kumoi.engine.http.bounds import AnyObject, Entries
from kumoi.engine.http.request import UNSET, Body, Unset

SERVERS_MAX = 1_000  # In one request.
NETWORKS_MAX = 32  # Of one server.
NAME_MAX = 255
PASSWORD_BYTES = 9
PATH_MAX = 4_096  # Of a file; the quota allows less.
REBUILT_COLUMNS = frozenset(
    {"name", "metadata", "description", "hostname", "key_name", "user_data"}
    | {"access_ipv4", "access_ipv6", "disk_config"}
)
V_NETWORKS = (2, 37)
SINCE = {
    "description": (2, 19),
    "tags": (2, 52),
    "trusted_image_certificates": (2, 63),
    "host": (2, 74),
    "hypervisor_hostname": (2, 74),
    "hostname": (2, 90),
    "key_name": (2, 1),
}
UNTIL = {"personality": (2, 56)}
_LABEL = "[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
Hostname = Annotated[
    str, msgspec.Meta(min_length=2, max_length=253, pattern=rf"^{_LABEL}(\.{_LABEL})*\Z")
]
V_FQDN = (2, 94)
DiskConfig = Annotated[str, msgspec.Meta(pattern=r"^(AUTO|MANUAL)\Z", max_length=6)]


class ServerNetwork(Body, kw_only=True):
    uuid: Text | Unset = UNSET
    port: Text | Unset | None = UNSET
    fixed_ip: Text | Unset = UNSET
    tag: Text | Unset = UNSET


class ServerSecurityGroup(Body, kw_only=True):
    name: Text


class File(Body, kw_only=True):
    path: Annotated[
        str, msgspec.Meta(min_length=1, max_length=PATH_MAX, pattern=r"^[^\x00-\x1f\x7f]*\Z")
    ]
    contents: LongText


class Disk(Body, kw_only=True):
    """Clients send the image itself as a block device: that, and nothing else, is understood."""

    boot_index: Count | Unset | None = UNSET
    uuid: Text | Unset | None = UNSET
    source_type: Text | Unset = UNSET
    destination_type: Text | Unset | None = UNSET
    delete_on_termination: Flag | Unset = UNSET
    volume_size: Count | Unset | None = UNSET
    device_name: Text | Unset | None = UNSET
    guest_format: Text | Unset | None = UNSET
    device_type: Text | Unset | None = UNSET
    disk_bus: Text | Unset | None = UNSET
    tag: Text | Unset = UNSET
    volume_type: Text | Unset | None = UNSET
    no_device: Any = UNSET


class ServerChanges(
    Body,
    kw_only=True,
    rename={
        "access_ipv4": "accessIPv4",
        "access_ipv6": "accessIPv6",
        "disk_config": "OS-DCF:diskConfig",
    },
):
    """What a server is renamed with."""

    name: Name | Unset = UNSET
    description: LongText | Unset | None = UNSET
    hostname: Hostname | Unset = UNSET
    access_ipv4: Text | Unset | None = UNSET
    access_ipv6: Text | Unset | None = UNSET
    disk_config: DiskConfig | Unset = UNSET


class ServerNew(
    Body,
    kw_only=True,
    rename={
        "flavor": "flavorRef",
        "image": "imageRef",
        "admin_pass": "adminPass",
        "access_ipv4": "accessIPv4",
        "access_ipv6": "accessIPv6",
        "disk_config": "OS-DCF:diskConfig",
        "hints": "OS-SCH-HNT:scheduler_hints",
    },
):
    name: Name
    flavor: Text | int
    image: Text | Unset = UNSET
    networks: (
        Annotated[list[ServerNetwork], msgspec.Meta(max_length=NETWORKS_MAX)] | Text | Unset
    ) = UNSET
    key_name: Text | Unset = UNSET
    security_groups: Entries[ServerSecurityGroup] | Unset = UNSET
    user_data: LongText | Unset | None = UNSET
    metadata: Metadata | Unset = UNSET
    tags: Tags | Unset = UNSET
    description: LongText | Unset | None = UNSET
    hostname: Hostname | Unset = UNSET
    config_drive: Flag | Unset | None = UNSET
    admin_pass: Text | Unset = UNSET
    access_ipv4: Text | Unset | None = UNSET
    access_ipv6: Text | Unset | None = UNSET
    availability_zone: Text | Unset = UNSET
    host: Text | Unset = UNSET
    hypervisor_hostname: Text | Unset = UNSET
    disk_config: DiskConfig | Unset = UNSET
    min_count: Count | Unset = UNSET
    max_count: Count | Unset = UNSET
    return_reservation_id: Flag | Unset = UNSET
    block_device_mapping_v2: Entries[Disk] | Unset = UNSET
    block_device_mapping: Entries[AnyObject] | Unset = UNSET
    personality: Entries[File] | Unset = UNSET
    trusted_image_certificates: Entries[Text] | Unset | None = UNSET
    hints: AnyObject | Unset = UNSET


class ServerCreate(
    Body,
    kw_only=True,
    rename={"hints": "os:scheduler_hints", "old_hints": "OS-SCH-HNT:scheduler_hints"},
):
    server: ServerNew
    hints: AnyObject | Unset = UNSET
    old_hints: AnyObject | Unset = UNSET


class ServerUpdate(Body, kw_only=True):
    server: ServerChanges


def new_server(request: Request, body: ServerCreate) -> ServerRequest:
    """Raises Invalid, and Forbidden for fields that only an administrator may set."""
    wanted = body.server
    shapes.require_versions(request, wanted, since=SINCE, until=UNTIL)
    min_count, max_count = _counts(wanted)
    _require_room_for_numbers(wanted, max_count)
    zone, host_id = _place(request, wanted)
    nics, may_lack = _nics(request, wanted)
    groups = [] if wanted.security_groups is UNSET else wanted.security_groups
    # Before servers had a description, the name was shown as one.
    default_description = wanted.name if request.microversion < SINCE["description"] else None
    return ServerRequest(
        name=wanted.name,
        flavor_id=str(wanted.flavor),
        image_id=_image(wanted),
        min_count=min_count,
        max_count=max_count,
        nics=nics,
        may_lack_network=may_lack,
        key_name=_or_none(wanted.key_name),
        security_groups=tuple(dict.fromkeys(group.name for group in groups)),
        user_data=user_data(wanted.user_data),
        metadata={} if wanted.metadata is UNSET else wanted.metadata,
        tags=() if wanted.tags is UNSET else tuple(wanted.tags),
        description=_or_none(wanted.description) or default_description,
        hostname=hostname(request, wanted.hostname),
        config_drive=wanted.config_drive not in (UNSET, None, "")
        and shapes.flag(wanted.config_drive, "config_drive"),
        access_ipv4=shapes.ip_address(_or_none(wanted.access_ipv4), "accessIPv4", 4),
        access_ipv6=shapes.ip_address(_or_none(wanted.access_ipv6), "accessIPv6", 6),
        zone=zone,
        host_id=host_id,
        disk_config=_or_none(wanted.disk_config) or "MANUAL",
        group_id=_group_id(body),
        files=files(wanted.personality),
    )


def hostname(request: Request, value: str | Unset) -> str | None:
    """With a domain since 2.94. Raises Invalid."""
    if value is UNSET:
        return None
    if "." in value and request.microversion < V_FQDN:
        raise shapes.invalid("hostname", value, f"'{value}' does not match '^{_LABEL}$'")
    return value


def changes(request: Request, body: ServerChanges) -> dict[str, Any]:
    """The columns that change. Raises Invalid."""
    shapes.require_versions(request, body, since=SINCE)
    hostname(request, body.hostname)
    values = fields_set(body)
    for name, version in (("access_ipv4", 4), ("access_ipv6", 6)):
        if name in values:
            values[name] = shapes.ip_address(values[name], f"accessIPv{version}", version)
    return values


def user_data(value: str | Unset | None, field: str = "user_data") -> str | None:
    """The Base64 text unchanged, with the line breaks that some encoders add. Raises Invalid."""
    if value is UNSET or value is None:
        return None
    try:
        base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError) as cause:
        raise shapes.invalid(field, value[:64], "it is not a 'base64'") from cause
    return value


def files(personality: list[File] | Unset) -> tuple[dict[str, str], ...]:
    """The files to write into a new disk, as the column has them. Raises Invalid."""
    if personality is UNSET:
        return ()
    return tuple(
        {
            "path": file.path,
            "contents": "".join((user_data(file.contents, "personality") or "").split()),
        }
        for file in personality
    )


def image_id(ref: str) -> str:
    """The id in an `imageRef`, which old clients send as a link. Raises Invalid."""
    key = ref.rstrip("/").rpartition("/")[2]
    if not is_uuid(key):
        raise shapes.invalid("imageRef", ref, f"'{ref}' is not a 'uuid'")
    return key


def password(wanted: str | Unset) -> str:
    """The password in the answer. It is stored nowhere: clients only expect that there is one."""
    return secrets.token_urlsafe(PASSWORD_BYTES) if wanted is UNSET else wanted


def rebuilt(request: Request, body: Any) -> dict[str, Any]:
    """The columns that change with a rebuild. Raises Invalid."""
    hostname(request, body.hostname)
    values = {name: value for name, value in fields_set(body).items() if name in REBUILT_COLUMNS}
    for name, version in (("access_ipv4", 4), ("access_ipv6", 6)):
        if name in values:
            values[name] = shapes.ip_address(values[name], f"accessIPv{version}", version)
    if "user_data" in values:
        values["user_data"] = user_data(values["user_data"])
    values["files"] = list(files(body.personality)) or None
    if body.key_name is None:
        values["ssh_keys"] = []
    return values


def _counts(wanted: ServerNew) -> tuple[int, int]:
    """How many servers to make, at least and at most. Raises Invalid."""
    least = 1
    if wanted.min_count is not UNSET:
        least = shapes.count(wanted.min_count, "min_count", least=1, most=SERVERS_MAX)
    most = least
    if wanted.max_count is not UNSET:
        most = shapes.count(wanted.max_count, "max_count", least=1, most=SERVERS_MAX)
    if least > most:
        raise Invalid("min_count must be <= max_count", field="min_count")
    return least, most


def _require_room_for_numbers(wanted: ServerNew, most: int) -> None:
    """Raises Invalid where the number that follows each name of several servers makes it too long."""
    if most == 1:
        return
    for field, name, longest in (
        ("name", wanted.name, NAME_MAX),
        ("hostname", (_or_none(wanted.hostname) or "").partition(".")[0], HOSTNAME_MAX),
    ):
        if len(name) + len(f"-{most}") > longest:
            raise shapes.invalid(field, name, f"with a number behind it, it is too long: {longest}")


def _place(request: Request, wanted: ServerNew) -> tuple[str | None, str | None]:
    """The zone, and the host that an administrator asks for: "nova:host1" or `host`, with the name
    of its hypervisor behind it or not, which is the same.
    """
    zone, _, forced = (_or_none(wanted.availability_zone) or "").partition(":")
    first, _, node = forced.partition(":")
    host_id = _or_none(wanted.host) or _or_none(wanted.hypervisor_hostname) or first or node
    if host_id:
        request.caller.check("os_compute_api:servers:create:forced_host")
    return zone or None, host_id or None


def _nics(request: Request, wanted: ServerNew) -> tuple[tuple[Nic, ...] | None, bool]:
    """The interfaces asked for, and whether a server may have none."""
    if wanted.networks is UNSET:
        if request.microversion >= V_NETWORKS:
            raise shapes.invalid("server", "…", "'networks' is a required property")
        return None, True
    if isinstance(wanted.networks, str):
        if request.microversion < V_NETWORKS or wanted.networks not in ("auto", "none"):
            raise shapes.invalid("networks", wanted.networks, "it is not a list")
        return (None, False) if wanted.networks == "auto" else ((), True)
    return (tuple(_nic(network) for network in wanted.networks) or None), True


def _nic(network: ServerNetwork) -> Nic:
    """Raises Invalid."""
    if network.port is not UNSET and network.port is not None:
        if not is_uuid(network.port):
            raise shapes.invalid("networks.port", network.port, f"'{network.port}' is not a 'uuid'")
        if network.fixed_ip is not UNSET:
            raise Invalid(
                f"Specified Fixed IP '{network.fixed_ip}' cannot be used with port '{network.port}': the two cannot be "
                "specified together.",
                field="networks",
            )
        return Nic(port_id=network.port)
    if network.uuid is UNSET:
        raise Invalid("A network or a port is needed.", field="networks")
    if not is_uuid(network.uuid):
        raise Invalid(
            f"Bad networks format: network uuid is not in proper format ({network.uuid})",
            field="networks.uuid",
        )
    fixed = _or_none(network.fixed_ip)
    if fixed is not None:
        try:
            address(fixed)
        except ValueError as cause:
            raise shapes.invalid("networks.fixed_ip", fixed, "it is not an address") from cause
    return Nic(network_id=network.uuid, fixed_ip=fixed)


def _image(wanted: ServerNew) -> str:
    """The image: from `imageRef`, or from a block device that is a local copy of it. Raises Invalid."""
    key = _or_none(wanted.image) or ""
    disks = [] if wanted.block_device_mapping_v2 is UNSET else wanted.block_device_mapping_v2
    for disk in disks:
        if disk.source_type != "image" or disk.destination_type not in ("local", UNSET, None):
            raise Invalid(
                "Block Device Mapping is Invalid: this cloud boots from a local copy of an image "
                "only.",
                field="block_device_mapping_v2",
            )
        if key and disk.uuid not in (key, UNSET, None):
            raise Invalid(
                "Block Device Mapping is Invalid: it names another image.",
                field="block_device_mapping_v2",
            )
        key = key or _or_none(disk.uuid) or ""
    if wanted.block_device_mapping not in (UNSET, []):
        raise Invalid("Block Device Mapping is Invalid: use v2.", field="block_device_mapping")
    if not key:
        raise Invalid("Invalid imageRef provided.", field="imageRef")
    return image_id(key)


def _group_id(body: ServerCreate) -> str | None:
    """The server group, from any of the places where a body may have scheduler hints."""
    for hints in (body.hints, body.old_hints, body.server.hints):
        if hints is not UNSET and "group" in hints:
            group = hints["group"]
            if not isinstance(group, str) or not is_uuid(group):
                raise shapes.invalid("os:scheduler_hints.group", group, "it is not a 'uuid'")
            return group
    return None


def _or_none(value: str | Unset | None) -> str | None:
    return None if value is UNSET else value
