"""What Keystone has and this cloud does not offer: its paths say so, and what to do instead.

Lists are empty, so that dashboards which look there find nothing, rather than an error.
"""

from __future__ import annotations

from collections.abc import Callable

from kumoi.base.errors import Unsupported
from kumoi.cloud.api.identity import rendering
from kumoi.cloud.api.request import Request
from kumoi.engine.http.request import Reply

OAUTH1 = "OAuth 1.0a is not offered: make an application credential, with access rules if need be"
FEDERATION = "federation is not offered: users of this cloud log in with a password of their own"


def none_listed(name: str) -> Callable[[Request], Reply]:
    """A list that is always empty."""

    def index(request: Request) -> Reply:
        return Reply(200, rendering.page(request, name, []))

    return index


def oauth1(_request: Request) -> Reply:
    raise Unsupported(OAUTH1)


def federation(_request: Request) -> Reply:
    raise Unsupported(FEDERATION)
