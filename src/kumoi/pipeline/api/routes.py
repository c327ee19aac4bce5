"""Every path of the pipeline: method, path, handler, and who may."""

from __future__ import annotations

from kumoi.pipeline.api import environment, git, run, runner, version
from kumoi.pipeline.api.app import Policy, Route

GIT = "/git/{project}/{repository}.git"
API = "/pipeline/v1"

ROUTES = (
    Route("GET", "/", version.show, Policy.OPEN),
    Route("GET", f"{GIT}/info/refs", git.info_refs, Policy.GIT),
    Route("POST", GIT + "/{service}", git.service, Policy.GIT),
    Route("GET", f"{API}/runs", run.list_, Policy.MEMBER),
    Route("GET", API + "/runs/{id}", run.show, Policy.MEMBER),
    Route("GET", API + "/runs/{id}/log", run.read_log, Policy.MEMBER),
    Route("GET", API + "/runs/{id}/junit.xml", run.junit, Policy.MEMBER),
    Route("GET", f"{API}/environments", environment.list_, Policy.MEMBER),
    Route("GET", API + "/environments/{id}", environment.show, Policy.MEMBER),
    Route("DELETE", API + "/environments/{id}", environment.delete, Policy.MEMBER),
    Route("POST", "/runner/v1/claim", runner.claim, Policy.CLAIM),
    Route("GET", "/runner/v1/tree", runner.tree, Policy.SESSION),
    Route("POST", "/runner/v1/log", runner.write_log, Policy.SESSION),
    Route("POST", "/runner/v1/result", runner.write_result, Policy.SESSION),
)
