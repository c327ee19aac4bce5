"""POST /servers/{id}/action: the only key of the body is the action, its value the arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar

import msgspec

from kumoi.base.errors import Gone, Invalid, NotFound, Unsupported
from kumoi.cloud.api.compute import (
    gone,
    rendering,
    server_body,
    server_evacuate,
    server_image,
    server_view,
    shapes,
)
from kumoi.cloud.api.compute.server_body import DiskConfig, File, Hostname
from kumoi.cloud.api.compute.shapes import Count, Flag, LongText, Metadata, Name, Text
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.compute import (
    console,
    floating_ip,
    move,
    rescue,
    server,
    server_action,
    server_create,
    server_delete,
    server_rebuild,
    server_resize,
    shelve,
)
from kumoi.cloud.store.compute.migration import COLD, LIVE
from kumoi.engine import audit
from kumoi.engine.http.bounds import Entries
from kumoi.engine.http.request import UNSET, Body, Reply, Unset

Shape = TypeVar("Shape")
V_UNPIN = (2, 91)
V_LOCK_REASON = (2, 73)
V_LAST_ADDRESSES = (2, 43)
REBUILD_SINCE = {
    "description": (2, 19),
    "key_name": (2, 54),
    "user_data": (2, 57),
    "trusted_image_certificates": (2, 63),
    "hostname": (2, 90),
    "reimage_boot_volume": (2, 93),
}


class Reboot(Body, kw_only=True):
    type: Annotated[
        str, msgspec.Meta(pattern=r"^([Hh][Aa][Rr][Dd]|[Ss][Oo][Ff][Tt])\Z", max_length=4)
    ]


class Rebuild(
    Body,
    kw_only=True,
    rename={
        "image": "imageRef",
        "admin_pass": "adminPass",
        "access_ipv4": "accessIPv4",
        "access_ipv6": "accessIPv6",
        "disk_config": "OS-DCF:diskConfig",
    },
):
    image: Text
    name: Name | Unset = UNSET
    admin_pass: Text | Unset = UNSET
    metadata: Metadata | Unset = UNSET
    description: LongText | Unset | None = UNSET
    hostname: Hostname | Unset = UNSET
    key_name: Text | Unset | None = UNSET
    user_data: LongText | Unset | None = UNSET
    access_ipv4: Text | Unset | None = UNSET
    access_ipv6: Text | Unset | None = UNSET
    disk_config: DiskConfig | Unset = UNSET
    preserve_ephemeral: Flag | Unset = UNSET
    personality: Entries[File] | Unset = UNSET
    trusted_image_certificates: Entries[Text] | Unset | None = UNSET
    reimage_boot_volume: Flag | Unset = UNSET


class Resize(
    Body,
    kw_only=True,
    rename={"flavor": "flavorRef", "disk_config": "OS-DCF:diskConfig"},
):
    flavor: Text | int
    disk_config: DiskConfig | Unset = UNSET


class Lock(Body, kw_only=True):
    locked_reason: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] | Unset = UNSET


class Console(Body, kw_only=True):
    length: Count | Unset | None = UNSET


class SecurityGroupMembership(Body, kw_only=True):
    name: Text


class AddFixedIp(Body, kw_only=True):
    network_id: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] = msgspec.field(
        name="networkId"
    )


class RemoveFixedIp(Body, kw_only=True):
    address: Text


class AddFloatingIp(Body, kw_only=True):
    address: Text
    fixed_address: Text | Unset = UNSET


class RemoveFloatingIp(Body, kw_only=True):
    address: Text


class Rescue(Body, kw_only=True, rename={"admin_pass": "adminPass"}):
    admin_pass: Text | Unset = UNSET
    rescue_image_ref: Text | Unset = UNSET


class Unshelve(Body, kw_only=True):
    availability_zone: Name | Unset | None = UNSET
    host: Name | Unset = UNSET


class MigrationTarget(Body, kw_only=True):
    host: Text | Unset | None = UNSET


class LiveMigration(Body, kw_only=True, rename={"connections_end_s": "kumoi:connections_end_s"}):
    """`connections_end_s` is ours: how long connections of balancers may take to end."""

    host: Text | None
    block_migration: Flag | Unset | None = UNSET
    disk_over_commit: Flag | Unset = UNSET
    force: Flag | Unset = UNSET
    connections_end_s: Annotated[int, msgspec.Meta(ge=0, le=move.EMPTY_MOST_S)] = move.EMPTY_S


class ServerStateReset(Body, kw_only=True):
    state: Annotated[str, msgspec.Meta(pattern=r"^(active|error)\Z", max_length=6)]


@dataclass(frozen=True, slots=True)
class ServerAction:
    """`rule` is the policy of the action; the route, which all actions share, has none of its own."""

    rule: str
    act: Callable[[Request, str, bytes], Reply]


def create(request: Request) -> Reply:
    """Raises Invalid unless the body has exactly one key, which is an action."""
    name, raw = single(request)
    if name in REFUSED:
        with request.read() as connection:
            server.get(connection, request.caller, request.path["id"])
        raise Unsupported(REFUSED[name])
    if name in gone.ACTIONS:
        raise Gone(gone.WORDS)
    if name not in ACTIONS:
        raise Invalid(f"There is no such action: {name}", field=name)
    action = ACTIONS[name]
    request.caller.check(action.rule, request.caller.project_id)
    audit.about(request.path["id"], action=f"update/{name}")
    return action.act(request, name, raw)


def single(request: Request) -> tuple[str, bytes]:
    """An action and its arguments, which are the only key of a body. Raises Invalid."""
    body = request.parse(dict[str, msgspec.Raw])
    if len(body) != 1:
        raise Invalid("There must be exactly one action in the body.", field="body")
    ((name, raw),) = body.items()
    return name, bytes(raw)


def read(name: str, raw: bytes, shape: type[Shape]) -> Shape:
    """The arguments of an action. Raises Invalid."""
    try:
        return msgspec.json.decode(raw, type=shape)
    except msgspec.ValidationError as cause:
        text, _, path = str(cause).partition(" - at `$")
        field = name + path.rstrip("`")
        raise Invalid(f"Invalid input for field/attribute {field}. {text}", field=field) from cause
    except msgspec.DecodeError as cause:  # What is inside was skipped until now.
        raise Invalid(f"Invalid input for field/attribute {name}: no JSON", field=name) from cause


def remote_console(request: Request) -> Reply:
    """Always refused; the route exists because clients call it for any server."""
    with request.read() as connection:
        server.get(connection, request.caller, request.path["id"])
    raise Unsupported("A container has no screen; use the console output or SSH.")


def _move(
    change: Callable[..., None], *, status: int = 202
) -> Callable[[Request, str, bytes], Reply]:
    """An action without arguments."""

    def act(request: Request, _name: str, _raw: bytes) -> Reply:
        now = request.services.clock.now()
        with request.write() as connection:
            change(connection, request.caller, request.path["id"], now)
        return Reply(status)

    return act


def _reboot(request: Request, name: str, raw: bytes) -> Reply:
    hard = read(name, raw, Reboot).type.upper() == "HARD"
    now = request.services.clock.now()
    with request.write() as connection:
        server_action.reboot(connection, request.caller, request.path["id"], now, hard=hard)
    return Reply(202)


def _rebuild(request: Request, name: str, raw: bytes) -> Reply:
    body = read(name, raw, Rebuild)
    shapes.require_versions(request, body, since=REBUILD_SINCE, until=server_body.UNTIL)
    values = server_body.rebuilt(request, body)
    now = request.services.clock.now()
    with request.write() as connection:
        if isinstance(body.key_name, str):
            values["ssh_keys"] = server_create.keys(connection, request.caller, body.key_name)
        row = server_rebuild.begin(
            connection,
            request.caller,
            request.path["id"],
            now,
            image_id=server_body.image_id(body.image),
            values=values,
        )
        context = server_view.context(connection, request, [row])
    shown = server_view.updated(request, row, context, rebuilt=True)
    shown["adminPass"] = server_body.password(body.admin_pass)
    location = f"{request.base}/{rendering.VERSION}/servers/{row.id}"
    return Reply(202, {"server": shown}, {"Location": location})


def _resize(request: Request, name: str, raw: bytes) -> Reply:
    wanted = read(name, raw, Resize)
    now = request.services.clock.now()
    with request.write() as connection:
        server_resize.begin(
            connection,
            request.caller,
            request.path["id"],
            now,
            flavor_id=str(wanted.flavor),
            disk_config=None if wanted.disk_config is UNSET else wanted.disk_config,
        )
    return Reply(202)


def _lock(request: Request, name: str, raw: bytes) -> Reply:
    reason = None
    if request.microversion >= V_LOCK_REASON and raw != b"null":
        locked_reason = read(name, raw, Lock).locked_reason
        reason = None if locked_reason is UNSET else locked_reason
    now = request.services.clock.now()
    with request.write() as connection:
        server_action.lock(connection, request.caller, request.path["id"], now, reason=reason)
    return Reply(202)


def _console(request: Request, name: str, raw: bytes) -> Reply:
    """The output that the host has sent last."""
    length = None if raw == b"null" else read(name, raw, Console).length
    most = None if length in (UNSET, None) else shapes.count(length, "length", least=-1)
    with request.read() as connection:
        found = server.get(connection, request.caller, request.path["id"])
        text = console.tail(connection, found, lines=most)
    return Reply(200, {"output": text})


def _group(*, add: bool) -> Callable[[Request, str, bytes], Reply]:
    def act(request: Request, name: str, raw: bytes) -> Reply:
        group = read(name, raw, SecurityGroupMembership).name
        now = request.services.clock.now()
        with request.write() as connection:
            server_action.change_group(
                connection, request.caller, request.path["id"], group, now, add=add
            )
        return Reply(202)

    return act


def _add_address(request: Request, name: str, raw: bytes) -> Reply:
    _require_addresses(request, name)
    network_id = read(name, raw, AddFixedIp).network_id
    now = request.services.clock.now()
    with request.write() as connection:
        server_action.add_address(connection, request.caller, request.path["id"], network_id, now)
    return Reply(202)


def _remove_address(request: Request, name: str, raw: bytes) -> Reply:
    _require_addresses(request, name)
    address = shapes.ip_address(read(name, raw, RemoveFixedIp).address, f"{name}.address")
    now = request.services.clock.now()
    with request.write() as connection:
        server_action.remove_address(connection, request.caller, request.path["id"], address, now)
    return Reply(202)


def _add_floating_ip(request: Request, name: str, raw: bytes) -> Reply:
    _require_addresses(request, name)
    body = read(name, raw, AddFloatingIp)
    address = shapes.ip_address(body.address, f"{name}.address")
    fixed = None if body.fixed_address is UNSET else body.fixed_address
    fixed = shapes.ip_address(fixed, f"{name}.fixed_address") or None
    server_id, now = request.path["id"], request.services.clock.now()
    with request.write() as connection:
        floating_ip.associate(
            connection, request.caller, server_id, now, address=address, fixed_address=fixed
        )
    return Reply(202)


def _remove_floating_ip(request: Request, name: str, raw: bytes) -> Reply:
    _require_addresses(request, name)
    body = read(name, raw, RemoveFloatingIp)
    address = shapes.ip_address(body.address, f"{name}.address")
    server_id, now = request.path["id"], request.services.clock.now()
    with request.write() as connection:
        floating_ip.disassociate(connection, request.caller, server_id, now, address=address)
    return Reply(202)


def _require_addresses(request: Request, name: str) -> None:
    """Raises NotFound since 2.44: until then compute passed these actions on to the network service."""
    if request.microversion > V_LAST_ADDRESSES:
        words = f"{name} is gone since 2.44: change the port with the network API."
        raise NotFound("action", name, message=words)


def _rescue(request: Request, name: str, raw: bytes) -> Reply:
    """Nobody logs in with the password that it answers; the server's keys are in the rescue too."""
    body = Rescue() if raw == b"null" else read(name, raw, Rescue)
    image_id = None
    if body.rescue_image_ref is not UNSET:
        image_id = server_body.image_id(body.rescue_image_ref)
    now = request.services.clock.now()
    with request.write() as connection:
        rescue.begin(connection, request.caller, request.path["id"], now, image_id=image_id)
    return Reply(200, {"adminPass": server_body.password(body.admin_pass)})


def _unshelve(request: Request, name: str, raw: bytes) -> Reply:
    """The zone may be named since 2.77, or taken back with null, and the host, since 2.91."""
    body = Unshelve() if raw == b"null" else read(name, raw, Unshelve)
    shapes.require_versions(request, body, since={"availability_zone": (2, 77), "host": (2, 91)})
    if body.host is not UNSET:
        request.caller.check("os_compute_api:os-shelve:unshelve_to_host")
    if body.availability_zone is None and request.microversion < V_UNPIN:
        raise shapes.invalid("availability_zone", None, "None is not of type 'string'")
    now = request.services.clock.now()
    with request.write() as connection:
        shelve.end(
            connection,
            request.caller,
            request.path["id"],
            now,
            zone=shelve.SAME_ZONE if body.availability_zone is UNSET else body.availability_zone,
            host_id=None if body.host is UNSET else body.host,
        )
    return Reply(202)


def _migrate(request: Request, name: str, raw: bytes) -> Reply:
    """The server has moved when it is as before: nobody confirms it. The host may be named since 2.56."""
    body = MigrationTarget() if raw == b"null" else read(name, raw, MigrationTarget)
    shapes.require_versions(request, body, since={"host": (2, 56)})
    return _move_to(request, None if body.host is UNSET else body.host, kind=COLD)


def _migrate_live(request: Request, name: str, raw: bytes) -> Reply:
    """A container stops and starts once in its move; see domain/compute/move.py."""
    body = read(name, raw, LiveMigration)
    return _move_to(request, body.host, kind=LIVE, empty_s=body.connections_end_s)


def _move_to(
    request: Request, host_id: str | None, *, kind: str, empty_s: int = move.EMPTY_S
) -> Reply:
    now, key = request.services.clock.now(), request.path["id"]
    with request.write() as connection:
        move.begin(
            connection, request.caller, key, now, kind=kind, host_id=host_id, empty_s=empty_s
        )
    return Reply(202)


def _force_delete(request: Request, _name: str, _raw: bytes) -> Reply:
    """Delete; for an administrator also when the host is down."""
    now = request.services.clock.now()
    with request.write() as connection:
        found = server.unlocked(connection, request.caller, request.path["id"])
        server_delete.force(connection, request.caller, found, now)
    return Reply(202)


def _reset_state(request: Request, name: str, raw: bytes) -> Reply:
    """An administrator sets the observed state to active or to error."""
    to_error = read(name, raw, ServerStateReset).state == "error"
    now = request.services.clock.now()
    with request.write() as connection:
        server_action.reset(connection, request.caller, request.path["id"], now, to_error=to_error)
    return Reply(202)


REFUSED: dict[str, str] = {
    "changePassword": "Unable to set a password: this cloud's servers are reached with SSH keys.",
    "trigger_crash_dump": "A container has no kernel of its own to dump.",
    "os-getVNCConsole": "A container has no screen; use the console output or SSH.",
    "os-getSPICEConsole": "A container has no screen; use the console output or SSH.",
    "os-getRDPConsole": "A container has no screen; use the console output or SSH.",
    "os-getSerialConsole": "Interactive consoles are not supported; use SSH.",
}

ACTIONS: dict[str, ServerAction] = {
    "os-start": ServerAction("os_compute_api:servers:start", _move(server_action.start)),
    "os-stop": ServerAction("os_compute_api:servers:stop", _move(server_action.stop)),
    "pause": ServerAction("os_compute_api:os-pause-server:pause", _move(server_action.pause)),
    "unpause": ServerAction("os_compute_api:os-pause-server:unpause", _move(server_action.unpause)),
    "unlock": ServerAction("os_compute_api:os-lock-server:unlock", _move(server_action.unlock)),
    "lock": ServerAction("os_compute_api:os-lock-server:lock", _lock),
    "suspend": ServerAction(
        "os_compute_api:os-suspend-server:suspend", _move(server_action.suspend)
    ),
    "resume": ServerAction("os_compute_api:os-suspend-server:resume", _move(server_action.resume)),
    "rescue": ServerAction("os_compute_api:os-rescue", _rescue),
    "unrescue": ServerAction("os_compute_api:os-unrescue", _move(rescue.end)),
    "shelve": ServerAction("os_compute_api:os-shelve:shelve", _move(shelve.begin)),
    "unshelve": ServerAction("os_compute_api:os-shelve:unshelve", _unshelve),
    "shelveOffload": ServerAction("os_compute_api:os-shelve:shelve_offload", _move(shelve.offload)),
    "createBackup": ServerAction("os_compute_api:os-create-backup", server_image.back_up),
    "reboot": ServerAction("os_compute_api:servers:reboot", _reboot),
    "rebuild": ServerAction("os_compute_api:servers:rebuild", _rebuild),
    "resize": ServerAction("os_compute_api:servers:resize", _resize),
    "confirmResize": ServerAction(
        "os_compute_api:servers:confirm_resize", _move(server_resize.confirm, status=204)
    ),
    "revertResize": ServerAction(
        "os_compute_api:servers:revert_resize", _move(server_resize.revert)
    ),
    "createImage": ServerAction("os_compute_api:servers:create_image", server_image.create),
    "os-getConsoleOutput": ServerAction("os_compute_api:os-console-output", _console),
    "addSecurityGroup": ServerAction("os_compute_api:os-security-groups:add", _group(add=True)),
    "removeSecurityGroup": ServerAction(
        "os_compute_api:os-security-groups:remove", _group(add=False)
    ),
    "addFixedIp": ServerAction("os_compute_api:os-multinic:add", _add_address),
    "removeFixedIp": ServerAction("os_compute_api:os-multinic:remove", _remove_address),
    "addFloatingIp": ServerAction("os_compute_api:os-floating-ips:add", _add_floating_ip),
    "removeFloatingIp": ServerAction("os_compute_api:os-floating-ips:remove", _remove_floating_ip),
    "injectNetworkInfo": ServerAction(
        "os_compute_api:os-admin-actions:inject_network_info", _move(server_action.tell_networks)
    ),
    "evacuate": ServerAction("os_compute_api:os-evacuate", server_evacuate.create),
    "migrate": ServerAction("os_compute_api:os-migrate-server:migrate", _migrate),
    "os-migrateLive": ServerAction("os_compute_api:os-migrate-server:migrate_live", _migrate_live),
    "restore": ServerAction(
        "os_compute_api:os-deferred-delete:restore", _move(server_action.restore)
    ),
    "forceDelete": ServerAction("os_compute_api:os-deferred-delete:force", _force_delete),
    "os-resetState": ServerAction("os_compute_api:os-admin-actions:reset_state", _reset_state),
}
