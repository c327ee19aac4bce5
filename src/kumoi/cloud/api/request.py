"""A request to the cloud's APIs: the framework's, with what the cloud's handlers work with."""

from __future__ import annotations

from typing import TypeAlias

from kumoi.cloud.api.services import Services
from kumoi.cloud.domain.caller import Caller
from kumoi.engine.http import request

Request: TypeAlias = request.Request[Services, Caller]
