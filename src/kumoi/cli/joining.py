"""A host joins the cloud: its token is made where the authority is, and used on the machine that joins.

`kumoi cluster` and `kumoi up --hosts` call this. A joiner that was killed anywhere does the same again:
its key is made once, the settings are written before the certificate, and the certificate comes last.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import kumoi
from kumoi import addresses, config
from kumoi.base import namespace
from kumoi.base.clock import Clock
from kumoi.base.errors import Conflict, Invalid, KumoiError, Transient
from kumoi.cli import choice, cloud_store
from kumoi.cli.progress import Progress
from kumoi.cloud.domain.host import join as domain
from kumoi.cloud.hostapi import join as hostapi
from kumoi.cloud.hostapi.client import read_known, tls_context
from kumoi.cloud.hostapi.join import Joined, JoinRequest
from kumoi.config import CONTROL, CloudSettings, HostSettings, Role
from kumoi.hosts.cluster import join_token
from kumoi.hosts.cluster.authority import Signer
from kumoi.hosts.cluster.join_token import JoinToken
from kumoi.hosts.first_use import pki
from kumoi.hosts.wires import virtual

Found = TypeVar("Found")

HOST_NAME = r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?"


def make_token(cloud: CloudSettings, host: HostSettings, name: str, lives: timedelta) -> str:
    """A line for the host of that name, which may join with it. Raises Conflict, Invalid."""
    if not cloud.is_cluster:
        raise Conflict(
            f"the cloud {cloud.name} has one host: sudo ./kumoi cluster create"
            f"{choice.words(cloud, host)}"
        )
    if not config.is_first(cloud, host):
        raise Conflict(f"{host.name} has no authority: make the token on the cloud's first host")
    if not re.fullmatch(HOST_NAME, name) or name == cloud.edge_name or name.endswith(CONTROL):
        raise Invalid(
            f"{name} is no host's name: up to 63 of a-z, 0-9, dots and dashes, without {CONTROL} at the end",
            field="host",
        )
    if name == host.name:
        raise Conflict(f"{name} is this host, which has the control plane")
    signer = Signer(cloud, host.pki_dir, Clock())
    with cloud_store.opened(cloud, host) as database, database.write() as connection:
        address = domain.choose_address(connection, name, cloud)
        token, line = signer.make_token(name, address, lives)
        domain.expect(connection, token, datetime.fromtimestamp(token.expires_at, UTC))
    return line


def prepare(
    line: str,
    state_dir: str,
    progress: Progress,
    *,
    keeper: str = "",
    underlay_interface: str = "",
) -> tuple[CloudSettings, HostSettings]:
    """All files that `up` needs to bring the host up. `keeper` is of a host that is new; other
    settings of a host.toml that is there stay. With an `underlay_interface` the host is on a machine of its own.
    """
    token = join_token.read(line)
    token.require_current(Clock().now())
    cloud, host = _chosen(token, state_dir, keeper)
    if underlay_interface:
        host = config.changed(host, underlay_interface=underlay_interface, has_edge=False)
    host.state.mkdir(parents=True, exist_ok=True)
    with choice.alone(cloud, host), progress.stage(f"join as {host.name}") as stage:
        if not choice.is_there(host):
            config.write(cloud, host.state)  # So that `down --purge` knows what this is.
        config.write(host, host.state)
        request = JoinRequest(
            token=line.strip(), request=pki.request(host), release=kumoi.__version__
        )
        with _on_the_underlay(cloud, host, token):
            authority = hostapi.fetch_authority(token.url, token.authority)
            joined = hostapi.join(token.url, authority, request)
        if joined.host != host.name:
            raise Conflict(f"{token.url} answered for {joined.host}, not {host.name}")
        cloud, host = _settings(joined, host)
        config.write(cloud, host.state)
        config.write(host, host.state)
        pki.accept(host, certificate=joined.certificate, authority=authority)
        stage.note(f"{host.underlay_address} on the underlay")
    return cloud, host


@contextlib.contextmanager
def _on_the_underlay(cloud: CloudSettings, host: HostSettings, token: JoinToken) -> Iterator[None]:
    """A machine that is not the first one's has no address there before its host has one."""
    if host.has_edge:
        yield
        return
    with virtual.lent_address(cloud, host, str(urlsplit(token.url).hostname)):
        yield


def from_here(host: HostSettings, ask: Callable[[], Found]) -> Found:
    """What `ask` gives, which asks the control plane: from the network of the host where the machine has none of
    its own on the underlay. Raises what it raises, or Transient.
    """
    if host.has_edge:
        return ask()
    try:
        return namespace.within(namespace.NAMESPACES / host.name, ask)
    except OSError as cause:
        raise Transient(f"{host.name} has no network yet: sudo ./kumoi up") from cause


def refreshed(cloud: CloudSettings, host: HostSettings) -> CloudSettings:
    """With the control hosts that the cloud has by now, for a host that joined before: without a list of
    them it has no lease, and none of its servers is healed. As they were, where nobody answers. A list with this
    host's own name is not for it: it is being ordered to be a control host, or was (cli/control_part.py).
    """
    known = read_known(host.known_control_hosts)
    tls = tls_context(host.pki_dir, host.name)
    for url in dict.fromkeys((*known, *addresses.host_api_urls(cloud, host.name))):
        with contextlib.suppress(KumoiError):  # A release before has no such route.
            text = from_here(host, functools.partial(hostapi.fetch_settings, url, tls))
            found = config.parse(CloudSettings, text).settings
            if found.control_host(host.name) is not None:
                return cloud
            listed = found.control_hosts or cloud.control_hosts
            return config.changed(cloud, control_hosts=listed, ha_policy=found.ha_policy)
    return cloud


def _chosen(token: JoinToken, state_dir: str, keeper: str) -> tuple[CloudSettings, HostSettings]:
    """Raises Conflict when the directory is another host's."""
    cloud = CloudSettings(name=token.cloud)
    host = HostSettings(state_dir=state_dir, keeper=keeper)
    if config.file_of(HostSettings, Path(state_dir)).exists():
        host = config.read(HostSettings, Path(state_dir)).require_known()
        if choice.is_there(host):
            there = config.read(CloudSettings, host.state).settings
            if (there.name, host.name) != (token.cloud, token.host):
                raise Conflict(
                    f"{state_dir} is the host {host.name} of the cloud {there.name}, and the token is "
                    f"for {token.host} of {token.cloud}: use another --state-dir"
                )
    host = config.changed(
        host,
        name=token.host,
        state_dir=state_dir,
        underlay_address=token.address,
        roles=(Role.AGENT.value,),
    )
    choice.require_ours(cloud, host, joins=True)
    return cloud, host


def _settings(joined: Joined, host: HostSettings) -> tuple[CloudSettings, HostSettings]:
    """As the control plane says. A role that this release does not know stays, and does nothing."""
    cloud = config.parse(CloudSettings, joined.cloud).settings
    roles = tuple(joined.roles)
    return cloud, config.changed(host, underlay_address=joined.address, roles=roles)
