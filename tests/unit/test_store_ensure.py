"""What `up` does to the stores before roles start."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from kumoi import config, members
from kumoi.cloud.domain.host import enrolment
from kumoi.config import CloudSettings, HostSettings
from kumoi.engine.db import Database
from kumoi.hosts.first_use import passwords, pki
from kumoi.main import main


def test_the_machines_own_host_is_enrolled_with_its_key(tmp_path: Path) -> None:
    cloud, host = CloudSettings(), HostSettings(state_dir=str(tmp_path))
    pki.ensure(cloud, host, datetime.now(UTC))
    passwords.ensure(host)
    config.write(cloud, host.state)
    config.write(host, host.state)
    host.wake_dir.mkdir(parents=True)

    def enrolled() -> bool:
        assert main(["store", "ensure", "--config", str(tmp_path)]) == 0
        key = pki.public_key_sha256(pki.read_certificate(host))
        database = Database(members.cloud_database(cloud, host), wake_dir=host.wake_dir)
        with database.read() as connection:
            found = enrolment.is_enrolled(connection, host.name, key)
        database.close()
        return found

    assert enrolled()
    (host.pki_dir / f"{host.name}.key").unlink()
    pki.ensure(cloud, host, datetime.now(UTC))
    assert enrolled()
