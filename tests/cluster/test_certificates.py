"""Who is a host: a certificate for that purpose, and a key that is enrolled. Over TLS, as it is."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from kumoi.cloud.api.host import certificate
from kumoi.cloud.hostapi.client import tls_context
from kumoi.cloud.hostapi.hello import PATH
from kumoi.cloud.hostapi.lease import LEASE_PATH
from kumoi.config import HostSettings, changed
from kumoi.hosts.first_use import pki
from tests.cluster.secure import SecureHostApi, secure_host_api
from tests.running_cloud import RunningCloud

HOST = "host1"


def status_for(cloud: RunningCloud, name: str, *, enrolled: bool = True) -> int | str:
    """What the certificate of that name is answered; "refused" when TLS itself refuses it."""

    async def story() -> int | str:
        async with secure_host_api(cloud) as api:
            api.enrol() if enrolled else api.dismiss()
            return await answer(api, name)

    return asyncio.run(story())


async def answer(api: SecureHostApi, name: str) -> int | str:
    try:
        return await api.status(name)
    except httpx.TransportError:
        return "refused"


def test_an_enrolled_host_is_heard(cloud: RunningCloud) -> None:
    assert status_for(cloud, HOST) == 200


@pytest.mark.parametrize("name", ["api", "pipeline"])
def test_what_serves_is_no_host(cloud: RunningCloud, name: str) -> None:
    assert status_for(cloud, name) == "refused"


def test_a_client_of_our_authority_that_is_no_host_is_refused(
    cloud: RunningCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that is called as the host is."""

    async def story() -> int | str:
        async with secure_host_api(cloud) as api:
            api.enrol()
            for path in (api.pki_dir / f"{HOST}.crt", api.pki_dir / f"{HOST}.key"):
                path.unlink()
            monkeypatch.setattr(pki, "host_uri", lambda *_: f"spiffe://other/host/{HOST}")
            assert pki.ensure(cloud.config, cloud.here, datetime.now(UTC)) == [HOST]
            api.enrol()  # Its key is known, but what it is for is not this.
            return await answer(api, HOST)

    assert asyncio.run(story()) == 403


def test_a_host_that_is_not_enrolled_is_refused(cloud: RunningCloud) -> None:
    assert status_for(cloud, HOST, enrolled=False) == 403


def test_another_key_in_an_enrolled_hosts_name_is_refused(cloud: RunningCloud) -> None:
    async def story() -> int | str:
        async with secure_host_api(cloud) as api:
            api.enrol()
            (api.pki_dir / f"{HOST}.key").unlink()
            pki.ensure(cloud.config, cloud.here, datetime.now(UTC))
            return await answer(api, HOST)

    assert asyncio.run(story()) == 403


def test_an_enrolment_is_of_one_host_alone(cloud: RunningCloud) -> None:
    async def story() -> int | str:
        async with secure_host_api(cloud) as api:
            api.enrol()
            other = changed(cloud.here, name="host2")
            pki.ensure(cloud.config, other, datetime.now(UTC))
            return await answer(api, "host2")

    assert asyncio.run(story()) == 403


def test_before_enrolments_were_learnt_a_host_asks_another_api_for_its_lease(
    cloud: RunningCloud,
) -> None:
    """503 it leaves for the next; 403 would be the end of it, and the lease run out."""

    async def story() -> int:
        async with secure_host_api(cloud) as api:
            api.enrol()
            async with httpx.AsyncClient(verify=tls_context(api.pki_dir, HOST)) as client:
                return (await client.post(f"{api.url}{PATH}{LEASE_PATH}")).status_code

    assert asyncio.run(story()) == 503


def test_a_renewed_certificate_is_accepted_with_no_new_enrolment(cloud: RunningCloud) -> None:
    async def story() -> int | str:
        async with secure_host_api(cloud) as api:
            api.enrol()
            before = pki.read_certificate(api.here)
            moved: HostSettings = changed(cloud.here, underlay_address="10.3.2.1")
            assert pki.ensure(cloud.config, moved, datetime.now(UTC)) == [HOST]
            assert pki.read_certificate(api.here) != before
            return await answer(api, HOST)

    assert asyncio.run(story()) == 200


def test_a_dismissed_host_is_refused_soon(
    cloud: RunningCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificate, "CACHED_S", 0.0)

    async def story() -> list[int | str]:
        async with secure_host_api(cloud) as api:
            api.enrol()
            heard = [await answer(api, HOST)]
            api.dismiss()
            return [*heard, await answer(api, HOST)]

    assert asyncio.run(story()) == [200, 403]


def test_renewing_in_time_keeps_a_hosts_key_and_gives_servers_new_ones(
    cloud: RunningCloud,
) -> None:
    now = datetime.now(UTC)
    pki.ensure(cloud.config, cloud.here, now)
    keys = {name: (cloud.here.pki_dir / f"{name}.key").read_bytes() for name in ("api", HOST)}
    later = now + timedelta(days=pki.CERTIFICATE_DAYS - pki.RENEW_BEFORE_DAYS + 1)
    assert HOST in pki.ensure(cloud.config, cloud.here, later)
    assert (cloud.here.pki_dir / f"{HOST}.key").read_bytes() == keys[HOST]
    assert (cloud.here.pki_dir / "api.key").read_bytes() != keys["api"]
