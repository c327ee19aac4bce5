"""Every path of the pipeline: method, path, handler, who may, and how the caller is known."""

from __future__ import annotations

from kumoi.engine.http.routing import KNOWN, OPEN, Route
from kumoi.engine.http.service import Service
from kumoi.pipeline.api import (
    caller,
    environment,
    git,
    repository,
    repository_secret,
    run,
    runner,
    version,
    webhook,
)
from kumoi.pipeline.api.caller import CLAIM, LAST_SESSION, LOGIN, SESSION
from kumoi.policy.table import TABLE

REPOSITORY = "/{project}/{repository.git}"

ROOT = Service(type="pipeline", prefix="", routes=(Route("GET", "/", version.show, OPEN),))

PIPELINE = Service(
    type="pipeline",
    prefix="pipeline",
    routes=(
        Route("GET", "/v1/runs", run.list_, "kumoi:run:list"),
        Route("GET", "/v1/runs/{id}", run.show, "kumoi:run:show"),
        Route("GET", "/v1/runs/{id}/log", run.read_log, "kumoi:run:show", streams=True),
        Route("GET", "/v1/runs/{id}/junit.xml", run.junit, "kumoi:run:show"),
        Route("GET", "/v1/runs/{id}/report", run.show_report, "kumoi:run:show"),
        Route("GET", "/v1/runs/{id}/report.html", run.report_page, "kumoi:run:show"),
        Route("POST", "/v1/runs/{id}/cancel", run.cancel, "kumoi:run:cancel"),
        Route("POST", "/v1/runs/{id}/retry", run.retry, "kumoi:run:retry"),
        Route("GET", "/v1/environments", environment.list_, "kumoi:environment:list"),
        Route("GET", "/v1/environments/{id}", environment.show, "kumoi:environment:show"),
        Route(
            "POST", "/v1/environments/{id}/extend", environment.extend, "kumoi:environment:extend"
        ),
        Route("POST", "/v1/environments/{id}/key", environment.key, "kumoi:environment:key"),
        Route("DELETE", "/v1/environments/{id}", environment.delete, "kumoi:environment:delete"),
        Route("GET", "/v1/repositories", repository.list_, "kumoi:repository:list"),
        Route("DELETE", "/v1/repositories/{name}", repository.delete, "kumoi:repository:delete"),
        Route(
            "GET", "/v1/repositories/{name}/secrets", repository_secret.list_, "kumoi:secret:list"
        ),
        Route(
            "PUT",
            "/v1/repositories/{name}/secrets/{key}",
            repository_secret.set_,
            "kumoi:secret:set",
        ),
        Route(
            "DELETE",
            "/v1/repositories/{name}/secrets/{key}",
            repository_secret.delete,
            "kumoi:secret:delete",
        ),
        Route("GET", "/v1/limits", repository.show_limits, "kumoi:limits:show"),
        Route("GET", "/v1/webhooks", webhook.list_, "kumoi:webhook:list"),
        Route("POST", "/v1/webhooks", webhook.create, "kumoi:webhook:create"),
        Route("GET", "/v1/webhooks/{id}", webhook.show, "kumoi:webhook:show"),
        Route("DELETE", "/v1/webhooks/{id}", webhook.delete, "kumoi:webhook:delete"),
        Route("POST", "/v1/webhooks/{id}/deliver", webhook.deliver, OPEN, audits=False),
    ),
    policies=TABLE,
    schemes=caller.SCHEMES,
    envelope=caller.envelope,
)

GIT = Service(
    type="git",
    prefix="git",
    routes=(
        Route("GET", f"{REPOSITORY}/info/refs", git.info_refs, "kumoi:git:fetch", scheme=LOGIN),
        Route(
            "POST",
            REPOSITORY + "/{service}",
            git.service,
            "kumoi:git:fetch",
            scheme=LOGIN,
            streams=True,
        ),
    ),
    policies=TABLE,
    schemes=caller.SCHEMES,
    envelope=caller.envelope,
    refusal=git.refusal,
    challenge=caller.CHALLENGE,
)

REPORTS = Service(
    type="reports",
    prefix="reports",
    routes=(Route("GET", "/{project}/{id}", run.report_page, "kumoi:run:show", scheme=LOGIN),),
    policies=TABLE,
    schemes=caller.SCHEMES,
    envelope=caller.envelope,
    challenge=caller.CHALLENGE,
)

ENVIRONMENTS = Service(
    type="environments", prefix="e", routes=(Route("GET", "/{id}", environment.visit, OPEN),)
)

RUNNER = Service(
    type="runner",
    prefix="runner",
    routes=(
        Route("POST", "/v1/claim", runner.claim, KNOWN, scheme=CLAIM),
        Route(
            "POST",
            "/v1/next",
            runner.next_,
            KNOWN,
            scheme=LAST_SESSION,
            streams=True,
            audits=False,
        ),
        Route("GET", "/v1/tree", runner.tree, KNOWN, scheme=SESSION),
        Route("POST", "/v1/log", runner.write_log, KNOWN, scheme=SESSION, audits=False),
        Route("POST", "/v1/result", runner.write_result, KNOWN, scheme=SESSION),
    ),
    schemes=caller.SCHEMES,
    envelope=caller.envelope,
)

SERVICES = (ROOT, PIPELINE, GIT, REPORTS, ENVIRONMENTS, RUNNER)
