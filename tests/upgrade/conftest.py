from __future__ import annotations

import pytest

from tests.upgrade.releases import PLAY, ROOT, Release, before, take_out


@pytest.fixture(scope="session")
def older(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """The release before this one."""
    folder = tmp_path_factory.mktemp("before") / "checkout"
    release = take_out(before(ROOT), folder, repository=ROOT)
    assert release.run(PLAY, "where").startswith(str(folder))
    return release


@pytest.fixture(scope="session")
def newer() -> Release:
    """This one."""
    release = Release("this", ROOT)
    assert release.run(PLAY, "where").startswith(str(ROOT))
    return release
