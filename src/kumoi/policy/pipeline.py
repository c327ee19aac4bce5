"""Permissions of the pipeline. No role gives access to another project's resources."""

from __future__ import annotations

from collections.abc import Mapping

from kumoi.policy.row import PROJECT_MEMBER, PROJECT_READER, Row

PIPELINE: Mapping[str, Row] = {
    "kumoi:git:fetch": PROJECT_READER,
    "kumoi:git:push": PROJECT_MEMBER,
    "kumoi:run:list": PROJECT_READER,
    "kumoi:run:show": PROJECT_READER,
    "kumoi:run:cancel": PROJECT_MEMBER,
    "kumoi:run:retry": PROJECT_MEMBER,
    "kumoi:environment:list": PROJECT_READER,
    "kumoi:environment:show": PROJECT_READER,
    "kumoi:environment:extend": PROJECT_MEMBER,
    "kumoi:environment:key": PROJECT_MEMBER,
    "kumoi:environment:delete": PROJECT_MEMBER,
    "kumoi:repository:list": PROJECT_READER,
    "kumoi:repository:delete": PROJECT_MEMBER,
    "kumoi:secret:list": PROJECT_READER,
    "kumoi:secret:set": PROJECT_MEMBER,
    "kumoi:secret:delete": PROJECT_MEMBER,
    "kumoi:limits:show": PROJECT_READER,
    "kumoi:webhook:list": PROJECT_READER,
    "kumoi:webhook:show": PROJECT_READER,
    "kumoi:webhook:create": PROJECT_MEMBER,
    "kumoi:webhook:delete": PROJECT_MEMBER,
}
