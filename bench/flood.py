"""What a neighbour waits for while another floods the API, in an API process of its own over SQLite
and TLS: the 99th percentile of the neighbour's calls, beside what it is without a flood. The flood is stopped and
goes on in turn, so that both are of the same time, whatever else the machine does.

The flood comes from a process of its own and from other addresses. The API and the neighbour come
before it, and before all else on the machine (as root), since in the world they would not share one:
whatever they do not ask for is the flood's.

Needs no cloud that is up.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import multiprocessing
import os
import random
import signal
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Self

from bench.api import PASSWORD, process, serve_api, tenant
from bench.load import Call, Client, Server, log_in
from bench.measure import Figure, come_first

FLOODERS = tuple(f"127.0.0.{number}" for number in range(2, 6))
CONNECTIONS = 500
CLIENTS = 32
WRITERS = 16
EACH = 1_200  # With 300 the third worst decides a percentile of 99, which moves by a half between runs.
ROUNDS = 24
LAST = 5  # The flood's priority, as nice(1) counts.
SPENT_MAX_S = 5.0  # In one round.
SETTLED_S = 0.2
WARM_S = 1.0
DRIP_EVERY_S = 1.0
DRIPPED = b"GET /image/v2/images HTTP/1.1\r\nX-Slow: "  # A head that never ends; a wrong one is refused at once.
BODY_BYTES = 110_000
TIMES_MAX = 2.0
PAUSE_S = 0.002

Flood = Callable[["Flooder"], None]


@dataclass(frozen=True, slots=True)
class Neighbour:
    """`calls` by what they are."""

    server: Server
    calls: dict[str, Call]

    def samples(self) -> dict[str, list[float]]:
        """Milliseconds of each call, one after another in turn."""
        client = Client(self.server)
        encoded = {what: call.encode(self.server) for what, call in self.calls.items()}
        found: dict[str, list[float]] = {what: [] for what in encoded}
        end = time.monotonic() + SPENT_MAX_S
        for number in range(EACH // ROUNDS):
            for what, request in encoded.items():
                began = time.perf_counter()
                client.send(request)
                if number:  # The first does not count.
                    found[what].append((time.perf_counter() - began) * 1_000)
                time.sleep(random.random() * PAUSE_S)
            if time.monotonic() > end:
                break
        client.close()
        return found


def figures() -> list[Figure]:
    come_first()
    with (
        tempfile.TemporaryDirectory(prefix="kumoi-bench-") as directory,
        contextlib.ExitStack() as ends,
    ):
        nobody, pid = ends.enter_context(process(serve_api, Path(directory)))
        neighbour, flooding = _people(nobody)
        neighbour.samples()
        rows: list[Figure] = []
        for what, flood in FLOODS.items():
            before = _pss_kib(pid)
            with _Flood(flood, flooding) as flooded:
                usual, during = _in_turn(neighbour, flooded)
                if flood is idle:
                    held = (_pss_kib(pid) - before) / CONNECTIONS
                    rows.append(Figure("memory of an idle connection", [held], "KiB"))
                answered, refused = flooded.per_s()
            rows.append(Figure(f"{what}: answered", [answered], "per s"))
            rows.append(Figure("  and refused", [refused], "per s"))
            for call, samples in during.items():
                usually = Figure(f"  {call}, usually", usual[call], "ms")
                now = Figure("    meanwhile", samples, "ms")
                times = [now.p99 / usually.p99]
                rows += [usually, now, Figure("    p99, times the usual", times, "", TIMES_MAX)]
    return rows


Samples = dict[str, list[float]]


def _in_turn(neighbour: Neighbour, flooded: _Flood) -> tuple[Samples, Samples]:
    """The neighbour's samples without the flood, and with it."""
    usual: Samples = {what: [] for what in neighbour.calls}
    during: Samples = {what: [] for what in neighbour.calls}
    for _ in range(ROUNDS):
        for found, turn in ((usual, flooded.stopped()), (during, contextlib.nullcontext())):
            with turn:
                time.sleep(SETTLED_S)
                for what, samples in neighbour.samples().items():
                    found[what] += samples
    return usual, during


def _people(nobody: Server) -> tuple[Neighbour, Server]:
    """The neighbour is demo, with quotas lifted, and the flooder a user of another project."""
    server = tenant(nobody)
    admin = log_in(nobody, "admin", PASSWORD)
    client = Client(admin)
    project = client.ask(Call("POST", "/identity/v3/projects", {"project": {"name": "noisy"}}))
    user = {"name": "noisy", "password": PASSWORD}
    made = client.ask(Call("POST", "/identity/v3/users", {"user": user}))["user"]["id"]
    project_id = project["project"]["id"]
    member = client.ask(Call("GET", "/identity/v3/roles?name=member"))["roles"][0]["id"]
    client.send(
        Call("PUT", f"/identity/v3/projects/{project_id}/users/{made}/roles/{member}").encode(admin)
    )
    quota = {"quota": {"network": -1, "port": -1}}
    client.ask(Call("PUT", f"/network/v2.0/quotas/{project_id}", quota))
    client.close()
    calls = {
        "a validation": Call(
            "GET", "/identity/v3/auth/tokens", headers={"X-Subject-Token": server.token}
        ),
        "a list of images": Call("GET", "/image/v2/images"),
        "a new network": Call("POST", "/network/v2.0/networks", {"network": {"name": "n"}}),
    }
    return Neighbour(server, calls), log_in(nobody, "noisy", PASSWORD)


def _pss_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


# The flood's own process.


class _Flood:
    """Begun, and ended with the block."""

    def __init__(self, flood: Flood, server: Server) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._child = context.Process(target=_run, args=(theirs, flood, server))

    def __enter__(self) -> Self:
        self._child.start()
        self._pipe.recv()
        self._began = time.monotonic()
        self._stopped_s = 0.0
        return self

    def __exit__(self, *_why: object) -> None:
        self._signal(signal.SIGKILL)
        self._child.join()

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        began = time.monotonic()
        self._signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(signal.SIGCONT)
            self._stopped_s += time.monotonic() - began

    def per_s(self) -> tuple[float, float]:
        """How many were answered and refused while it went on."""
        spent = time.monotonic() - self._began - self._stopped_s
        self._pipe.send(None)
        answered, refused = self._pipe.recv()
        return answered / spent, refused / spent

    def _signal(self, number: signal.Signals) -> None:
        if self._child.pid is not None:
            os.killpg(self._child.pid, number)


def _run(pipe: Pipe, flood: Flood, server: Server) -> None:
    os.setpgid(0, 0)
    os.setpriority(os.PRIO_PROCESS, 0, LAST)
    flooder = Flooder(server)
    flood(flooder)
    time.sleep(WARM_S)
    flooder.answered = flooder.refused = 0
    pipe.send(None)
    pipe.recv()
    pipe.send((flooder.answered, flooder.refused))
    pipe.recv()


class Flooder:
    """What the floods are made of. Threads count without a lock: a few may be lost."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.answered = 0
        self.refused = 0

    def keep_asking(self, make: Callable[[], Call], clients: int) -> None:
        """So many connections of one address, each of which asks as soon as it was answered."""
        for _ in range(clients):
            threading.Thread(target=self._ask, args=(make,), daemon=True).start()

    def connect(self, source: str = FLOODERS[0]) -> ssl.SSLSocket:
        plain = socket.create_connection(
            (self.server.host, self.server.port), 30, source_address=(source, 0)
        )
        context = ssl.create_default_context(cafile=str(self.server.ca))
        return context.wrap_socket(plain, server_hostname=self.server.host)

    def _ask(self, make: Callable[[], Call]) -> None:
        while True:
            with contextlib.suppress(OSError), contextlib.closing(self.connect()) as connection:
                while self._exchange(connection, make().encode(self.server)):
                    pass
                continue
            self.refused += 1
            time.sleep(0.01)

    def _exchange(self, connection: ssl.SSLSocket, request: bytes) -> bool:
        """Whether the connection lives on."""
        connection.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            if not (more := connection.recv(1 << 18)):
                self.refused += 1
                return False
            answer += more
        head, _, body = answer.partition(b"\r\n\r\n")
        lengths = [
            line[15:] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
        ]
        left = int(lengths[0]) - len(body) if lengths else 0
        while left > 0:
            left -= len(connection.recv(1 << 18))
        if head.startswith((b"HTTP/1.1 429", b"HTTP/1.1 503")):
            self.refused += 1
        else:
            self.answered += 1
        return b"connection: close" not in head.lower()


def idle(flooder: Flooder) -> None:
    """Connections that say nothing."""
    _hold(flooder)


def dripping(flooder: Flooder) -> None:
    """Connections that say a byte of a head now and then, and come again when they are cut off."""
    _hold(flooder, first=DRIPPED, drip=b"x")


def refused_at_once(flooder: Flooder) -> None:
    """Connections that say what no request begins with, and come again as fast as one client can."""
    _hold(flooder, drip=b"x")


def _hold(flooder: Flooder, *, first: bytes = b"", drip: bytes = b"") -> None:
    """Each says `first`, and then `drip` again and again, in a thread for all of them."""

    def opened(number: int) -> ssl.SSLSocket:
        made = flooder.connect(FLOODERS[number % len(FLOODERS)])
        made.sendall(first)
        return made

    held = [opened(number) for number in range(CONNECTIONS)]
    threading.Thread(target=_drip, args=(flooder, held, opened, drip), daemon=True).start()


def _drip(
    flooder: Flooder, held: list[ssl.SSLSocket], opened: Callable[[int], ssl.SSLSocket], drip: bytes
) -> None:
    """Connections that were closed are opened again."""
    while True:
        for number, connection in enumerate(held):
            connection.settimeout(0)
            try:
                if drip:
                    connection.sendall(drip)
                if connection.recv(1) == b"":
                    raise ConnectionError
            except ssl.SSLWantReadError:
                pass
            except OSError:
                flooder.refused += 1
                connection.close()
                with contextlib.suppress(OSError):
                    held[number] = opened(number)
            time.sleep(DRIP_EVERY_S / CONNECTIONS)


def _login(name: str, password: str) -> Call:
    user = {"name": name, "password": password, "domain": {"id": "default"}}
    identity = {"methods": ["password"], "password": {"user": user}}
    return Call("POST", "/identity/v3/auth/tokens", {"auth": {"identity": identity}})


def wrong_logins(flooder: Flooder) -> None:
    """Of a new name each time, for which there has been no failure yet."""
    names = itertools.count()
    flooder.keep_asking(lambda: _login(f"user-{next(names)}", "wrong"), CLIENTS)


def right_logins(flooder: Flooder) -> None:
    flooder.keep_asking(lambda: _login("noisy", PASSWORD), CLIENTS)


def reads(flooder: Flooder) -> None:
    flooder.keep_asking(lambda: Call("GET", "/image/v2/images"), CLIENTS)


def writes(flooder: Flooder) -> None:
    call = Call("POST", "/network/v2.0/networks", {"network": {"name": "flood"}})
    flooder.keep_asking(lambda: call, WRITERS)


def big_bodies(flooder: Flooder) -> None:
    name = "x" * 200
    networks = [{"name": name} for _ in range(BODY_BYTES // len(json.dumps({"name": name})))]
    call = Call("POST", "/network/v2.0/networks", {"networks": networks})
    flooder.keep_asking(lambda: call, WRITERS)


def nothing_but_computing(flooder: Flooder) -> None:
    """As much as the machine gives, and nobody is asked: what the others' floods cost beyond this is ours."""
    del flooder
    for _ in range(os.cpu_count() or 1):
        multiprocessing.get_context("spawn").Process(target=_compute, daemon=True).start()


def _compute() -> None:
    while True:
        hashlib.sha256(bytes(1 << 20))


FLOODS: dict[str, Flood] = {
    "the machine's share, processes that compute and ask nobody": nothing_but_computing,
    f"{CONNECTIONS} idle connections": idle,
    f"{CONNECTIONS} connections that drip": dripping,
    f"{CONNECTIONS} connections that are refused at once and come again": refused_at_once,
    f"{CLIENTS} clients that log in with a wrong password": wrong_logins,
    f"{CLIENTS} clients that log in with the right one": right_logins,
    f"{CLIENTS} clients of one project that read": reads,
    f"{WRITERS} clients of one project that write": writes,
    f"{WRITERS} clients that send big bodies": big_bodies,
}
