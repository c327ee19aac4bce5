"""A process of its own that probes members: what they answer is read here and by nobody with rights.

It has no rights: no socket but those it is given, no file, no program (kinds/load_balancer.py starts
it). The agent sends it, over a pair of sockets, what to probe and a socket of the balancer's network
for it, and it answers whether that went well.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import sys
from dataclasses import dataclass, field

import msgspec

from kumoi.base import files

MESSAGE_MAX = 8_192
ANSWER_MAX = 16_384
ECHO_REQUEST = {socket.AF_INET: 8, socket.AF_INET6: 128}
UDP_WAIT_S = 1.0
"""How long the refusal of a datagram is waited for."""


class ProbeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`type` and what is asked for by HTTP are in the API's words. The `certificate` is shown to a member
    that speaks TLS, as PEM with its key; on the way it is a second descriptor, since it may be large.
    """

    number: int
    type: str
    address: str
    port: int
    timeout_s: float
    http_method: str = ""
    url_path: str = ""
    expected_codes: str = ""
    http_version: str = ""
    domain_name: str = ""
    certificate: str = ""


class ProbeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    number: int
    good: bool


@dataclass(slots=True)
class Prober:
    """`peer` is the agent's end."""

    peer: socket.socket
    running: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self) -> None:
        """Until the agent has closed its end."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def receive() -> None:
            try:
                content, descriptors, _, _ = socket.recv_fds(self.peer, MESSAGE_MAX, 2)
            except BlockingIOError:
                return
            if not content:
                ended.set()
                return
            request = msgspec.json.decode(content, type=ProbeRequest)
            for certificate in descriptors[1:]:
                request = msgspec.structs.replace(request, certificate=_whole(certificate))
            task = loop.create_task(self._answer(request, socket.socket(fileno=descriptors[0])))
            self.running.add(task)
            task.add_done_callback(self.running.discard)

        loop.add_reader(self.peer, receive)
        await ended.wait()
        os._exit(0)  # Whatever is being probed: nobody waits for it.

    async def _answer(self, request: ProbeRequest, opened: socket.socket) -> None:
        good = False
        with opened:
            opened.settimeout(0)
            with contextlib.suppress(OSError, ValueError, EOFError, asyncio.LimitOverrunError):
                async with asyncio.timeout(request.timeout_s):
                    good = await probe(request, opened)
        answer = msgspec.json.encode(ProbeAnswer(number=request.number, good=good))
        with contextlib.suppress(
            OSError
        ):  # Of a full pair the agent knows nothing, and asks again.
            self.peer.send(answer)


async def probe(request: ProbeRequest, opened: socket.socket) -> bool:
    """Raises OSError, among others, where it does not go well."""
    loop = asyncio.get_running_loop()
    if opened.type == socket.SOCK_DGRAM:
        return await _datagram(request, opened)
    await loop.sock_connect(opened, (request.address, request.port))
    match request.type:
        case "HTTP" | "HTTPS":
            return await _http(request, opened)
        case "TLS-HELLO":
            _, writer = await asyncio.open_connection(
                sock=opened, ssl=_tls(request.certificate), server_hostname=""
            )
            writer.transport.abort()
    return True


async def _datagram(request: ProbeRequest, opened: socket.socket) -> bool:
    """A ping is good when it is answered, anything else unless it is refused. The kernel fills in a
    ping's checksum and identity, and gives us the answers to our own. Not connected by the event
    loop, which asks for names and knows no such socket.
    """
    loop = asyncio.get_running_loop()
    opened.connect((request.address, request.port))
    if request.type == "PING":
        await loop.sock_sendall(opened, bytes((ECHO_REQUEST[opened.family], 0, 0, 0, 0, 0, 0, 1)))
        return bool(await loop.sock_recv(opened, ANSWER_MAX))
    await loop.sock_sendall(opened, b"\0")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(min(UDP_WAIT_S, request.timeout_s / 2)):
            await loop.sock_recv(opened, ANSWER_MAX)
    return True


async def _http(request: ProbeRequest, opened: socket.socket) -> bool:
    tls = _tls(request.certificate) if request.type == "HTTPS" else None
    name = request.domain_name if tls else None
    reader, writer = await asyncio.open_connection(
        sock=opened, ssl=tls, server_hostname=name, limit=ANSWER_MAX
    )
    try:
        host = request.domain_name or request.address
        lines = [f"{request.http_method} {request.url_path} HTTP/{request.http_version}"]
        lines += [f"Host: {host}", "User-Agent: kumoi", "Connection: close", "", ""]
        writer.write("\r\n".join(lines).encode())
        status = await reader.readuntil(b"\n")
    finally:
        writer.transport.abort()
    protocol, code = status.split(None, 2)[:2]
    return protocol.startswith(b"HTTP/") and int(code) in codes(request.expected_codes)


def codes(text: str) -> frozenset[int]:
    """Of "200", "200,202" or "200-204"."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def _tls(certificate: str) -> ssl.SSLContext:
    """Whoever answers: the API has no word for whose certificate it must be. Raises OSError where ours is
    none.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if certificate:
        with files.in_memory(certificate) as descriptor:
            context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    return context


def _whole(descriptor: int) -> str:
    os.lseek(descriptor, 0, os.SEEK_SET)
    with open(descriptor) as file:
        return file.read()


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as own_end:
        own_end.settimeout(0)
        asyncio.run(Prober(own_end).run())
