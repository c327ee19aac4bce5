"""What is allowed at Placement, which tells of hosts: all but a project's own use is for administrators."""

from __future__ import annotations

from collections.abc import Mapping

from kumoi.policy.row import ADMIN, READER, Row

PLACEMENT: Mapping[str, Row] = {
    "placement:resource_providers:list": ADMIN,
    "placement:resource_providers:show": ADMIN,
    "placement:resource_providers:inventories:list": ADMIN,
    "placement:resource_providers:inventories:show": ADMIN,
    "placement:resource_providers:usages": ADMIN,
    "placement:resource_providers:allocations:list": ADMIN,
    "placement:resource_providers:aggregates:list": ADMIN,
    "placement:resource_providers:traits:list": ADMIN,
    "placement:allocations:list": ADMIN,
    "placement:usages": READER,
    "placement:traits:list": ADMIN,
    "placement:traits:show": ADMIN,
    "placement:resource_classes:list": ADMIN,
    "placement:resource_classes:show": ADMIN,
    "placement:allocation_candidates:list": ADMIN,
}
