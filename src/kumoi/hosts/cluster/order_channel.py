"""The channel between a command on the cloud's first host, which orders something, and those on other machines, which ask
what it is: `cluster create` and `upgrade` (control_orders.py, upgrade_orders.py).

Each machine asks again and again: it says how far it is, and is told what to do. So either side may be killed and called
again. One line of JSON goes each way, by TLS: the machine shows its host's certificate, whose key the store knows. Root
listens, for as long as its command runs, and no role has a part in it.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import msgspec
from cryptography import x509

from kumoi import members
from kumoi.base import log
from kumoi.base.errors import Conflict, Permanent, Transient
from kumoi.config import CloudSettings, HostSettings
from kumoi.hosts.first_use import pki

SILENT_S = 10.0  # Of either side, in the middle of a line.
HEARD_WITHIN_S = 15.0  # Who asks does so every second.
LINE_MAX_BYTES = 1 << 20
CALLERS_MAX = 16
POLL_S = 0.2


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """`about` is the order that was carried out last; `failure` is why it could not be."""

    about: str = ""
    failure: str = ""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """Each has an `id` of its own; it is "" while nothing is ordered yet. `refusal` says why there will be no order."""

    id: str = ""
    refusal: str = ""


class OrderFailed(Permanent):
    """`why` are the machine's own words."""

    def __init__(self, host: str, why: str) -> None:
        super().__init__(f"{host}: {why}")
        self.why = why


SomeReport = TypeVar("SomeReport", bound=Report)
SomeOrder = TypeVar("SomeOrder", bound=Order)


@dataclass(frozen=True, slots=True)
class HeardReport(Generic[SomeReport]):
    report: SomeReport
    at: float

    @property
    def is_fresh(self) -> bool:
        return time.monotonic() - self.at < HEARD_WITHIN_S


class OrderListener(Generic[SomeReport, SomeOrder]):
    """`keys` are the hashes of the keys of those hosts that may ask, by name; `unmeant` is what any other one is told."""

    def __init__(
        self,
        cloud_name: str,
        keys: Mapping[str, str],
        *,
        reports: type[SomeReport],
        orders: type[SomeOrder],
        unmeant: str,
    ) -> None:
        self._cloud_name = cloud_name
        self._keys = keys
        self._reports, self._orders = reports, orders
        self._unmeant = unmeant
        self._order = orders()
        self._heard: dict[str, HeardReport[SomeReport]] = {}

    def give(self, order: SomeOrder) -> None:
        """From now on, to whoever asks."""
        self._order = order

    def heard(self) -> dict[str, SomeReport]:
        """Of those that still ask, by name."""
        return {name: each.report for name, each in dict(self._heard).items() if each.is_fresh}

    def carried_out(self) -> dict[str, SomeReport]:
        """What became of the present order where it was carried out, or could not be."""
        heard = {name: each.report for name, each in dict(self._heard).items()}
        return {name: each for name, each in heard.items() if each.about == self._order.id}

    def wait(
        self,
        names: Sequence[str],
        there: Callable[[], Collection[str]],
        *,
        within_s: float,
        tell: Callable[[str], None],
    ) -> None:
        """Until all of these are `there`. Raises OrderFailed of a machine that could not carry out the present order, and
        Permanent naming those that are late.
        """
        deadline = time.monotonic() + within_s
        while absent := [name for name in names if name not in there()]:
            for name, report in self.carried_out().items():
                if report.failure:
                    raise OrderFailed(name, report.failure)
            if time.monotonic() > deadline:
                raise Permanent(f"{' and '.join(absent)} not there after {within_s:g} s")
            tell(" ".join(absent))
            time.sleep(POLL_S)

    def answer(self, certificate: x509.Certificate, report: SomeReport) -> SomeOrder:
        name = pki.host_of(certificate, self._cloud_name)
        if name is None or self._keys.get(name) != pki.public_key_sha256(certificate):
            log.warning("order.refused", host=name or "")
            return self._orders(refusal=f"{name} {self._unmeant}")
        if refusal := self.refusal(report):
            return self._orders(refusal=refusal)
        self._heard[name] = HeardReport(report, time.monotonic())
        return self._order

    def refusal(self, _report: SomeReport) -> str:
        """Why a machine that may ask gets no order; empty when it gets one."""
        return ""

    def answer_line(self, certificate: x509.Certificate, line: bytes) -> bytes:
        """Raises MsgspecError where it is no report."""
        report = msgspec.json.decode(line, type=self._reports)
        return msgspec.json.encode(self.answer(certificate, report)) + b"\n"


class AnswersLines(Protocol):
    """Any OrderListener."""

    def answer_line(self, certificate: x509.Certificate, line: bytes) -> bytes: ...


@contextlib.contextmanager
def listening(cloud: CloudSettings, host: HostSettings, listener: AnswersLines) -> Iterator[None]:
    """At the control plane's address, in threads of this process. Raises Permanent."""
    context = ssl.create_default_context(
        ssl.Purpose.CLIENT_AUTH, cafile=str(host.pki_dir / "ca.crt")
    )
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(host.pki_dir / "api.crt", host.pki_dir / "api.key")
    where = (cloud.control_address, members.ORDERS_PORT)
    try:
        server = _OrderServer(where, context, listener)
    except OSError as cause:
        raise Permanent(f"listen at {where[0]} port {where[1]}: {cause}") from cause
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
    with server:
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def ask(
    address: str, tls: ssl.SSLContext, report: Report, *, orders: type[SomeOrder], what: str
) -> SomeOrder:
    """Raises Transient when nobody orders anything there, and Conflict where this host is not meant."""
    try:
        with (
            socket.create_connection((address, members.ORDERS_PORT), timeout=SILENT_S) as plain,
            tls.wrap_socket(plain, server_hostname=address) as secured,
        ):
            secured.sendall(msgspec.json.encode(report) + b"\n")
            order = msgspec.json.decode(_line(secured), type=orders)
    except (OSError, ValueError, msgspec.MsgspecError) as cause:
        raise Transient(f"ask {address} {what}") from cause
    if order.refusal:
        raise Conflict(order.refusal)
    return order


class _OrderServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(
        self, where: tuple[str, int], context: ssl.SSLContext, listener: AnswersLines
    ) -> None:
        super().__init__(where, _OrderHandler)
        self._context = context
        self._listener = listener
        self._places = threading.BoundedSemaphore(CALLERS_MAX)

    def answer(self, plain: socket.socket) -> None:
        if not self._places.acquire(blocking=False):
            return
        try:
            plain.settimeout(SILENT_S)
            with self._context.wrap_socket(plain, server_side=True) as secured:
                der = secured.getpeercert(binary_form=True) or b""
                line = _line(secured)
                secured.sendall(
                    self._listener.answer_line(x509.load_der_x509_certificate(der), line)
                )
        finally:
            self._places.release()


class _OrderHandler(socketserver.BaseRequestHandler):
    server: _OrderServer

    def handle(self) -> None:
        with contextlib.suppress(OSError, ValueError, msgspec.MsgspecError):  # It asks again.
            self.server.answer(self.request)


def _line(secured: ssl.SSLSocket) -> bytes:
    """Raises ValueError where it has no end."""
    content = bytearray()
    while not content.endswith(b"\n"):
        part = secured.recv(1 << 16)
        if not part or len(content) > LINE_MAX_BYTES:
            raise ValueError("no whole line")
        content += part
    return bytes(content)
