"""kill -9 in a push, when the identity service has made its credential and before the answer is heard.

The pipeline asks a strict Zed before our APIs, which kills it at that moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from openstack.connection import Connection
from tests.running_cloud import RunningCloud
from tests.stories.pipeline.conftest import Pusher, RunningPipeline, until
from tests.stories.pipeline.zed import Zed, serving

from kumoi.pipeline.store.own_credential import own_credential

MADE = ("identity", "POST /v3/users/{}/application_credentials")


@pytest.fixture(scope="module")
def zed(cloud: RunningCloud) -> Iterator[Zed]:
    with serving(cloud.url) as running:
        yield running
        assert running.refused == []


@pytest.fixture(scope="module")
def limits(zed: Zed) -> dict[str, Any]:
    return {"identity_url": f"{zed.url}/identity"}


def credentials(demo: Connection) -> list[str]:
    return [each.name for each in demo.identity.application_credentials(user=demo.current_user_id)]


def written_down(store: sa.Engine) -> int:
    with store.connect() as connection:
        query = sa.select(sa.func.count()).select_from(own_credential)
        return connection.execute(query).scalar_one()


def test_a_credential_whose_push_was_killed_before_it_knew_of_it_is_found_and_ended(
    pipeline: RunningPipeline, zed: Zed, pusher: Pusher, demo: Connection
) -> None:
    def kill(*call: str) -> None:
        if call == MADE:
            pipeline.kill()

    zed.done = kill
    assert "fatal" in pusher.push()
    zed.done = None
    (left,) = credentials(demo)
    assert left.startswith("kumoi-push-hello-")
    store = sa.create_engine(pipeline.config.pipeline_database_url)
    with store.begin() as connection:  # As if it were long ago.
        connection.execute(sa.update(own_credential).values(look_at=datetime.now(UTC)))
    pipeline.start()
    until(lambda: credentials(demo) == [])
    until(lambda: written_down(store) == 0)
    run_id = pusher.run_id(pusher.push())
    assert len(credentials(demo)) == 1
    with pipeline.client(demo) as client:
        client.post(f"/pipeline/v1/runs/{run_id}/cancel").raise_for_status()
        assert pipeline.ended(client, run_id)["status"] == "cancelled"
