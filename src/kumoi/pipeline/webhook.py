"""What git hosts send when somebody pushes there, and how it is known to be theirs. Pure.

GitHub and Gitea (and Forgejo, which sends Gitea's headers) sign the body with the webhook's secret;
GitLab sends the secret itself. Either is compared in constant time. A delivery says only that there is
something to look at: what is fetched is what the host tells of its branches then.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import msgspec

from kumoi.base.errors import Invalid
from kumoi.base.secret import Secret

HEADS = "refs/heads/"
BRANCH_MAX = 200
ID_MAX = 200


class GitHost(enum.StrEnum):
    GITHUB = "github"
    GITLAB = "gitlab"
    GITEA = "gitea"


@dataclass(frozen=True, slots=True)
class _Headers:
    """Of one kind of host: the event's name, the delivery's id, and what proves it."""

    event: str
    ids: tuple[str, ...]
    proof: str
    pushes: str


HEADERS = {
    GitHost.GITHUB: _Headers(
        "X-GitHub-Event", ("X-GitHub-Delivery",), "X-Hub-Signature-256", "push"
    ),
    GitHost.GITLAB: _Headers(
        "X-Gitlab-Event",
        ("Idempotency-Key", "X-Gitlab-Event-UUID"),
        "X-Gitlab-Token",
        "Push Hook",
    ),
    GitHost.GITEA: _Headers("X-Gitea-Event", ("X-Gitea-Delivery",), "X-Gitea-Signature", "push"),
}


class PushPayload(msgspec.Struct):
    """Of all three kinds. What else there is in it is not read."""

    ref: Annotated[str, msgspec.Meta(max_length=len(HEADS) + 1_000)] = ""
    after: Annotated[str, msgspec.Meta(max_length=64, pattern=r"\A[0-9a-f]*\Z")] = ""


@dataclass(frozen=True, slots=True)
class PushTold:
    """A push to a branch; `commit` is zeros where it was deleted."""

    delivery_id: str
    branch: str
    commit: str


def is_genuine(host: GitHost, secret: Secret, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether whoever sent this knows the secret."""
    said = headers.get(HEADERS[host].proof, "")
    if host == GitHost.GITLAB:
        return Secret(said) == secret
    digest = hmac.new(secret.reveal().encode(), body, hashlib.sha256).hexdigest()
    expected = f"sha256={digest}" if host == GitHost.GITHUB else digest
    return Secret(said) == Secret(expected)


def read(host: GitHost, headers: Mapping[str, str], body: bytes) -> PushTold | None:
    """The push that it tells of; None for another event, and for a tag. Raises Invalid."""
    names = HEADERS[host]
    if headers.get(names.event, "") != names.pushes:
        return None
    delivery_id = next(filter(None, (headers.get(each, "") for each in names.ids)), "")
    if not delivery_id or len(delivery_id) > ID_MAX:
        raise Invalid(f"a delivery needs an id in {names.ids[0]}", field=names.ids[0])
    if "json" not in headers.get("Content-Type", ""):
        raise Invalid("set the webhook's content type to application/json", field="Content-Type")
    try:
        told = msgspec.json.decode(body, type=PushPayload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as cause:
        raise Invalid("the body is no push event", field="body") from cause
    branch = told.ref.removeprefix(HEADS)
    if branch == told.ref:
        return None
    if not branch or len(branch) > BRANCH_MAX or not branch.isprintable():
        raise Invalid("the push event names no branch that there could be", field="ref")
    return PushTold(delivery_id, branch, told.after)
