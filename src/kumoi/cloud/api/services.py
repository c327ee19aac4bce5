"""What handlers work with, wired once by api/serve.py (or a test) and passed along."""

from __future__ import annotations

from dataclasses import dataclass, field

from kumoi.base.clock import Clock
from kumoi.cloud.domain.identity.login import Logins
from kumoi.cloud.domain.identity.token import Tokens
from kumoi.cloud.domain.image.content import Inspect
from kumoi.cloud.drivers.image.files import ImageFiles
from kumoi.cloud.store.seal import Seal
from kumoi.config import CloudSettings
from kumoi.engine.db import Database
from kumoi.engine.http.turns import ThreadTurns
from kumoi.hosts.cluster.leases import LeaseBook
from kumoi.hosts.cluster.signing import Signing

IMAGE_THREADS, IMAGE_THREADS_EACH = 40, 4


@dataclass(frozen=True, slots=True)
class Services:
    cloud: CloudSettings
    database: Database
    clock: Clock
    tokens: Tokens
    logins: Logins
    images: ImageFiles
    inspect_image: Inspect
    seal: Seal
    authority: Signing
    leases: LeaseBook | None = None  # None where the control plane is on one host.
    image_turns: ThreadTurns = field(
        default_factory=lambda: ThreadTurns(IMAGE_THREADS, IMAGE_THREADS_EACH)
    )
