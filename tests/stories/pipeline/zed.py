"""A strict OpenStack Zed before our own APIs: it passes on what Zed has (zed_api.py) and refuses the rest.

An ASGI application that checks each request and answer and forwards by HTTP. `refused` says what it did
not take, so that a caller that lives with a refusal is found too.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import httpx
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from tests.free_port import free_port
from tests.stories.pipeline.zed_api import (
    API,
    COMPUTE_MAX,
    METADATA_MAX,
    USER_DATA_MAX,
    VERSIONS,
    Call,
    Shape,
)

from kumoi.engine.activation import Activation
from kumoi.engine.http.serving import Listener, serve

START_S = 20.0
NEWEST = {"version", "max_version"}
PASSED_ON = ("x-auth-token", "x-subject-token", "content-type", "openstack-api-version",
             "x-openstack-nova-api-version", "accept", "forwarded")  # fmt: skip
HELD_BACK = {"content-length", "transfer-encoding", "connection", "date"}


@dataclass
class Zed:
    """`behind` is the URL of our APIs, `without` are services that this cloud lacks. `done` is called when a
    call has been made, before its answer goes out.
    """

    behind: str
    url: str
    without: frozenset[str] = frozenset()
    refused: list[str] = field(default_factory=list)
    served: set[tuple[str, str]] = field(default_factory=set)
    done: Callable[[str, str], None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        answer = await self._answer(request)
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        service, path = _split(request.url.path)
        calls = {} if service in self.without else API.get(service, {})
        found = next((each for each in calls if _matches(each, request.method, path)), None)
        if found is None:
            return self._refuse(404, request, "there is no such path")
        call, body = calls[found], await request.body()
        why = _fault(call, request, body) or _too_new(request.headers)
        if why:
            return self._refuse(400, request, why)
        self.served.add((service, " ".join(found)))
        headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
        query = f"?{request.url.query}" if request.url.query else ""
        async with httpx.AsyncClient(timeout=60) as client:
            answer = await client.request(
                request.method,
                f"{self.behind}{request.url.path}{query}",
                headers=headers,
                content=body,
            )
        if self.done is not None:
            self.done(service, " ".join(found))
        kept = {name: value for name, value in answer.headers.items() if name not in HELD_BACK}
        kept.pop("content-encoding", None)
        return Response(self._told(service, call, answer), answer.status_code, kept)

    def _told(self, service: str, call: Call, answer: httpx.Response) -> bytes:
        """The answer with what Zed tells, and with this cloud's addresses."""
        text = answer.text.replace(self.behind, self.url)
        if not answer.is_success or not text:
            return text.encode()
        said = json.loads(text)
        if call is VERSIONS:
            return json.dumps(_older(said) if service == "compute" else said).encode()
        if call.answer is not None:
            said = _only(said, call.answer)
        if service == "identity" and "catalog" in said.get("token", {}):
            said["token"]["catalog"] = [
                each
                for each in said["token"]["catalog"]
                if each["type"] in API and each["type"] not in self.without
            ]
        return json.dumps(said).encode()

    def _refuse(self, status: int, request: Request, why: str) -> Response:
        said = f"{request.method} {request.url.path}?{request.url.query}: {why}"
        self.refused.append(said)
        return Response(json.dumps({"error": {"message": said, "code": status}}), status)


@contextlib.contextmanager
def serving(behind: str, *, without: frozenset[str] = frozenset()) -> Iterator[Zed]:
    port = free_port()
    zed = Zed(behind, f"http://127.0.0.1:{port}", without)
    loop, ready = asyncio.new_event_loop(), threading.Event()

    async def run() -> None:
        listener = Listener(zed, "127.0.0.1", port)
        serving = asyncio.create_task(serve([listener], Activation.none()))
        loop.call_soon(ready.set)
        with contextlib.suppress(asyncio.CancelledError):
            await serving

    thread = threading.Thread(target=loop.run_until_complete, args=[run()])
    thread.start()
    try:
        assert ready.wait(START_S)
        yield zed
    finally:
        loop.call_soon_threadsafe(lambda: [task.cancel() for task in asyncio.all_tasks(loop)])
        thread.join(START_S)
        loop.close()


def _split(path: str) -> tuple[str, str]:
    _, service, *rest = path.split("/", 2)
    return service, "/" + (rest[0].rstrip("/") if rest else "")


def _matches(call: tuple[str, str], method: str, path: str) -> bool:
    pattern = re.escape(call[1]).replace(r"\{\}", "[^/]+")
    return call[0] == method and re.fullmatch(pattern, path) is not None


def _fault(call: Call, request: Request, body: bytes) -> str:
    """What Zed does not take; empty when it takes all."""
    words = {name for name, _ in parse_qsl(request.url.query, keep_blank_values=True)}
    if words - call.query:
        return f"unknown query words {sorted(words - call.query)}"
    if call.body is None or not body:
        return ""
    said = json.loads(body)
    return _unknown(said, call.body, "") or _server_fault(said.get("server", {}))


def _unknown(said: Any, shape: Shape | None, path: str) -> str:
    """The first key that is not in the shape."""
    if shape is None:
        return ""
    if isinstance(said, list):
        return next(filter(None, (_unknown(each, shape, path) for each in said)), "")
    if not isinstance(said, dict):
        return ""
    for key, value in said.items():
        if key not in shape:
            return f"unknown key {path}{key}"
        inner = _unknown(value, shape[key], f"{path}{key}.")
        if inner:
            return inner
    return ""


def _server_fault(server: dict[str, Any]) -> str:
    """Nova's bounds."""
    user_data = server.get("user_data") or ""
    if len(user_data) > USER_DATA_MAX:
        return f"user_data of {len(user_data)} characters"
    base64.b64decode(user_data, validate=True)
    for key, value in (server.get("metadata") or {}).items():
        if len(key) > METADATA_MAX or not isinstance(value, str) or len(value) > METADATA_MAX:
            return f"metadata {key}"
    return "" if not server or "networks" in server else "networks are missing, from 2.37 on"


def _too_new(headers: Any) -> str:
    """A microversion of compute that Zed has not."""
    said = headers.get("openstack-api-version", "")
    found = re.fullmatch(r"compute (\d+)\.(\d+)", said)
    if said.startswith("compute ") and (
        found is None or (int(found[1]), int(found[2])) > COMPUTE_MAX
    ):
        return f"no such version: {said}"
    return ""


def _only(said: Any, shape: Shape | None) -> Any:
    """Without the keys that Zed does not tell."""
    if shape is None:
        return said
    if isinstance(said, list):
        return [_only(each, shape) for each in said]
    if not isinstance(said, dict):
        return said
    return {key: _only(value, shape[key]) for key, value in said.items() if key in shape}


def _older(document: Any) -> Any:
    """A version document of compute, with Zed's newest."""
    newest = ".".join(map(str, COMPUTE_MAX))
    if isinstance(document, list):
        return [_older(each) for each in document]
    if not isinstance(document, dict):
        return document
    return {
        key: newest if key in NEWEST and value and isinstance(value, str) else _older(value)
        for key, value in document.items()
    }
