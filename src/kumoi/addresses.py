"""Where the roles of control hosts listen, and where others look for them. Pure.

With several control hosts each host's roles listen at its control plane's own address, the first one's
at the public address as well, and all at the shared one, where there is one: whoever has it answers. Whoever walks a list of them begins with its own host's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kumoi.config import CloudSettings, HostSettings, is_first
from kumoi.control_host import ControlHost


def own(cloud: CloudSettings, host: HostSettings) -> str:
    """The control plane's address on this host."""
    found = cloud.control_host(host.name)
    return cloud.control_address if found is None else found.address


def of_apis(cloud: CloudSettings, host: HostSettings) -> tuple[str, ...]:
    """Where the OpenStack APIs listen on this host."""
    found = [cloud.public_address] if is_first(cloud, host) else []
    if cloud.is_replicated:
        found.append(own(cloud, host))
    return (*found, *_shared(cloud))


def _shared(cloud: CloudSettings) -> tuple[str, ...]:
    return (cloud.shared_address,) if cloud.is_replicated and cloud.shared_address else ()


def api_url(cloud: CloudSettings, host: HostSettings) -> str:
    """Of the APIs, for what runs on this host."""
    return cloud.api_url if is_first(cloud, host) else url(own(cloud, host), cloud.api_port)


def seen_at(cloud: CloudSettings, address: str) -> CloudSettings:
    """The settings for whom this address answers: what it is referred to answers there as well. Where a
    proxy stands before all of them, that is where clients are referred to.
    """
    if address == cloud.client_address or cloud.api_public_url:
        return cloud
    return replace(cloud, api_public_url=url(address, cloud.api_port))


def of_pipelines(cloud: CloudSettings, host: HostSettings) -> tuple[str, ...]:
    """Where the pipeline listens on this host."""
    if cloud.pipeline_address or not cloud.is_replicated:
        return (cloud.pipeline_listens_at,)
    return (cloud.public_address if is_first(cloud, host) else own(cloud, host), *_shared(cloud))


def pipeline_seen_at(cloud: CloudSettings, address: str) -> CloudSettings:
    """As `seen_at`, of the pipeline."""
    if not _shared(cloud) or address == cloud.shared_address or cloud.pipeline_public_url:
        return cloud
    return replace(cloud, pipeline_public_url=url(address, cloud.pipeline_port))


def of_pipeline(cloud: CloudSettings, host: HostSettings) -> CloudSettings:
    """The settings as this host's pipeline has them: it refers whoever asks to the shared address, where there is
    one, else to itself, and asks the identity service of its own host. What is set in the settings stays.
    """
    if _shared(cloud):
        at = url(of_apis(cloud, host)[0], cloud.api_port)
        return replace(cloud, identity_url=cloud.identity_url or f"{at}/identity")
    if not cloud.is_replicated or is_first(cloud, host):
        return cloud
    return replace(
        cloud,
        pipeline_address=cloud.pipeline_address or own(cloud, host),
        identity_url=cloud.identity_url or f"{api_url(cloud, host)}/identity",
    )


def pipeline_urls(cloud: CloudSettings) -> tuple[str, ...]:
    """Of all pipelines, for runners, which go from one that is away to the next. One that is set is in
    front of all of them.
    """
    if cloud.pipeline_public_url or not cloud.is_replicated:
        return (cloud.pipeline_url,)
    others = [each.address for each in cloud.control_hosts if each.address != cloud.control_address]
    return tuple(url(each, cloud.pipeline_port) for each in (cloud.public_address, *others))


def host_api_urls(cloud: CloudSettings, host_name: str) -> tuple[str, ...]:
    """Of the host APIs, for that host."""
    return urls_of([host.address for host in _own_first(cloud, host_name)], cloud)


def _own_first(cloud: CloudSettings, host_name: str) -> list[ControlHost]:
    return sorted(cloud.control_hosts, key=lambda each: each.name != host_name)


def urls_of(addresses: Sequence[str], cloud: CloudSettings) -> tuple[str, ...]:
    """Of host APIs at these addresses; of the only one, where there are none."""
    return tuple(url(each, cloud.host_api_port) for each in addresses) or (cloud.host_api_url,)


def url(address: str, port: int) -> str:
    return f"https://{address}:{port}"
