"""Quotas: what a project may have of each thing, where that is not the default."""

from __future__ import annotations

from kumoi.cloud.store.limits import ProjectLimits

_LIMITS = ProjectLimits("network_quota")

of = _LIMITS.of
every = _LIMITS.every
put = _LIMITS.put
clear = _LIMITS.clear
