"""The older release's own stories, told on this release's tables.

Those that write most: servers with ports and images, security groups, users and tokens. The others
use the same tables in the same ways.
"""

from __future__ import annotations

import sys

import pytest

from kumoi.base import process
from tests.upgrade.releases import Release

STORIES = (
    "tests/stories/compute/test_server.py",
    "tests/stories/identity/test_user.py",
    "tests/stories/network/test_security_group.py",
)
TIMEOUT_S = 500.0


@pytest.mark.timeout(600)
def test_the_older_releases_stories_hold_on_this_releases_tables(
    older: Release, newer: Release
) -> None:
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *STORIES]
    env = {**older.path, "KUMOI_TEST_SCHEMA_OF": str(newer.root)}
    played = process.run(argv, env=env, cwd=older.root, timeout_s=TIMEOUT_S, check=False)
    assert played.status == 0, played.out[-4_000:]
