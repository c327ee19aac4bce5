"""Errors for clients that do not ask for JSON: an HTML page, as Glance answers.

Its own command line client sends `Accept: */*` and reads the page; other JSON than Glance's it
cannot read. Where Glance answers plain text (`Accept:` is empty, as openstacksdk sends it with a
PATCH) the page is answered too, since openstacksdk shows a reason from a page only.
"""

from __future__ import annotations

from dataclasses import replace
from html import escape
from http import HTTPStatus
from typing import Any

from kumoi.base.errors import KumoiError
from kumoi.cloud.api.errors import CHALLENGE
from kumoi.cloud.api.request import Request
from kumoi.engine.http import errors
from kumoi.engine.http.request import Reply
from kumoi.engine.http.service import Service

HTML, JSON = "text/html", "application/json"


def refusal(request: Request, error: KumoiError) -> Reply | None:
    """None for a client that likes JSON better than HTML."""
    if likes_json(request.http.headers.get("Accept", "")):
        return None
    return replace(errors.reply(error, AS_PAGE), media_type=HTML)


def likes_json(accept: str) -> bool:
    """RFC 9110, 12.5.1: the most specific range that fits a media type says its weight."""
    ranges: dict[str, float] = {}
    for part in accept.split(","):
        name, *parameters = (word.strip().lower() for word in part.split(";"))
        weights = [text[2:] for text in parameters if text.startswith("q=")]
        try:
            ranges[name] = float(weights[0]) if weights else 1.0
        except ValueError:
            ranges[name] = 0.0

    def weight(*names: str) -> float:
        return next((ranges[name] for name in (*names, "*/*") if name in ranges), 0.0)

    return weight(JSON, "application/*") > weight(HTML, "text/*")


def _page(status: int, message: str, _error: KumoiError) -> Any:
    title = f"{status} {HTTPStatus(status).phrase}"
    head = f" <head>\n  <title>{title}</title>\n </head>\n"
    body = f" <body>\n  <h1>{title}</h1>\n  {escape(message)}<br /><br />\n </body>\n"
    return f"<html>\n{head}{body}</html>".encode()


AS_PAGE = Service(type="image", prefix="image", routes=(), envelope=_page, challenge=CHALLENGE)
