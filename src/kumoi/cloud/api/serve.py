"""The API role: two listeners, the OpenStack APIs for clients and the host API for hosts.

Also keeps the list of revoked tokens in memory, renewed whenever the store changes, and the keys of
tokens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from kumoi import addresses, members
from kumoi.base import log
from kumoi.base.backoff import Backoff
from kumoi.base.clock import Clock
from kumoi.base.errors import Transient
from kumoi.cloud.api.compute.routes import SERVICE as COMPUTE
from kumoi.cloud.api.host.app import host_app
from kumoi.cloud.api.host.certificate import ByCertificate
from kumoi.cloud.api.identity.routes import SERVICE as IDENTITY
from kumoi.cloud.api.image.routes import SERVICE as IMAGE
from kumoi.cloud.api.key_manager.routes import SERVICE as KEY_MANAGER
from kumoi.cloud.api.load_balancer.routes import SERVICE as LOAD_BALANCER
from kumoi.cloud.api.network.routes import SERVICE as NETWORK
from kumoi.cloud.api.placement.routes import SERVICE as PLACEMENT
from kumoi.cloud.api.services import Services
from kumoi.cloud.domain.identity import password_rules, revocation
from kumoi.cloud.domain.identity.login import Logins
from kumoi.cloud.domain.identity.signing_key import LEARN_S
from kumoi.cloud.domain.identity.token import Tokens
from kumoi.cloud.domain.image.content import Inspect
from kumoi.cloud.drivers.image.files import ImageFiles
from kumoi.cloud.drivers.image.inspector_client import InspectorClient
from kumoi.cloud.store.identity.signing_key import KeyDirectory, SigningKeys
from kumoi.cloud.store.identity.stored_key import StoredKeys
from kumoi.cloud.store.seal import Seal
from kumoi.config import CloudSettings, HostSettings
from kumoi.engine.activation import Activation
from kumoi.engine.audit import Recorder
from kumoi.engine.db import Database
from kumoi.engine.http.app import App
from kumoi.engine.http.connections import ConnectionLimits
from kumoi.engine.http.serving import Certificates, Listener
from kumoi.engine.http.serving import serve as serve_listeners
from kumoi.engine.wake import Alarm
from kumoi.hosts.cluster import copy_calls, leases
from kumoi.hosts.cluster.signing import AuthorityClient

REVOCATIONS_INTERVAL_S = 10.0
FOLLOWED_INTERVAL_S = 2.0  # While no server is reached that would say when something is revoked.
REVOCATIONS_PAUSE_S = 0.05  # Each write rings: those that come together are looked at together.
AGAIN = Backoff(first_s=0.1, most_s=2.0)
SERVICES = (IDENTITY, IMAGE, NETWORK, COMPUTE, LOAD_BALANCER, KEY_MANAGER, PLACEMENT)


def build_services(
    cloud: CloudSettings, host: HostSettings, database: Database, clock: Clock, inspect: Inspect
) -> Services:
    """What the handlers work with. Raises Invalid for settings that cannot be."""
    password_rules.require_valid(cloud)
    return Services(
        cloud=cloud,
        database=database,
        clock=clock,
        tokens=Tokens(signing_keys(cloud, host, database), clock.now()),
        logins=Logins(clock, cloud.login_attempts_per_minute),
        images=ImageFiles(host.image_dir, bring=bringer(cloud, host)),
        inspect_image=inspect,
        seal=Seal(members.seal_file(host)),
        authority=AuthorityClient(host.authority_socket, host.pki_dir / "ca.crt"),
        leases=leases.open_book(cloud, host),
    )


def signing_keys(cloud: CloudSettings, host: HostSettings, database: Database) -> SigningKeys:
    """Where all API processes of the cloud, and `kumoi token`, find the keys of tokens. While a cloud moves
    to several control hosts, they are where they were.
    """
    directory = KeyDirectory(members.token_keys_dir(host))
    if cloud.is_replicated and not cloud.database_url:
        return StoredKeys(database, Seal(members.seal_file(host)), directory)
    return directory


def bringer(cloud: CloudSettings, host: HostSettings) -> Callable[[str], None] | None:
    """Asks this host's unit `copies` for an image that other control hosts may have."""
    if not members.have_stores(cloud):
        return None
    certificate = members.certificate(host, members.store_certificate(members.CLOUD))

    def bring(sha256: str) -> None:
        tls = copy_calls.tls_context(certificate)
        copy_calls.CopiesClient(members.own(cloud, host), tls).bring_image(sha256)

    return bring


def app(services: Services, address: str = "", recorder: Recorder | None = None) -> App:
    """The OpenStack APIs, those that are not off, for whom that address answers."""
    cloud = addresses.seen_at(services.cloud, address or services.cloud.public_address)
    services = replace(services, cloud=cloud)
    return App(
        services,
        [service for service in SERVICES if service.type in cloud.apis],
        root=cloud.api_url,
        body_max_bytes=cloud.body_max_bytes,
        recorder=recorder or Recorder(services.database, services.clock),
        requests_max=cloud.requests_per_client,
        proxies=cloud.own_addresses,  # The pipeline asks for its callers.
        follows=True,
    )


async def serve(
    cloud: CloudSettings,
    host: HostSettings,
    database: Database,
    clock: Clock,
    activation: Activation,
) -> None:
    """Until cancelled."""
    inspector = InspectorClient(host.inspector_socket)
    services = build_services(cloud, host, database, clock, inspector.check_file)
    alarm = Alarm(database.listen)
    await _learn_revoked(services, alarm)  # Before anything is served.
    pki = host.pki_dir
    server = Certificates(pki / "api.crt", pki / "api.key")
    hosts = Certificates(
        pki / "api.crt", pki / "api.key", client_ca=pki / "ca.crt"
    )  # Who joins has none yet.
    limits = ConnectionLimits.of(cloud)
    recorder = Recorder(database, clock)
    identify = ByCertificate(database, clock, cloud_name=cloud.name)
    listeners = (
        *(
            Listener(
                app(services, address, recorder), address, cloud.api_port, server, limits=limits
            )
            for address in addresses.of_apis(cloud, host)
        ),
        Listener(
            host_app(services, alarm, identify=identify),
            addresses.own(cloud, host),
            cloud.host_api_port,
            hosts,
            grace_s=0,  # Long polls and reports, which a host repeats.
            limits=limits,
        ),
    )
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(watch_revocations(services, alarm))
            tasks.create_task(watch_keys(services))
            if services.leases is not None:
                tasks.create_task(identify.learn(alarm))
            tasks.create_task(serve_listeners(listeners, activation))
    finally:
        await alarm.close()


async def watch_revocations(services: Services, alarm: Alarm) -> None:
    """Learn what other processes revoked, as soon as they say so."""
    while True:
        seen = await _learn_revoked(services, alarm)
        is_heard = services.database.takes_changes
        await alarm.wait(REVOCATIONS_INTERVAL_S if is_heard else FOLLOWED_INTERVAL_S, after=seen)
        await asyncio.sleep(REVOCATIONS_PAUSE_S)


async def watch_keys(services: Services) -> None:
    """Learn which keys sign and are accepted, well before anybody signs with a new one."""
    while True:
        await asyncio.sleep(LEARN_S)
        try:
            await asyncio.to_thread(services.tokens.learn_keys, services.clock.now())
        except (OSError, Transient) as error:
            log.failure("signing_key.not_read", error)  # Those known go on.


async def _learn_revoked(services: Services, alarm: Alarm) -> int:
    """As soon as the store can be read; the alarm's count just before."""
    failures = 0
    while True:
        seen = alarm.count
        try:
            await asyncio.to_thread(load_revoked, services)
        except Transient as error:
            failures += 1
            log.failure("revocations.not_learned", error)
            await alarm.wait(AGAIN.after(failures), after=seen)
        else:
            return seen


def load_revoked(services: Services) -> None:
    """By whichever server reads are done by, so that what is shown is no newer than the list by which it is."""
    database, tokens, now = services.database, services.tokens, services.clock.now()
    with database.following() as following, database.read() as connection:
        if following.choice is None:
            revocation.refresh(connection, tokens, now)
        else:
            revocation.refresh_from_follower(connection, tokens, now)
    tokens.learnt(is_all=not following.is_behind)
