"""The host API's routes; the bodies are in hostapi/."""

from __future__ import annotations

from functools import partial

from kumoi.cloud.api.host import caller, image, join, lease, owner, report, watch
from kumoi.engine.http import routing
from kumoi.engine.http.routing import OPEN
from kumoi.engine.http.service import Scheme, Service
from kumoi.policy.host import HOST

CERTIFICATE = "certificate"
Route = partial(routing.Route, scheme=CERTIFICATE)

SERVICE = Service(
    type="host",
    prefix="host",
    routes=(
        Route("GET", "/v1/wanted", watch.show, "host:get_wanted", streams=True),
        Route("GET", "/v1/images/{id}", image.download, "host:get_image", streams=True),
        Route("PUT", "/v1/images/{id}", image.upload, "host:upload_image", streams=True),
        Route("DELETE", "/v1/images/{id}", image.delete, "host:delete_image"),
        Route("POST", "/v1/reports", report.create, "host:create_report", streams=True),
        Route("PUT", "/v1/hello", report.put_hello, "host:update_hello"),
        Route("POST", "/v1/lease", lease.renew, "host:renew_lease", streams=True, quiet=True),
        Route("POST", "/v1/witness", report.put_witness, "host:create_witness"),
        Route("POST", "/v1/owners", owner.show, "host:get_owners"),
        Route("GET", "/v1/authority", join.show_authority, OPEN),
        Route("POST", "/v1/join", join.create, OPEN, streams=True),
        Route("POST", "/v1/certificate", join.renew, "host:renew_certificate"),
        Route("GET", "/v1/settings", join.show_settings, "host:get_settings"),
        Route("DELETE", "/v1/host", join.delete, "host:delete_host"),
        Route("PUT", "/v1/servers/{id}/console", report.put_console, "host:update_console"),
    ),
    policies=HOST,
    schemes={CERTIFICATE: Scheme(caller.identify)},
)
