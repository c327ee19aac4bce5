"""An HTTP client that calls an ASGI application directly, in this thread, without a socket."""

from __future__ import annotations

import asyncio
from typing import Any, Self

import httpx
from starlette.types import ASGIApp


class AsgiClient:
    """`with AsgiClient(app) as client: client.get("/path")`."""

    def __init__(self, app: ASGIApp) -> None:
        self._transport = httpx.ASGITransport(app)
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        self._runner.__enter__()
        return self

    def __exit__(self, *_raised: object) -> None:
        self._runner.close()

    def request(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        return self._runner.run(self._request(method, path, kwargs))

    def get(self, path: str, **kwargs: Any) -> httpx.Response:
        return self.request("GET", path, **kwargs)

    def post(self, path: str, **kwargs: Any) -> httpx.Response:
        return self.request("POST", path, **kwargs)

    async def _request(self, method: str, path: str, kwargs: dict[str, Any]) -> httpx.Response:
        async with httpx.AsyncClient(transport=self._transport, base_url="http://asked") as client:
            return await client.request(method, path, **kwargs)
