"""`kumoi cluster forget` and `replace`: a host that never comes back is no host of the cloud any more, and where it was a
control host, an empty one takes its place, name and address (design note 0038).

By any control host that is left: each has the authorities' keys, the seal and a way into the stores. What was cut off
is done again.
"""

from __future__ import annotations

from kumoi import config, members
from kumoi.base.clock import Clock
from kumoi.base.errors import Conflict, NotFound
from kumoi.base.ids import new_request_id
from kumoi.cli import choice, cloud_store, copies, joining, up
from kumoi.cli.progress import Progress
from kumoi.cloud.domain.host import enrolment
from kumoi.cloud.domain.host import host as host_domain
from kumoi.cloud.domain.host import join as domain
from kumoi.config import CloudSettings, HostSettings, Role
from kumoi.control_host import ControlHost
from kumoi.engine import audit
from kumoi.engine.audit import Recorder
from kumoi.engine.db import Database
from kumoi.hosts.cluster import leases, places
from kumoi.hosts.first_use import pki, sharing
from kumoi.hosts.wires import virtual


def forget(cloud: CloudSettings, here: HostSettings, name: str, *, forced: bool) -> None:
    """Raises Conflict while it lives, has servers, or too few control hosts would be left; nothing is changed then."""
    progress = Progress()
    place = cloud.control_host(name)
    with choice.alone(cloud, here), cloud_store.opened(cloud, here) as database:
        with progress.stage(f"look whether {name} is lost"):
            _require_lost(cloud, here, database, name)
            if place is not None:
                places.require_lost(cloud, here, place)
                places.require_others(cloud, here, place)
        with progress.stage("its key, its servers"):
            _dismiss(cloud, here, database, name, forced=forced)
        if place is not None:
            with progress.stage("its members of the stores"):
                places.give_up(cloud, here, place)
        if Role.NETWORK in here.roles:
            with progress.stage("its switch"):
                virtual.forget_controller(here, name)
    progress.say(f"{name} is no host of the cloud {cloud.name} any more: no API takes its key")
    if place is not None:
        progress.say(words(cloud, here, name))


def replace(cloud: CloudSettings, here: HostSettings, name: str, directory: str) -> None:
    """On this machine, in that directory, which is empty or begun. Raises Conflict."""
    progress = Progress()
    place = cloud.control_host(name)
    if place is None or name == here.name:
        raise NotFound("control host", name, message=f"{name} is none of the other control hosts")
    if place.address != cloud.control_address and not config.is_first(cloud, here):
        raise Conflict(f"{name} is made anew on the cloud's first host: its machine is that one's")
    with progress.stage(f"look whether {name} may come back") as stage:
        places.require_others(cloud, here, place)
        other = HostSettings(name=name, state_dir=directory)
        if not choice.is_there(other):
            places.require_lost(cloud, here, place)
        elif not _is_begun(cloud, here, other, place):
            raise Conflict(_in_the_way(cloud, other, place))
        else:
            stage.note("it was begun")
    other = _begun(cloud, here, place, directory, progress)
    if not members.etcd_dir(other).exists():
        places.take(cloud, here, place)
    up.bring_up(up.args_of(cloud, other), progress)
    copies.wait(cloud, other if config.is_first(cloud, other) else here, progress)
    progress.say(f"{name} is a control host of the cloud {cloud.name} again")


def forgotten(cloud: CloudSettings, here: HostSettings) -> list[str]:
    """Control hosts in whose place there is none now."""
    if not members.have_stores(cloud):
        return []
    with cloud_store.opened(cloud, here) as database, database.read() as connection:
        known = enrolment.names(connection)
    return [each.name for each in cloud.control_hosts if each.name not in known]


def words(cloud: CloudSettings, here: HostSettings, name: str) -> str:
    """For people, of a control host that was forgotten."""
    place = cloud.control_host(name)
    is_first = place is not None and place.address == cloud.control_address
    if is_first or config.is_first(cloud, here):
        how = f"sudo ./kumoi cluster replace {name}{choice.words(cloud, here)}"
    else:
        how = f"sudo ./kumoi cluster replace {name} on the cloud's first host"
    return f"{name} may be made anew: {how}. Until then, no other control host may be lost"


def _require_lost(cloud: CloudSettings, here: HostSettings, database: Database, name: str) -> None:
    if name == here.name:
        raise Conflict(
            f"{name} is this host: `cluster leave` takes it out, or another one forgets it"
        )
    with database.read() as connection:
        row = next((each for each in host_domain.every(connection) if each.id == name), None)
        known = {*enrolment.names(connection), *domain.names(connection)}
    if row is None and name not in known and cloud.control_host(name) is None:
        raise NotFound("host", name, message=f"there is no host {name}: sudo ./kumoi host list")
    book = leases.open_book(cloud, here)
    if book is not None and name in book.look().held:
        raise Conflict(f"{name} has its lease, so it lives: on it, sudo ./kumoi cluster leave")
    if row is not None and row.is_up:
        raise Conflict(
            f"{name} was heard of in the last {cloud.host_silent_s} s: wait, or stop it there, sudo ./kumoi down"
        )


def _dismiss(
    cloud: CloudSettings, here: HostSettings, database: Database, name: str, *, forced: bool
) -> None:
    """With a record, as of one that leaves by itself."""
    Recorder(database, Clock())
    record = audit.new_record(
        action="delete",
        target_type="host",
        target_id=name,
        request_id=new_request_id(),
        request_path="cluster forget",
        observer="host",
        address="",
        user_id=here.name,
    )
    before = audit.CURRENT.set(record)
    try:
        with database.write() as connection:
            domain.dismiss(connection, name, forced=forced)
    finally:
        audit.CURRENT.reset(before)
    book = leases.open_book(cloud, here)
    if book is not None and not forced:
        book.end_heal(name)  # Whoever has its name later gets a lease.


def _begun(
    cloud: CloudSettings,
    here: HostSettings,
    place: ControlHost,
    directory: str,
    progress: Progress,
) -> HostSettings:
    """With all that `up` needs. Its settings come first, so that who is cut off anywhere goes on; and what control hosts
    share is given each time: a first host that lacks some of it would make its own.
    """
    is_first = place.address == cloud.control_address
    other = HostSettings(name=place.name, state_dir=directory)
    if choice.is_there(other):
        other = config.read(HostSettings, other.state).settings
    else:
        other = _new(cloud, here, place, directory)
        other.state.mkdir(parents=True, exist_ok=True)
        config.write(other, other.state)
        config.write(cloud, other.state)
    if not is_first and not (pki.has_certificate(other) and _is_enrolled(cloud, here, other)):
        line = joining.make_token(cloud, here, place.name, up.JOIN_WITHIN)
        _, other = joining.prepare(line, directory, progress)
    other = config.changed(other, roles=here.roles)  # Who joins has no more than an agent.
    with choice.alone(cloud, other), progress.stage("what control hosts share"):
        config.write(cloud, other.state)
        config.write(other, other.state)
        sharing.give(cloud, here, [other], Clock().now())
    return other


def _is_enrolled(cloud: CloudSettings, here: HostSettings, other: HostSettings) -> bool:
    with cloud_store.opened(cloud, here) as database, database.read() as connection:
        return other.name in enrolment.names(connection)


def _new(
    cloud: CloudSettings, here: HostSettings, place: ControlHost, directory: str
) -> HostSettings:
    """The first one has the machine's links, and no token: it signs itself. Any other joins by one."""
    if place.address == cloud.control_address:
        link = here.underlay_interface
        first = config.first_host(cloud, directory)
        other = config.changed(first, underlay_interface=link)
    else:
        named = HostSettings(name=place.name, state_dir=directory)
        other = config.changed(named, roles=(Role.AGENT.value,), shares_machine=True)
    return config.changed(other, keeper=here.keeper, joins_stores=True)


def _in_the_way(cloud: CloudSettings, other: HostSettings, place: ControlHost) -> str:
    """What to do about a directory that is a host. The first one's `down` is that of all hosts of its machine."""
    directory = other.state_dir
    if place.address == cloud.control_address:
        return f"{directory} is a host; where that is what is left of {place.name}: sudo mv {directory} {directory}.lost"
    return f"{directory} is a host: sudo ./kumoi down --purge{choice.words(cloud, other)}"


def _is_begun(
    cloud: CloudSettings, here: HostSettings, other: HostSettings, place: ControlHost
) -> bool:
    """Whether `replace` was cut off there. What was forgotten since is another thing."""
    there = config.read(HostSettings, other.state).settings
    theirs = config.read(CloudSettings, other.state).settings
    if (theirs.name, there.name) != (cloud.name, place.name) or not there.joins_stores:
        return False
    return not members.etcd_dir(other).exists() or places.is_taken(cloud, here, place)
