from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from kumoi.base.errors import Unauthenticated
from kumoi.cloud.domain.identity import (
    authentication,
    bootstrap,
    domain,
    project,
    revocation,
    user,
)
from kumoi.cloud.domain.identity.authentication import Login, NameRef, ScopeRequest
from kumoi.cloud.domain.identity.bootstrap import FirstPasswords
from kumoi.cloud.domain.identity.token import TTL_MAX_S, Claims, Tokens
from kumoi.cloud.store.identity import endpoint as endpoints
from kumoi.cloud.store.identity import revocation as store
from kumoi.cloud.store.identity.signing_key import KeyDirectory
from kumoi.cloud.store.tables import metadata
from kumoi.config import CloudSettings
from kumoi.engine import feed
from kumoi.engine.db import Database
from kumoi.engine.position import Position
from kumoi.engine.schema import feed_revision

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TTL_S = 3_600
CLOUD = CloudSettings()
DEMO = ScopeRequest(project=NameRef(name="demo", domain_id="default"))


@pytest.fixture
def database(store_url: str, tmp_path: Path) -> Iterator[Database]:
    opened = Database(store_url, wake_dir=tmp_path / "wake")
    metadata.create_all(opened.engine)
    with opened.write() as connection:
        bootstrap.bootstrap(connection, CloudSettings(), FirstPasswords("admin hash", "demo hash"))
    yield opened
    opened.close()


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return Tokens(KeyDirectory(tmp_path / "keys"), NOW)


def log_in(database: Database, login: Login | None = None, *, ttl_s: int = TTL_S) -> Claims:
    with database.read() as connection:
        found = authentication.find_user(connection, NameRef(name="demo", domain_name="Default"))
        assert found is not None
        made = login or Login(found.id, ("password",), password_hash="demo hash")
        return authentication.claims(
            connection, made, DEMO, now=NOW, cloud=CloudSettings(token_ttl_s=ttl_s)
        )


def learn(database: Database, tokens: Tokens) -> None:
    with database.read() as connection:
        revocation.refresh(connection, tokens, NOW)


def test_what_a_follower_has_is_added_and_nothing_is_forgotten(
    database: Database, tokens: Tokens
) -> None:
    """It may lack what the server that takes writes has."""
    first, second = log_in(database), log_in(database)
    signed = [tokens.sign(each) for each in (first, second)]
    with database.write() as connection:
        revocation.end_token(connection, first, NOW)
    learn(database, tokens)
    position = tokens.position
    with database.write() as connection:
        connection.execute(sa.delete(store.revocation))
        revocation.end_token(connection, second, NOW)
    with database.read() as connection:
        revocation.refresh_from_follower(connection, tokens, NOW)
    for token in signed:
        with pytest.raises(Unauthenticated):
            tokens.check(token, now=NOW)
    assert tokens.position == position  # From which the leader is read on.


def test_starting_twice_makes_nothing_twice_and_keeps_what_was_changed(
    database: Database,
) -> None:
    claims = log_in(database)
    with database.write() as connection:
        user.update(connection, claims.user_id, {"password_hash": "changed"}, cloud=CLOUD, now=NOW)
        bootstrap.bootstrap(connection, CloudSettings(), FirstPasswords("x", "y"))
        assert user.get(connection, claims.user_id).password_hash == "changed"
        assert len(endpoints.enabled(connection)) == len(bootstrap.SERVICES) * len(
            bootstrap.INTERFACES
        )


def test_a_login_that_races_with_a_password_change_gets_nothing(database: Database) -> None:
    claims = log_in(database)
    with database.write() as connection:
        user.update(connection, claims.user_id, {"password_hash": "changed"}, cloud=CLOUD, now=NOW)
    with pytest.raises(Unauthenticated):
        log_in(database)


def test_a_new_password_ends_older_tokens_and_no_newer_one_at_the_same_instant(
    database: Database, tokens: Tokens
) -> None:
    older = log_in(database)
    with database.write() as connection:
        user.update(connection, older.user_id, {"password_hash": "changed"}, cloud=CLOUD, now=NOW)
    newer = log_in(database, Login(older.user_id, ("password",), password_hash="changed"))
    learn(database, tokens)
    with pytest.raises(Unauthenticated):
        tokens.check(tokens.sign(older), now=NOW)
    assert tokens.check(tokens.sign(newer), now=NOW) == newer


def test_an_ended_token_makes_no_new_one_even_where_that_is_not_known_yet(
    database: Database,
) -> None:
    parent = log_in(database)
    with database.write() as connection:
        revocation.end_user(connection, parent.user_id, NOW)
    with pytest.raises(Unauthenticated):
        log_in(database, Login(parent.user_id, ("token",), parent=parent))
    again = log_in(database)
    with database.write() as connection:
        revocation.end_token(connection, again, NOW)
    with pytest.raises(Unauthenticated):
        log_in(database, Login(again.user_id, ("token",), parent=again))


def test_a_token_lives_no_longer_than_revocations_are_kept(database: Database) -> None:
    claims = log_in(database, ttl_s=10 * TTL_MAX_S)
    assert claims.exp - claims.iat == TTL_MAX_S


def test_only_what_is_new_is_read_again(database: Database, tokens: Tokens) -> None:
    claims = log_in(database)
    with database.write() as connection:
        revocation.end_token(connection, claims, NOW)
    learn(database, tokens)
    with database.read() as connection:
        assert store.load(connection, tokens.position).ends == {}
        assert len(store.load(connection, Position()).ends) == 1


def test_a_store_that_went_back_is_read_from_its_beginning(
    database: Database, tokens: Tokens
) -> None:
    """What it lost is no longer revoked; what it gives at a revision read before, is."""
    lost, kept = log_in(database), log_in(database)
    with database.write() as connection:
        went_back_to = feed.position(connection).revision
        revocation.end_token(connection, lost, NOW)
    learn(database, tokens)
    with database.write() as connection:
        connection.execute(sa.delete(store.revocation))
        connection.execute(sa.update(feed_revision).values(value=went_back_to))
        feed.new_epoch(connection)
        revocation.end_token(connection, kept, NOW)
        assert feed.position(connection).revision == tokens.position.revision
    learn(database, tokens)
    assert tokens.check(tokens.sign(lost), now=NOW) == lost
    with pytest.raises(Unauthenticated):
        tokens.check(tokens.sign(kept), now=NOW)


def test_rows_that_end_no_token_any_more_go(database: Database) -> None:
    claims = log_in(database)
    with database.write() as connection:
        revocation.end_token(connection, claims, NOW)
    later = NOW + timedelta(days=1)
    with database.write() as connection:
        revocation.end_user(connection, claims.user_id, later)
        assert [kind for kind, _ in store.load(connection, Position()).ends] == ["user"]


@pytest.mark.parametrize("what", ["tokens", "credentials"])
def test_whoever_ends_one_after_the_other_without_end_ends_all_of_his_and_fills_no_memory(
    database: Database, tokens: Tokens, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Each took 350 bytes of every process for hours, and the next one copied them all."""
    monkeypatch.setattr(revocation, "ENDED_MAX", 3)
    other = log_in(database)
    others = tokens.sign(other)
    for number in range(3):
        with database.write() as connection:
            if what == "tokens":
                revocation.end_token(connection, log_in(database), NOW)
            else:
                revocation.end_credential(connection, f"gone-{number}", other.user_id, NOW)
        learn(database, tokens)
    assert tokens.check(others, now=NOW) == other
    last = log_in(database)
    with database.write() as connection:
        revocation.end_token(connection, last, NOW)
    learn(database, tokens)
    for token in (others, tokens.sign(last)):
        with pytest.raises(Unauthenticated):
            tokens.check(token, now=NOW)
    assert list(tokens._revoked.ends) == [("user", other.user_id)]
    with database.read() as connection:
        assert list(store.every(connection)) == [("user", other.user_id)]
    again = log_in(database)
    assert tokens.check(tokens.sign(again), now=NOW) == again
    with database.write() as connection:
        revocation.end_token(connection, again, NOW)
    learn(database, tokens)
    with pytest.raises(Unauthenticated):
        tokens.check(tokens.sign(again), now=NOW)


def test_a_process_that_hears_late_of_a_token_that_ended_with_all_others_forgets_none_that_ended_since(
    database: Database, tokens: Tokens
) -> None:
    older = log_in(database)
    with database.write() as connection:
        revocation.end_token(connection, older, NOW)
    with database.read() as connection:
        read_early = store.load(connection, tokens.position)
    with database.write() as connection:
        revocation.end_user(connection, older.user_id, NOW)
    with database.read() as connection:
        read_between = store.load(connection, tokens.position)
    since = log_in(database)
    with database.write() as connection:
        revocation.end_token(connection, since, NOW)
    learn(database, tokens)
    for read in (read_early, read_between):
        tokens.revoke_known(read, now=NOW)
    for claims in (older, since):
        with pytest.raises(Unauthenticated):
            tokens.check(tokens.sign(claims), now=NOW)


@pytest.mark.parametrize("gone", ["user", "domain"])
def test_a_password_that_was_right_opens_nothing_once_its_user_is_disabled(
    database: Database, gone: str
) -> None:
    claims = log_in(database)
    with database.write() as connection:
        if gone == "user":
            user.update(connection, claims.user_id, {"enabled": False}, cloud=CLOUD, now=NOW)
        else:
            domain.update(connection, "default", {"enabled": False}, NOW)
    with pytest.raises(Unauthenticated):
        log_in(database)


def test_a_password_change_that_lost_the_race_changes_nothing(database: Database) -> None:
    claims = log_in(database)
    with database.write() as connection, pytest.raises(Unauthenticated):
        user.change_password(
            connection, claims.user_id, checked_hash="older", new_hash="mine", cloud=CLOUD, now=NOW
        )
    assert log_in(database).user_generation == claims.user_generation


def test_a_default_project_that_is_closed_leaves_the_login_without_one(
    database: Database,
) -> None:
    claims = log_in(database)
    assert claims.project is not None
    login = Login(claims.user_id, ("password",), password_hash="demo hash")
    with database.write() as connection:
        project.update(connection, claims.project.id, {"enabled": False}, NOW)
    with database.read() as connection:
        found = authentication.claims(connection, login, None, now=NOW, cloud=CLOUD)
    assert found.target_id is None
    assert found.roles == []
