"""A request to the cloud's APIs: the framework's, with what the cloud's handlers work with."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeAlias

import msgspec

from kumoi.cloud.api.services import Services
from kumoi.cloud.domain.caller import Caller
from kumoi.engine.http import request
from kumoi.engine.http.request import UNSET

Request: TypeAlias = request.Request[Services, Caller]


def fields_set(body: msgspec.Struct, *, without: Collection[str] = ()) -> dict[str, Any]:
    """The fields that a request's body has, by the names of its class; null is a value."""
    fields = {name: getattr(body, name) for name in body.__struct_fields__ if name not in without}
    return {name: value for name, value in fields.items() if value is not UNSET}
