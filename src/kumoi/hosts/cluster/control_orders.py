"""How the cloud's first host orders other machines to have a part of the control plane, while `cluster create`
runs there: its listener, and whoever asks it.

Each machine asks again and again: it says how far it is, and is told how far to go and with what. So either side may be
killed and called again. One line of JSON goes each way, by TLS: the machine shows its host's certificate, whose key
the store knows. The authorities' keys go this way, so root listens, for as long as its command runs, and no role has them.
"""

from __future__ import annotations

import contextlib
import enum
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

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


class ControlStep(enum.StrEnum):
    """How far a machine is, or is to go."""

    NONE = "none"  # It only runs servers.
    MEMBERS = "members"  # With members of the stores and of OVN's databases.
    ROLES = "roles"  # With APIs and workers too.


class ControlReport(msgspec.Struct, frozen=True, kw_only=True):
    """`about` is the order that was carried out last; `failure` is why it could not be."""

    reached: ControlStep
    about: str = ""
    failure: str = ""


class ControlOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Each has an `id` of its own; it is "" while nothing is ordered yet. `cloud` is the text of cloud.toml, `roles`
    are those beside the host's own, `files` lie below the state directory. `refusal` says why there will be no order.
    """

    id: str = ""
    step: ControlStep = ControlStep.NONE
    cloud: str = ""
    roles: list[str] = []
    files: Mapping[str, bytes] = {}
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class HeardReport:
    report: ControlReport
    at: float

    @property
    def is_fresh(self) -> bool:
        return time.monotonic() - self.at < HEARD_WITHIN_S


class OrderListener:
    """`keys` are the hashes of the keys of those hosts that may ask, by name."""

    def __init__(self, cloud_name: str, keys: Mapping[str, str]) -> None:
        self._cloud_name = cloud_name
        self._keys = keys
        self._order = ControlOrder()
        self._heard: dict[str, HeardReport] = {}

    def give(self, order: ControlOrder) -> None:
        """From now on, to whoever asks."""
        self._order = order

    def heard(self) -> dict[str, ControlReport]:
        """Of those that still ask, by name."""
        return {name: each.report for name, each in dict(self._heard).items() if each.is_fresh}

    def carried_out(self) -> dict[str, ControlReport]:
        """What became of the present order where it was carried out, or could not be."""
        heard = {name: each.report for name, each in dict(self._heard).items()}
        return {name: each for name, each in heard.items() if each.about == self._order.id}

    def answer(self, certificate: x509.Certificate, report: ControlReport) -> ControlOrder:
        name = pki.host_of(certificate, self._cloud_name)
        if name is None or self._keys.get(name) != pki.public_key_sha256(certificate):
            log.warning("control.refused", host=name or "")
            return ControlOrder(refusal=f"{name} is not to have the control plane")
        self._heard[name] = HeardReport(report, time.monotonic())
        return self._order


@contextlib.contextmanager
def listening(cloud: CloudSettings, host: HostSettings, listener: OrderListener) -> Iterator[None]:
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


def ask(address: str, tls: ssl.SSLContext, report: ControlReport) -> ControlOrder:
    """Raises Transient when nobody orders anything there, and Conflict where this host is not meant."""
    what = f"ask {address} what this host is to have of the control plane"
    try:
        with (
            socket.create_connection((address, members.ORDERS_PORT), timeout=SILENT_S) as plain,
            tls.wrap_socket(plain, server_hostname=address) as secured,
        ):
            secured.sendall(msgspec.json.encode(report) + b"\n")
            order = msgspec.json.decode(_line(secured), type=ControlOrder)
    except (OSError, ValueError, msgspec.MsgspecError) as cause:
        raise Transient(what) from cause
    if order.refusal:
        raise Conflict(order.refusal)
    return order


class _OrderServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(
        self, where: tuple[str, int], context: ssl.SSLContext, listener: OrderListener
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
                report = msgspec.json.decode(_line(secured), type=ControlReport)
                order = self._listener.answer(x509.load_der_x509_certificate(der), report)
                secured.sendall(msgspec.json.encode(order) + b"\n")
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
