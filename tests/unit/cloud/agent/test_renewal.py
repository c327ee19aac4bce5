"""A host's certificate is renewed before it ends, and not earlier."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from kumoi.base.clock import SetClock
from kumoi.cloud.agent.renewal import Renewal
from kumoi.config import CloudSettings, HostSettings
from kumoi.hosts.cluster.authority import Signer
from kumoi.hosts.first_use import pki

CLOUD = CloudSettings(name="t1", southbound_url="ssl:172.24.5.1:6642")


class FakeUpstream:
    """Answers as the control plane does, of the host whose certificate is there."""

    def __init__(self, host: HostSettings, signer: Signer) -> None:
        self._host = host
        self._signer = signer
        self.asked = 0

    async def renew_certificate(self) -> str:
        self.asked += 1
        shown = pki.read_certificate(self._host).public_bytes(Encoding.PEM).decode()
        return self._signer.renew(shown).certificate


def test_a_certificate_is_renewed_when_it_ends_soon_and_keeps_its_key(tmp_path: Path) -> None:
    clock = SetClock(at=datetime(2026, 11, 28, tzinfo=UTC))
    host = HostSettings(name="t1-host1", state_dir=str(tmp_path))
    pki.ensure(CLOUD, host, clock.now())
    before = pki.read_certificate(host)
    upstream = FakeUpstream(host, Signer(CLOUD, host.pki_dir, clock))
    renewal = Renewal(host, upstream, ssl.create_default_context(), clock)
    asyncio.run(renewal.round())
    assert upstream.asked == 0
    clock.at += timedelta(days=pki.CERTIFICATE_DAYS - pki.RENEW_BEFORE_DAYS + 1)
    asyncio.run(renewal.round())
    asyncio.run(renewal.round())
    assert upstream.asked == 1
    after = pki.read_certificate(host)
    assert after.not_valid_after_utc > before.not_valid_after_utc
    assert pki.public_key_sha256(after) == pki.public_key_sha256(before)
