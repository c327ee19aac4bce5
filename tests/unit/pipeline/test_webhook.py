"""What is taken for a git host's word."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from kumoi.base.errors import Invalid
from kumoi.base.secret import Secret
from kumoi.pipeline import webhook
from kumoi.pipeline.webhook import GitHost

SECRET = Secret("of the webhook")
BODY = b'{"ref": "refs/heads/main", "after": "abc", "repository": {"x": 1}}'
DIGEST = hmac.new(b"of the webhook", BODY, hashlib.sha256).hexdigest()
PROOFS = {
    GitHost.GITHUB: ("X-Hub-Signature-256", f"sha256={DIGEST}"),
    GitHost.GITLAB: ("X-Gitlab-Token", "of the webhook"),
    GitHost.GITEA: ("X-Gitea-Signature", DIGEST),
}
JSON = {"Content-Type": "application/json; charset=utf-8"}
PUSH = {"X-GitHub-Event": "push", "X-GitHub-Delivery": "d1", **JSON}


@pytest.mark.parametrize("host", GitHost)
def test_only_who_knows_the_secret_is_believed(host: GitHost) -> None:
    name, proof = PROOFS[host]
    assert webhook.is_genuine(host, SECRET, {name: proof}, BODY)
    assert not webhook.is_genuine(host, SECRET, {name: proof[:-1]}, BODY)
    assert not webhook.is_genuine(host, SECRET, {name: ""}, BODY)
    assert not webhook.is_genuine(host, SECRET, {}, BODY)
    assert not webhook.is_genuine(host, Secret("another"), {name: proof}, BODY)
    assert not webhook.is_genuine(host, SECRET, {name: "\u00e9" * 64}, BODY)


@pytest.mark.parametrize("host", [GitHost.GITHUB, GitHost.GITEA])
def test_a_signature_is_of_this_body(host: GitHost) -> None:
    name, proof = PROOFS[host]
    assert not webhook.is_genuine(host, SECRET, {name: proof}, BODY + b" ")


def test_a_push_names_its_branch_and_its_delivery() -> None:
    told = webhook.read(GitHost.GITHUB, PUSH, BODY)
    assert told == webhook.PushTold("d1", "main", "abc")
    gitlab = {
        "X-Gitlab-Event": "Push Hook",
        "X-Gitlab-Event-UUID": "u",
        "Idempotency-Key": "i",
        **JSON,
    }
    assert webhook.read(GitHost.GITLAB, gitlab, BODY) == webhook.PushTold("i", "main", "abc")


def test_other_events_and_tags_are_none_of_ours() -> None:
    assert webhook.read(GitHost.GITHUB, {**PUSH, "X-GitHub-Event": "ping"}, b"") is None
    assert webhook.read(GitHost.GITHUB, PUSH, b'{"ref": "refs/tags/v1"}') is None


@pytest.mark.parametrize(
    ("headers", "body", "field"),
    [
        ({"X-GitHub-Delivery": ""}, BODY, "X-GitHub-Delivery"),
        ({"X-GitHub-Delivery": "x" * 201}, BODY, "X-GitHub-Delivery"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, BODY, "Content-Type"),
        ({}, b"", "body"),
        ({}, b"\xff", "body"),
        ({}, b"[" * 100_000, "body"),
        ({}, b'{"ref": 7}', "body"),
        ({}, b'{"ref": "refs/heads/a", "after": "\\u0000"}', "body"),
        ({}, b'{"ref": "refs/heads/a", "after": "\\u001b[2J"}', "body"),
        ({}, b'{"ref": "refs/heads/"}', "ref"),
        ({}, b'{"ref": "refs/heads/a\\nb"}', "ref"),
        ({}, b'{"ref": "refs/heads/' + b"x" * 201 + b'"}', "ref"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_field(
    headers: dict[str, str], body: bytes, field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        webhook.read(GitHost.GITHUB, {**PUSH, **headers}, body)
    assert refused.value.field == field
