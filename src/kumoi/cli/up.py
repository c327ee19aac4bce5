"""`kumoi up`: brings a host up from whatever state it is in, and may be repeated.

Without settings it makes the only host of a cloud, which runs every role. Where host.toml names
fewer roles it brings up those, for a control plane that is elsewhere. Every check that can refuse
comes before the first change. Images are built beside the other stages, since they take longest.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from kumoi import config, members
from kumoi.base import process
from kumoi.base.clock import Clock
from kumoi.base.errors import Conflict, Permanent
from kumoi.cli import choice, components, joining
from kumoi.cli.progress import Progress, ProgressStage
from kumoi.cloud.drivers.instance import registry
from kumoi.cloud.store.seal import Seal
from kumoi.components import PIPELINE, Api
from kumoi.config import CloudSettings, HostSettings, Role
from kumoi.hosts import boot
from kumoi.hosts.cluster import databases, ovn_members
from kumoi.hosts.first_use import clouds_yaml, engines_pki, first_run, passwords, pki, sharing
from kumoi.hosts.install import image, machine, packages
from kumoi.hosts.units import answering, keeper, ownership, releases, table, users
from kumoi.hosts.units.keeper import UnitKeeper
from kumoi.hosts.units.releases import Release
from kumoi.hosts.wires import ranges, sockets, virtual

ENGINES_TIMEOUT_S = 90.0  # Patroni's too, on a machine that has other work to do.
# They are replaced one after the other, on a machine that has other work to do.
ROLES_TIMEOUT_S = 180.0
STORE_TIMEOUT_S = 180.0
LEADER_TIMEOUT_S = 90.0  # Members copy all of it when they are new.
HOST_TIMEOUT_S = 30.0
SHARED_TIMEOUT_S = 30.0
IMAGES_TIMEOUT_S = 300.0
POLL_S = 0.05
SOUTHBOUND_PORT = 6642  # As OVN has it.
JOIN_WITHIN = timedelta(minutes=10)
SAYS = "kumoi: "  # Before an error of ours, see main.py.


Images = list[tuple[image.Recipe, "Future[Path]"]]


def add_to(parser: argparse.ArgumentParser) -> None:
    add_ranges_to(parser)
    components.add_to(parser)
    parser.add_argument(
        "--hosts",
        type=int,
        default=1,
        metavar="N",
        help="so many virtual hosts on this machine, the first with the control plane",
    )
    parser.add_argument(
        "--only-engines", action="store_true", help="Open vSwitch and OVN without our own roles"
    )


def add_ranges_to(parser: argparse.ArgumentParser) -> None:
    """The options that name the cloud and its address ranges."""
    choice.add_to(parser)
    parser.add_argument("--public-cidr", metavar="CIDR", help="floating IPs (default: a free /24)")
    parser.add_argument("--underlay-cidr", metavar="CIDR", help="between machine and virtual host")


def run(args: argparse.Namespace) -> int:
    progress = Progress()
    cloud, host = bring_up(args, progress)
    if args.hosts > 1 and not cloud.is_cluster:
        cloud, host = open_to_hosts(args, cloud, host, progress)
    if not args.only_engines:
        _bring_up_others(cloud, host, progress, hosts=args.hosts)
    if not args.only_engines and config.is_first(cloud, host):
        for line in _next_steps(cloud, host):
            progress.say(line)
    return 0


def bring_up(args: argparse.Namespace, progress: Progress) -> tuple[CloudSettings, HostSettings]:
    """All stages; the settings of the cloud and the host that are up then."""
    with progress.stage("look at this machine") as stage:
        cloud, host = _decide(args)
        stage.note(f"floating IPs in {cloud.public_cidr}")
    with progress.stage("system packages") as stage:
        more = packages.FOR_CONTROL_HOSTS if cloud.control_host(host.name) else ()
        added = packages.ensure((*packages.NEEDED, *more))
        stage.note(f"installed {len(added)}" if added else "all there")
    boot.make_directories(host)
    offers = not args.only_engines and config.is_first(cloud, host)
    has_images = offers and Api.COMPUTE in cloud.apis  # They are for servers.
    with choice.alone(cloud, host), _images(progress, wanted=has_images) as images:
        with progress.stage("certificates, passwords, settings"):
            is_new = False  # Then its key is to be enrolled.
            if config.is_first(cloud, host):
                engines_pki.bring_back(host, _members_here(cloud, host))
                is_new = host.name in pki.ensure(cloud, host, Clock().now())
                passwords.ensure(host)
                if cloud.is_replicated:
                    Seal(members.seal_file(host)).ensure()
                    sharing.give(cloud, host, _members_here(cloud, host), Clock().now())
            else:
                pki.require(host)
                if cloud.control_host(host.name) and not host.has_edge:
                    sharing.renew(cloud, host, Clock().now())
                sharing.require(host)
                if cloud.control_host(host.name) is None:
                    cloud = joining.refreshed(cloud, host)
            config.write(cloud, host.state)
            config.write(host, host.state)
        with progress.stage("users"):
            users.ensure(cloud, host)
            if ownership.is_earlier(host):
                keeper.stop_roles(cloud, host)
            ownership.ensure(cloud, host)
        _start(cloud, host, progress, only_engines=args.only_engines, is_new=is_new)
        if offers:
            _offer(cloud, host, progress, images)
    return cloud, host


def open_to_hosts(
    args: argparse.Namespace, cloud: CloudSettings, host: HostSettings, progress: Progress
) -> tuple[CloudSettings, HostSettings]:
    """Others may join then. No server is touched and no packet lost. Where it fails, the cloud is as it
    was before.
    """
    url = f"ssl:{cloud.control_address}:{SOUTHBOUND_PORT}"
    config.write(config.changed(cloud, southbound_url=url), host.state)
    try:
        found = bring_up(args, progress)
        if not is_open_to_hosts(cloud):
            raise Permanent(f"OVN's southbound database does not answer at {url}")
    except BaseException:
        progress.say("That failed: the cloud is put back to one host")
        config.write(cloud, host.state)
        bring_up(args, progress)
        raise
    return found


def is_open_to_hosts(cloud: CloudSettings) -> bool:
    """Whether OVN answers them."""
    return answering.answers(f"tcp:{cloud.control_address}:{SOUTHBOUND_PORT}")


def _bring_up_others(
    cloud: CloudSettings, host: HostSettings, progress: Progress, *, hosts: int
) -> None:
    """The cloud's other hosts on this machine; those that are missing join, by tokens."""
    others = {each.name: each for each in choice.others_here(cloud, host)}
    for number in range(2, hosts + 1):
        name = f"{cloud.name}-host{number}"
        directory = f"{host.state_dir}-{number}"
        if name not in others or not pki.has_certificate(others[name]):
            if cloud.control_host(name) is not None:
                raise Conflict(
                    f"the control host {name} has lost its disk: sudo ./kumoi cluster forget {name}, then cluster replace"
                )
            line = joining.make_token(cloud, host, name, JOIN_WITHIN)
            _, others[name] = joining.prepare(line, directory, progress, keeper=host.keeper)
    for name, other in sorted(others.items()):
        progress.say(f"Host {name}:")
        theirs = config.read(CloudSettings, other.state).settings
        same = {"apis_off": cloud.apis_off, "ha_policy": cloud.ha_policy}
        config.write(config.changed(theirs, **same), other.state)
        config.write(config.changed(other, shares_machine=True), other.state)
        bring_up(args_of(cloud, other), progress)
        if Api.COMPUTE not in cloud.apis:
            continue
        with progress.stage("the host reports"):
            first_run.wait_for_host(
                first_run.connect(_entries(cloud, host)[f"{cloud.name}-admin"]),
                other,
                timeout_s=HOST_TIMEOUT_S,
            )


def args_of(cloud: CloudSettings, host: HostSettings) -> argparse.Namespace:
    """Those of `up` for a host that has its files."""
    return argparse.Namespace(
        name=cloud.name,
        state_dir=host.state_dir,
        public_cidr=None,
        underlay_cidr=None,
        only_engines=False,
        hosts=1,
        without=[],
        within=[],
    )


def _decide(args: argparse.Namespace) -> tuple[CloudSettings, HostSettings]:
    """The settings, with the address ranges checked. Changes nothing."""
    cloud, host = choice.chosen(args, strictly=True)
    choice.require_ours(cloud, host)
    choice.require_whole(host)
    chosen = components.chosen(args, cloud, host)
    machine.check_size(host.state)
    machine.check_passable(host.state)
    machine.check_python(Path(sys.executable))
    machine.check_user_namespaces()
    clouds_yaml.check(choice.person())
    taken = ranges.used(virtual.own_links(cloud))
    cloud, host = chosen
    if choice.is_there(host):
        for asked, there in (
            (args.public_cidr, cloud.public_cidr),
            (args.underlay_cidr, cloud.underlay_cidr),
        ):
            if asked not in {None, there}:
                raise Conflict(f"the cloud {cloud.name} has {there}: `down --purge` it first")
    else:
        public, underlay = ranges.choose(taken, args.public_cidr, args.underlay_cidr)
        cloud = config.changed(cloud, public_cidr=public, underlay_cidr=underlay)
        first = config.first_host(cloud, host.state_dir)
        host = config.changed(first, roles=host.roles)
    ranges.check(cloud.public_cidr, cloud.underlay_cidr, taken)
    sockets.require_free(cloud, host)  # At the addresses that it gets.
    return cloud, host


@contextmanager
def _images(progress: Progress, *, wanted: bool) -> Iterator[Images]:
    """The files of the images, which are built beside the other stages."""
    cache = image.cache_dir()

    def build(recipe: image.Recipe) -> Path:
        if image.file_of(recipe, cache).exists():
            return image.ensure(recipe, cache)
        with progress.stage(f"image {recipe.name}", beside=True):
            return image.ensure(recipe, cache)

    recipes = image.RECIPES if wanted else ()
    with ThreadPoolExecutor(len(image.RECIPES)) as builders:
        # The last one makes what it is built on as well, so it begins.
        futures = {recipe: builders.submit(build, recipe) for recipe in reversed(recipes)}
        yield [(recipe, futures[recipe]) for recipe in recipes]


def _start(
    cloud: CloudSettings,
    host: HostSettings,
    progress: Progress,
    *,
    only_engines: bool,
    is_new: bool,
) -> None:
    """Make the virtual host, then start every process."""
    with progress.stage("virtual host"):
        keeper.stop_other(cloud, host)
        if boot.ensure_links(cloud, host):
            keeper.stop(cloud, host)  # What still runs lives in a namespace that is no more.
        boot.ensure_files(cloud, host)
    with progress.stage("release") as stage:
        release = releases.running() if only_engines else releases.install(host.release_dir)
        stage.note(release.id)
    wanted = table.all_units(cloud, host, release, only_engines=only_engines)
    unit_keeper = keeper.of(cloud, host, release=release, only_engines=only_engines)
    if virtual.is_central_to_change(cloud, host):
        with progress.stage("OVN's databases change their kind"):
            ovn_members.convert(cloud, host, unit_keeper, wanted)
    has_stores = config.is_first(cloud, host) and not only_engines
    if has_stores and cloud.is_replicated:
        _ensure_databases(cloud, host, release, progress)
    if has_stores and (is_new or not unit_keeper.is_running(wanted)):
        with progress.stage("stores"):
            ensure_stores(host, release)
            ownership.own_files(cloud, host)
    if has_stores and members.have_stores(cloud):
        databases.let_copies_read(cloud, host)
    names = [unit.name for unit in wanted if unit.kind is table.UnitKind.ENGINE]
    with progress.stage("Open vSwitch and OVN" if names else "no engine is needed") as stage:
        unit_keeper.tell(wanted)
        unit_keeper.ensure_ready(names, timeout_s=ENGINES_TIMEOUT_S, tell=stage.tell)
        late = ovn_members.settle(cloud, host)
        if late:
            stage.note(f"{' and '.join(late)} not joined yet")
        elif Role.NETWORK in host.roles:
            virtual.forget_other_gateways(cloud, host)
        if Role.AGENT in host.roles and not cloud.is_replicated:
            virtual.forget_southbound_members(host)
    names = [unit.name for unit in wanted if unit.kind is table.UnitKind.ROLE]
    if names:
        with progress.stage(f"roles {', '.join(names)}") as stage:
            unit_keeper.ensure_ready(names, timeout_s=ROLES_TIMEOUT_S, tell=stage.tell)


def _ensure_databases(
    cloud: CloudSettings, host: HostSettings, release: Release, progress: Progress
) -> None:
    """Those of the stores. Members come up together or not at all, so all that are on this machine are
    started.
    """
    starting = []
    with progress.stage("etcd and PostgreSQL") as stage:
        for member in (host, *_members_here(cloud, host)):
            of_member = release
            theirs = config.read(CloudSettings, member.state).settings
            if member is not host:
                of_member = releases.install(member.release_dir)
                users.ensure(theirs, member)
                ownership.ensure(theirs, member)
                boot.ensure(theirs, member)
            status = keeper.of(theirs, member, release=of_member).read_status()
            alone = status is None  # Roles that run are replaced in their turn, not ended.
            if status is None or members.PATRONI not in {unit.name for unit in status.units}:
                found = keeper.of(theirs, member, release=of_member, only_engines=alone)
                found.tell(table.all_units(theirs, member, of_member, only_engines=alone))
                starting.append(found)
        _start_together(starting, stage)
        databases.wait_for_leader(cloud, host, timeout_s=LEADER_TIMEOUT_S, tell=stage.tell)
        databases.ensure(cloud, host)


def _start_together(keepers: Sequence[UnitKeeper], stage: ProgressStage) -> None:
    """The members of the stores: none of etcd's answers before there is a majority."""
    with ThreadPoolExecutor(max(len(keepers), 1)) as threads:
        begun = [
            threads.submit(
                each.ensure_ready, users.MEMBERS, timeout_s=ENGINES_TIMEOUT_S, tell=stage.tell
            )
            for each in keepers
        ]
        for each in begun:
            each.result()


def _members_here(cloud: CloudSettings, host: HostSettings) -> list[HostSettings]:
    """Other control hosts on this machine."""
    return [each for each in choice.others_here(cloud, host) if cloud.control_host(each.name)]


def _offer(cloud: CloudSettings, host: HostSettings, progress: Progress, images: Images) -> None:
    """Make what users start with: clouds.yaml, flavors, the external network, images."""
    person = choice.person()
    if cloud.shared_address:
        _wait_for_shared_address(cloud, host, progress)
    with progress.stage("clouds.yaml") as stage:
        wanted = _entries(cloud, host)
        clouds_yaml.write(person, wanted)
        stage.note(f"{' and '.join(wanted)} in {person.file}")
    if Api.NETWORK not in cloud.apis:  # What others of the first things need.
        return
    with progress.stage("flavors and external network"):
        api = first_run.connect(wanted[f"{cloud.name}-admin"])
        first_run.ensure_flavors_and_network(api, cloud)
    if Api.COMPUTE not in cloud.apis:
        return
    with progress.stage("the host reports") as stage:
        first_run.wait_for_host(api, host, timeout_s=HOST_TIMEOUT_S)
    offered = {}
    for recipe, file in images:
        path = file.result()
        with progress.stage(f"offer image {recipe.name}") as stage:
            offer = first_run.ensure_image(api, recipe, path)
            offered[recipe.name] = offer.sha256
            stage.note(f"{path.stat().st_size >> 20} MiB" if offer.uploaded else "there")
    with progress.stage("images ready on the host") as stage:
        _wait_for_images(host, offered, stage)


def _wait_for_shared_address(cloud: CloudSettings, host: HostSettings, progress: Progress) -> None:
    """Until some control host has it, this one at the latest."""
    deadline = time.monotonic() + SHARED_TIMEOUT_S
    with progress.stage("the address for clients") as stage:
        stage.note(cloud.shared_address)
        while not answering.answers(f"tcp:{cloud.shared_address}:{cloud.api_port}"):
            if time.monotonic() > deadline:
                raise Permanent(
                    f"nobody answers at {cloud.shared_address} after {SHARED_TIMEOUT_S:g} s; "
                    f"see {host.log_dir / 'keepalived.log'}"
                )
            time.sleep(POLL_S)


def _entries(cloud: CloudSettings, host: HostSettings) -> dict[str, dict[str, Any]]:
    return clouds_yaml.entries(
        cloud,
        host,
        admin_password=passwords.read(host, "admin"),
        demo_password=passwords.read(host, "demo"),
    )


def _wait_for_images(host: HostSettings, offered: dict[str, str], stage: ProgressStage) -> None:
    """Wait until the host has unpacked them, so that the first server starts as fast as any other."""
    deadline = time.monotonic() + IMAGES_TIMEOUT_S
    drivers = registry.on_host(host.agent_dir, host.name).values()
    while True:
        ready = frozenset().union(*(driver.ready_images() for driver in drivers))
        late = [name for name, sha256 in offered.items() if sha256 not in ready]
        if not late:
            return
        if time.monotonic() > deadline:
            raise Permanent(
                f"the host did not unpack {', '.join(late)} within {IMAGES_TIMEOUT_S:g} s; "
                f"see {host.log_dir / 'agent.log'}"
            )
        stage.tell(", ".join(late))
        time.sleep(POLL_S)


def ensure_stores(host: HostSettings, release: Release) -> None:
    """Runs in another process, whose imports would stay in this one's memory."""
    command = [*release.argv, "store", "ensure"]
    try:
        process.run([*command, "--config", host.state], timeout_s=STORE_TIMEOUT_S)
    except process.ProcessFailed as cause:
        said = cause.completed.err.strip() if cause.completed else ""
        words = next((line for line in said.splitlines() if line.startswith(SAYS)), "")
        if words:  # The other process has said it all.
            raise Permanent(words.removeprefix(SAYS)) from None
        raise Permanent("the stores could not be made ready") from cause


def _next_steps(cloud: CloudSettings, host: HostSettings) -> list[str]:
    client = Path(sys.executable).parent / "openstack"
    name, this = cloud.name, choice.words(cloud, host)
    repository = f"{cloud.pipeline_url.replace('//', '//demo@')}/git/demo/my-app.git"
    listed = {Api.IMAGE: "image", Api.COMPUTE: "flavor", Api.NETWORK: "network"}
    lists = [f"openstack {noun} list" for api, noun in listed.items() if api in cloud.apis]
    pushing = [
        f"  sudo ./kumoi demo{this}      push an example and see it verified",
        f"  GIT_SSL_CAINFO={host.pki_dir / 'ca.crt'} git push {repository} main",
    ]
    return [
        "",
        f"The cloud {name} is up at {cloud.api_url}. What to try next:",
        f"  alias openstack='{client} --os-cloud {name}'",
        f"  {'; '.join(['openstack catalog list', *lists])}",
        *(pushing if PIPELINE in host.roles else ()),
        f"  sudo ./kumoi status{this}    every process, host and server",
        f"  sudo ./kumoi down{this}      stop; with --purge nothing is left",
    ]
