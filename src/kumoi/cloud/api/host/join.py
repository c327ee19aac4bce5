"""Hosts that join, renew their certificates, and leave.

The first two routes ask nobody who calls: whoever is on the underlay may. So bodies are small, wrong
tokens wait for each other, and the authority is asked, by a process that has no store.
"""

from __future__ import annotations

from functools import partial

import anyio.to_thread
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

import kumoi
from kumoi import config
from kumoi.base import log
from kumoi.base.errors import Conflict, Forbidden, Invalid, Unauthenticated, Unsupported
from kumoi.cloud.api.host import caller
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.host import join as domain
from kumoi.cloud.hostapi.hello import REFUSED
from kumoi.cloud.hostapi.hello import refusal as refusal_of
from kumoi.cloud.hostapi.join import (
    REQUEST_MAX_BYTES,
    CurrentSettings,
    Joined,
    JoinRequest,
    RenewedCertificate,
)
from kumoi.config import Role
from kumoi.engine import audit
from kumoi.engine.http import limits
from kumoi.engine.http.request import Reply

ACCOUNT = "join"
"""Whose failures those with tokens are, among all failed logins of an address."""


def show_authority(request: Request) -> Reply:
    """The certificate of the cloud's authority, in PEM. Who joins believes it by its hash."""
    text = request.services.authority.certificate()
    return Reply(200, text.encode(), media_type="application/x-pem-file")


async def create(request: Request) -> Reply:
    """The host is enrolled with the key of its request; see domain/host/join.py."""
    request.raw = await limits.body(request.http, REQUEST_MAX_BYTES)
    return await anyio.to_thread.run_sync(partial(_join, request))


def _join(request: Request) -> Reply:
    services = request.services
    _require_cluster(request)
    body = request.parse(JoinRequest)
    if refusal := refusal_of(
        protocol=body.protocol, release=body.release, own_release=kumoi.__version__
    ):
        raise Conflict(refusal, kind=REFUSED, code=REFUSED)
    services.logins.allow(request.source, ACCOUNT)
    try:
        signed = services.authority.sign_join(body.token, body.request)
    except Invalid as error:
        services.logins.failed(request.source, ACCOUNT)
        log.warning("host.join_refused", address=request.source, why=error.message)
        raise Forbidden(error.message) from error
    audit.CURRENT.set(_record(request, signed.host))
    with request.write() as connection:
        domain.admit(connection, signed)
    return Reply(
        200,
        Joined(
            certificate=signed.certificate,
            authority=services.authority.certificate(),
            cloud=_settings(request),
            host=signed.host,
            address=signed.address,
            roles=[Role.AGENT.value],
        ),
    )


def show_settings(request: Request) -> Reply:
    """For a host that joined before the control plane was on several hosts."""
    caller.host_of(request)
    return Reply(200, CurrentSettings(cloud=_settings(request)))


def renew(request: Request) -> Reply:
    """A certificate of the calling host, for the key with which it calls, that ends later."""
    _require_cluster(request)
    der = request.http.scope.get("extensions", {}).get("tls", {}).get("client_certificate")
    if not der:
        raise Unauthenticated("A host's certificate is needed.")
    shown = x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM).decode()
    signed = request.services.authority.renew(shown)
    log.event("host.certificate_renewed", host=caller.host_of(request))
    return Reply(200, RenewedCertificate(certificate=signed.certificate))


def delete(request: Request) -> Reply:
    """The calling host leaves. With `force`, also while it has servers."""
    host_id = caller.host_of(request)
    audit.CURRENT.set(_record(request, host_id))
    with request.write() as connection:
        domain.dismiss(connection, host_id, forced=request.query.get("force") == "true")
    return Reply(204)


def _settings(request: Request) -> str:
    """The text of cloud.toml for hosts, which have no way into the stores."""
    cloud = request.services.cloud
    return config.render(config.changed(cloud, database_url="", pipeline_database_url=""))


def _require_cluster(request: Request) -> None:
    if not request.services.cloud.is_cluster:
        raise Unsupported("This cloud has one host. Where it runs: sudo ./kumoi cluster create")


def _record(request: Request, host_id: str) -> audit.Record:
    """Most of what hosts say leaves no record; that one comes or goes does."""
    return audit.new_record(
        action="create" if request.http.method == "POST" else "delete",
        target_type="host",
        target_id=host_id,
        request_id=request.request_id,
        request_path=request.url_path,
        observer="host",
        address=request.source,
        user_id=host_id,
    )
