"""Importing this brings every table of the cloud into `schema.metadata`. For migrations and tests."""

from __future__ import annotations

import importlib
import pkgutil

from kumoi.cloud import store
from kumoi.cloud.store.schema import metadata

for _found in pkgutil.walk_packages(store.__path__, f"{store.__name__}."):
    if ".migrations" not in _found.name:
        importlib.import_module(_found.name)

__all__ = ["metadata"]
