"""A host joins with a token, renews its certificate, and leaves. Over TLS, as it is."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography import x509

import kumoi
from kumoi.base.errors import Conflict, Permanent
from kumoi.cli import joining
from kumoi.cloud.api.host import certificate
from kumoi.cloud.domain.host import join as domain
from kumoi.cloud.hostapi import join
from kumoi.cloud.hostapi.client import HttpUpstream, tls_context
from kumoi.cloud.hostapi.hello import HostHello
from kumoi.cloud.hostapi.join import Joined, JoinRequest
from kumoi.cloud.store.host import host as host_store
from kumoi.config import CloudSettings, HostSettings, changed, first_host, parse
from kumoi.control_host import ControlHost
from kumoi.engine import schema
from kumoi.hosts.cluster.authority import Signer
from kumoi.hosts.first_use import pki
from kumoi.hosts.units import users
from tests.cluster.secure import SecureHostApi, secure_host_api
from tests.running_cloud import RunningCloud

HOUR = timedelta(hours=1)


class Operator:
    """Who has root where the authority is, and on the machine that joins."""

    def __init__(self, api: SecureHostApi, directory: Path) -> None:
        self.api = api
        self.signer = Signer(api.services.cloud, api.pki_dir, api.services.clock)
        self.directory = directory

    def token(self, name: str, lives: timedelta = HOUR) -> str:
        with self.api.cloud.database.write() as connection:
            address = domain.choose_address(connection, name, self.api.services.cloud)
            token, line = self.signer.make_token(name, address, lives)
            domain.expect(connection, token, datetime.fromtimestamp(token.expires_at, UTC))
        return line

    def machine(self, name: str) -> HostSettings:
        return HostSettings(name=name, state_dir=str(self.directory / name))

    async def join(
        self, here: HostSettings, line: str, *, release: str = kumoi.__version__
    ) -> Joined:
        url, ca = self.api.url, self.signer.certificate()
        request = JoinRequest(token=line, request=pki.request(here), release=release)
        joined = await asyncio.to_thread(join.join, url, ca, request)
        pki.accept(here, certificate=joined.certificate, authority=joined.authority)
        return joined

    def upstream(self, here: HostSettings) -> HttpUpstream:
        return HttpUpstream([self.api.url], tls=tls_context(here.pki_dir, here.name))


Story = Callable[[Operator], Awaitable[None]]


def tell(cloud: RunningCloud, directory: Path, story: Story) -> None:
    async def told() -> None:
        async with secure_host_api(cloud) as api:
            await story(Operator(api, directory))

    asyncio.run(told())


def hello(here: HostSettings, address: str) -> HostHello:
    return HostHello(
        release=kumoi.__version__,
        hostname=here.name,
        drivers=["lxc"],
        vcpus=2,
        ram_mib=1_024,
        disk_gib=10,
        address=address,
    )


def test_a_token_makes_a_host(cloud: RunningCloud, tmp_path: Path) -> None:
    async def story(operator: Operator) -> None:
        here = operator.machine("blade1")
        line = operator.token("blade1")
        sha256 = pki.fingerprint(pki_certificate(operator.signer.certificate()))
        url = operator.api.url
        found = await asyncio.to_thread(join.fetch_authority, url, sha256)
        assert found == operator.signer.certificate()
        joined = await operator.join(here, line)
        assert (joined.host, joined.roles) == ("blade1", ["agent"])
        assert parse(CloudSettings, joined.cloud).settings.name == cloud.config.name
        assert "postgres" not in joined.cloud  # No way into the store.
        assert "sqlite" not in joined.cloud
        async with operator.upstream(here) as upstream:
            await upstream.hello(hello(here, joined.address))
        (record,) = records(cloud, "blade1")
        assert (record.action, record.target_type, record.outcome) == ("create", "host", "success")

    tell(cloud, tmp_path, story)


def test_a_host_that_joined_before_learns_who_the_control_hosts_are(
    cloud: RunningCloud, tmp_path: Path
) -> None:
    """Without them it would have no fence and no lease."""

    async def story(operator: Operator) -> None:
        here = operator.machine("early1")
        joined = await operator.join(here, operator.token("early1"))
        before = changed(
            parse(CloudSettings, joined.cloud).settings,
            host_api_port=int(operator.api.url.rpartition(":")[2]),
        )
        here.known_control_hosts.parent.mkdir(parents=True)
        here.known_control_hosts.write_text(json.dumps(["https://127.0.0.1:1"]))
        assert await asyncio.to_thread(joining.refreshed, before, here) == before
        hosts = tuple(ControlHost(f"c{number}", f"172.24.5.{number}") for number in (1, 2, 3))
        async with secure_host_api(cloud, control_hosts=hosts, ha_policy="rebuild") as later:
            here.known_control_hosts.write_text(json.dumps(["https://127.0.0.1:1", later.url]))
            after = await asyncio.to_thread(joining.refreshed, before, here)
        assert after == changed(before, control_hosts=hosts, ha_policy="rebuild")
        among = (*hosts[:2], ControlHost("early1", "172.24.5.5"))
        async with secure_host_api(cloud, control_hosts=among) as meanwhile:
            here.known_control_hosts.write_text(json.dumps([meanwhile.url]))
            # Being one of them is ordered, and needs more than a list.
            assert await asyncio.to_thread(joining.refreshed, before, here) == before
        assert users.FENCE not in users.units_here(before, changed(here, roles=("agent",)))
        assert users.FENCE in users.units_here(after, changed(here, roles=("agent",)))

    tell(cloud, tmp_path, story)


def test_hosts_get_addresses_of_their_own_and_keep_them(
    cloud: RunningCloud, tmp_path: Path
) -> None:
    async def story(operator: Operator) -> None:
        one, two = operator.token("own1"), operator.token("own2")
        first = await operator.join(operator.machine("own1"), one)
        second = await operator.join(operator.machine("own2"), two)
        assert first.address != second.address
        assert first_host(operator.api.services.cloud, "").underlay_address not in {
            first.address,
            second.address,
        }  # Also where its agent is off, and no row names it.
        again = await operator.join(operator.machine("own1"), operator.token("own1"))
        assert again.address == first.address

    tell(cloud, tmp_path, story)


def test_a_host_that_was_killed_before_the_answer_asks_again(
    cloud: RunningCloud, tmp_path: Path
) -> None:
    async def story(operator: Operator) -> None:
        here, line = operator.machine("killed"), operator.token("killed")
        first = await operator.join(here, line)
        (here.pki_dir / f"{here.name}.crt").unlink()
        second = await operator.join(here, line)
        assert (second.host, second.address) == (first.host, first.address)
        async with operator.upstream(here) as upstream:
            await upstream.hello(hello(here, second.address))

    tell(cloud, tmp_path, story)


def test_a_token_is_good_for_one_key(cloud: RunningCloud, tmp_path: Path) -> None:
    async def story(operator: Operator) -> None:
        line = operator.token("spent")
        await operator.join(operator.machine("spent"), line)
        thief = HostSettings(name="spent", state_dir=str(tmp_path / "thief"))
        with pytest.raises(Conflict, match=r"spent by another key.*cluster token spent"):
            await operator.join(thief, line)

    tell(cloud, tmp_path, story)


def test_a_later_token_shuts_out_the_key_before(
    cloud: RunningCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificate, "CACHED_S", 0.0)

    async def story(operator: Operator) -> None:
        here, line = operator.machine("later"), operator.token("later")
        joined = await operator.join(here, line)
        later = operator.token("later")
        with pytest.raises(Permanent, match="There is a later token for later"):
            await operator.join(here, line)
        other = HostSettings(name="later", state_dir=str(tmp_path / "reinstalled"))
        await operator.join(other, later)
        async with operator.upstream(other) as upstream:
            await upstream.hello(hello(other, joined.address))
        with pytest.raises(join.NotAHost, match="not enrolled with this key"):
            await asyncio.to_thread(
                join.leave, operator.api.url, tls_context(here.pki_dir, here.name), forced=False
            )

    tell(cloud, tmp_path, story)


def test_a_forged_token_is_refused_and_those_who_try_wait(
    cloud: RunningCloud, tmp_path: Path
) -> None:
    async def story(operator: Operator) -> None:
        here, line = operator.machine("forged"), operator.token("forged")
        wrong = line[:-4] + ("AAAA" if line[-4:] != "AAAA" else "BBBB")
        words = set()
        for _ in range(cloud.config.login_attempts_per_minute):
            try:
                await operator.join(here, wrong)
            except (Permanent, Conflict) as error:
                words.add(error.message)
                if "too many" in error.message.lower():
                    break
        assert any("not of this cloud's authority" in each for each in words)
        assert any("too many" in each.lower() for each in words)

    tell(cloud, tmp_path, story)


def test_a_host_newer_than_the_control_plane_is_refused(
    cloud: RunningCloud, tmp_path: Path
) -> None:
    async def story(operator: Operator) -> None:
        with pytest.raises(Conflict, match=r"release 99.*newer than the control plane"):
            await operator.join(operator.machine("newer"), operator.token("newer"), release="99.0")

    tell(cloud, tmp_path, story)


def test_who_answers_without_the_authority_of_the_token_is_not_believed(
    cloud: RunningCloud, tmp_path: Path
) -> None:
    async def story(operator: Operator) -> None:
        url = operator.api.url
        with pytest.raises(Conflict, match="is not the cloud that the token is of"):
            await asyncio.to_thread(join.fetch_authority, url, "0" * 64)

    tell(cloud, tmp_path, story)


def test_a_host_renews_its_certificate_with_the_key_that_it_has(
    cloud: RunningCloud, tmp_path: Path
) -> None:
    async def story(operator: Operator) -> None:
        here = operator.machine("renewed")
        await operator.join(here, operator.token("renewed"))
        async with operator.upstream(here) as upstream:
            renewed = pki_certificate(await upstream.renew_certificate())
        before = pki.read_certificate(here)
        assert pki.public_key_sha256(renewed) == pki.public_key_sha256(before)
        assert renewed.serial_number != before.serial_number
        assert pki.host_of(renewed, cloud.config.name) == "renewed"

    tell(cloud, tmp_path, story)


def test_a_host_that_left_is_unknown_and_its_token_is_worth_nothing(
    cloud: RunningCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificate, "CACHED_S", 0.0)

    async def story(operator: Operator) -> None:
        here, line = operator.machine("leaver"), operator.token("leaver")
        joined = await operator.join(here, line)
        tls: ssl.SSLContext = tls_context(here.pki_dir, here.name)
        async with operator.upstream(here) as upstream:
            await upstream.hello(hello(here, joined.address))
        with cloud.database.write() as connection:
            host_store.claim(connection, here.name, vcpus=1, ram_mib=1, disk_gib=1, servers=1)
        with pytest.raises(Conflict, match="has 1 servers: delete them first"):
            await asyncio.to_thread(join.leave, operator.api.url, tls, forced=False)
        with cloud.database.write() as connection:
            host_store.claim(connection, here.name, vcpus=-1, ram_mib=-1, disk_gib=-1, servers=-1)
        await asyncio.to_thread(join.leave, operator.api.url, tls, forced=False)
        with cloud.database.read() as connection:
            assert host_store.get(connection, here.name) is None
        with pytest.raises(join.NotAHost, match="not enrolled"):
            await asyncio.to_thread(join.leave, operator.api.url, tls, forced=False)
        with pytest.raises(Permanent, match="or it has left since"):
            await operator.join(here, line)
        assert [row.action for row in records(cloud, here.name)] == ["create", "delete"]

    tell(cloud, tmp_path, story)


def test_a_host_with_servers_that_is_forced_out_stays_as_one_that_is_down(
    cloud: RunningCloud, tmp_path: Path
) -> None:
    async def story(operator: Operator) -> None:
        here = operator.machine("forced")
        joined = await operator.join(here, operator.token("forced"))
        async with operator.upstream(here) as upstream:
            await upstream.hello(hello(here, joined.address))
        with cloud.database.write() as connection:
            host_store.claim(connection, here.name, vcpus=1, ram_mib=1, disk_gib=1, servers=1)
        tls = tls_context(here.pki_dir, here.name)
        await asyncio.to_thread(join.leave, operator.api.url, tls, forced=True)
        with cloud.database.read() as connection:
            row = host_store.get(connection, here.name)
        assert row is not None
        assert (row.is_up, row.enabled) == (False, False)

    tell(cloud, tmp_path, story)


def records(cloud: RunningCloud, host_id: str) -> list[sa.Row[tuple[object, ...]]]:
    audit = schema.audit
    query = sa.select(audit).where(audit.c.target_id == host_id).order_by(audit.c.sequence)
    with cloud.database.read() as connection:
        return list(connection.execute(query))


def pki_certificate(text: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(text.encode())
