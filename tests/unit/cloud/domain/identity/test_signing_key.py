"""When a key signs, when it is accepted, and when it goes."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kumoi.base.errors import Bug, Conflict
from kumoi.cloud.domain.identity import signing_key
from kumoi.cloud.domain.identity.signing_key import (
    KEYS_MAX,
    LEARN_S,
    PUBLISHED_S,
    TTL_MAX_S,
    rotate,
    signer,
)
from kumoi.cloud.store.identity.signing_key import KeyDirectory

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
PUBLISHED = timedelta(seconds=PUBLISHED_S)
EXPIRED = timedelta(seconds=TTL_MAX_S) + 2 * PUBLISHED


@pytest.fixture
def keys(tmp_path: Path) -> KeyDirectory:
    directory = KeyDirectory(tmp_path / "pki" / "keys")
    signing_key.ensure_first(directory, NOW)
    return directory


def accepted(keys: KeyDirectory, now: datetime) -> list[str]:
    return [span.key.id for span in signing_key.accepted(keys.load(), now)]


def test_the_first_key_signs_at_once(keys: KeyDirectory) -> None:
    (only,) = keys.load()
    assert signer([only], NOW).id == only.id
    assert accepted(keys, NOW + timedelta(days=4_000)) == [only.id]


def test_a_new_key_is_accepted_before_it_signs(keys: KeyDirectory) -> None:
    (old,) = keys.load()
    later = NOW + timedelta(days=30)
    new = rotate(keys, later).key
    assert accepted(keys, later) == [old.id, new.id]
    assert signer(keys.load(), later + PUBLISHED - timedelta(seconds=1)).id == old.id
    assert signer(keys.load(), later + PUBLISHED).id == new.id
    assert LEARN_S < PUBLISHED_S


def test_an_old_key_is_accepted_until_its_last_token_has_expired_and_then_removed(
    keys: KeyDirectory,
) -> None:
    (old,) = keys.load()
    new = rotate(keys, NOW + timedelta(days=1)).key
    last_token = NOW + timedelta(days=1) + PUBLISHED + timedelta(seconds=TTL_MAX_S)
    assert old.id in accepted(keys, last_token)
    gone = NOW + timedelta(days=1) + EXPIRED
    assert accepted(keys, gone) == [new.id]
    assert len(keys.load()) == 2
    signing_key.remove_expired(keys, gone)
    assert [key.id for key in keys.load()] == [new.id]


def test_one_rotation_at_a_time(keys: KeyDirectory) -> None:
    rotate(keys, NOW)
    with pytest.raises(Conflict, match="rotate again after that"):
        rotate(keys, NOW + PUBLISHED - timedelta(seconds=1))
    rotate(keys, NOW + PUBLISHED)


def test_the_number_of_keys_is_bounded(keys: KeyDirectory) -> None:
    for number in range(1, KEYS_MAX):
        rotate(keys, NOW + number * PUBLISHED)
    with pytest.raises(Conflict, match="5 keys are still accepted"):
        rotate(keys, NOW + KEYS_MAX * PUBLISHED)
    rotate(keys, NOW + EXPIRED + PUBLISHED)


def test_only_their_owner_reads_the_keys(keys: KeyDirectory, tmp_path: Path) -> None:
    rotate(keys, NOW)
    folder = tmp_path / "pki" / "keys"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in folder.iterdir()] == [0o600, 0o600]


def test_two_processes_that_start_at_once_have_one_first_key(tmp_path: Path) -> None:
    make = (
        "import sys; from pathlib import Path; from datetime import UTC, datetime\n"
        "from kumoi.cloud.domain.identity import signing_key\n"
        "from kumoi.cloud.store.identity.signing_key import KeyDirectory\n"
        "input(); signing_key.ensure_first(KeyDirectory(Path(sys.argv[1])), datetime.now(UTC))\n"
    )
    argv = [sys.executable, "-c", make, str(tmp_path)]
    both = [subprocess.Popen(argv, stdin=subprocess.PIPE) for _ in range(2)]
    for item in both:
        assert item.stdin is not None
        item.stdin.write(b"go\n")
        item.stdin.flush()
    assert [item.wait(60) for item in both] == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["first.json"]


@pytest.mark.parametrize(
    "change",
    [
        {"algorithm": "ML-DSA-65"},
        {"private_key": "none"},
        {"made_at": 5},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_key_of_another_release_harms_only_its_own_tokens(
    keys: KeyDirectory, tmp_path: Path, change: dict[str, object]
) -> None:
    folder = tmp_path / "pki" / "keys"
    (old,) = keys.load()
    new = rotate(keys, NOW).key
    file = folder / f"{new.id}.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change | {"since": "0.9"}))
    assert signer(keys.load(), NOW + PUBLISHED).id == old.id
    assert accepted(keys, NOW + PUBLISHED) == [old.id]
    signing_key.remove_expired(keys, NOW + timedelta(days=4_000))
    assert file.exists()


def test_no_first_key_is_made_beside_one_that_is_not_understood(tmp_path: Path) -> None:
    (tmp_path / "k.json").write_text("{}")
    directory = KeyDirectory(tmp_path)
    with pytest.raises(Bug):
        signer(directory.load(), NOW)
    signing_key.ensure_first(directory, NOW)
    assert [path.name for path in tmp_path.iterdir()] == ["k.json"]
