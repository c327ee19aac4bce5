"""What a listener or pool names in the key manager: read, and found whole, before the row is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.engine import Connection

from kumoi.base.errors import Invalid
from kumoi.cloud.api.request import Request
from kumoi.cloud.domain.key_manager import certificate
from kumoi.cloud.domain.key_manager.encryption import REQUEST_ROUNDS_MAX, HashRounds
from kumoi.cloud.domain.load_balancer import material
from kumoi.cloud.domain.load_balancer.material import ReadMaterial
from kumoi.cloud.domain.load_balancer.part import PartRules, balancer_of
from kumoi.cloud.store.load_balancer.listener import BalancerListener
from kumoi.cloud.store.load_balancer.pool import BalancerPool
from kumoi.components import Api


def read(
    request: Request,
    said: Mapping[str, Any],
    rules: PartRules[BalancerListener] | PartRules[BalancerPool],
) -> ReadMaterial | None:
    """None where no reference is said. Raises Invalid; and Forbidden for whoever may not make or change
    the part, who learns nothing of secrets.
    """
    named = {name: said[name] for name in material.COLUMNS if said.get(name)}
    if not named:
        return None
    if Api.KEY_MANAGER not in request.services.cloud.apis:
        first = next(iter(named))
        raise Invalid(
            f"This cloud has no key manager, which {first} names a secret of.", field=first
        )
    with request.read() as connection:
        if (key := request.path.get("id")) is not None:
            rules.get(connection, request.caller, key, action="put")
        elif balancer_id := said.get("load_balancer_id"):
            owner = balancer_of(connection, balancer_id).project_id
            request.caller.check(f"{rules.rule}:post", owner)
        rounds = HashRounds(REQUEST_ROUNDS_MAX)
        content: dict[str, list[str]] = {}
        loaded: dict[tuple[str, str], str] = {}
        for name, references in named.items():
            each = [references] if isinstance(references, str) else references
            texts = {one: _read(request, connection, name, one, rounds) for one in {*each}}
            content[name] = [texts[one] for one in each]
            loaded |= {(name, one): text for one, text in texts.items()}
    for (name, reference), text in loaded.items():
        material.require_loaded(name, reference, text)
    found = ReadMaterial(request.services.seal, content)
    material.require_small(found)
    return found


def _read(
    request: Request, connection: Connection, name: str, reference: str, rounds: HashRounds
) -> str:
    services = request.services
    arguments = (connection, request.caller, reference, services.seal, services.clock.now())
    if name in material.AUTHORITIES:
        return certificate.authorities(*arguments).decode()
    if name in material.REVOCATIONS:
        return certificate.revocations(*arguments).decode()
    found = certificate.bundle(*arguments, rounds)
    return (found.private_key + found.certificates).decode()
