"""The query and the answer of a list: by offset, with links to the pages beside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kumoi.base.errors import Invalid
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.key_manager.kept import KeptRules, Row
from kumoi.cloud.store.key_manager.kept import KeptPage
from kumoi.engine.http import paging
from kumoi.engine.http.request import Reply

LIMIT = 10
LIMIT_MAX = 100
OFFSET_MAX = 1_000_000


def page(
    request: Request, rules: KeptRules[Row], filters: Mapping[str, str]
) -> tuple[KeptPage[Row], int, int]:
    """With the limit and the offset that it was made with. `filters` are columns by their names in a
    query.
    """
    limit = min(_natural(request, "limit", LIMIT) or LIMIT, LIMIT_MAX)
    offset = min(_natural(request, "offset", 0), OFFSET_MAX)
    asked = {
        column: request.query[name] for name, column in filters.items() if request.query.get(name)
    }
    with request.read() as connection:
        found = rules.page(connection, request.caller, asked, limit=limit, offset=offset)
    return found, limit, offset


def reply(
    request: Request, words: str, shown: list[dict[str, Any]], found: tuple[KeptPage[Any], int, int]
) -> Reply:
    rows, limit, offset = found
    answer: dict[str, Any] = {words: shown, "total": rows.total}
    path = f"{request.base}/v1/{words}"
    if offset + limit < rows.total:
        answer["next"] = f"{path}?limit={limit}&offset={offset + limit}"
    if offset:
        answer["previous"] = f"{path}?limit={limit}&offset={max(offset - limit, 0)}"
    return Reply(200, answer)


def _natural(request: Request, name: str, default: int) -> int:
    text = request.query.get(name)
    if not text:
        return default
    number = paging.natural(text)
    if number is None:
        raise Invalid("URI provided invalid query string parameters.", field=name)
    return number
