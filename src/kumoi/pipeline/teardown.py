"""Delete all that an environment has in the cloud, whatever state its build reached.

Level-driven: `teardown` lists what carries the environment's name, deletes what can be deleted now
and returns what is left; its caller, the flow in deletion.py, repeats it until nothing is. The
sweeper in expire.py shares `leftovers`.
"""

from __future__ import annotations

import contextlib

from kumoi.base.errors import Transient
from kumoi.pipeline.build import in_parallel, prefix
from kumoi.pipeline.cloud import Cloud, CloudResource, Noun

# Servers hold ports, floating IPs are on ports, routers are on networks: outside in.
PHASES = (
    (Noun.SERVER, Noun.FLOATING_IP, Noun.KEYPAIR),
    (Noun.ROUTER, Noun.PORT),
    (Noun.NETWORK, Noun.SECURITY_GROUP),
)


def leftovers(cloud: Cloud, environment_id: str) -> list[CloudResource]:
    """Every object in the cloud that carries the environment's name, sorted."""
    name = prefix(environment_id)
    listed = in_parallel(lambda noun: cloud.list_resources(noun, name), list(Noun))
    return sorted(resource for resources in listed for resource in resources)


def teardown(cloud: Cloud, environment_id: str) -> list[CloudResource]:
    """Delete what can be deleted now. What is left is listed anew after each phase, so an empty
    answer means that the cloud has nothing of the environment.
    """

    def delete(resource: CloudResource) -> None:
        with contextlib.suppress(Transient):  # Still in use; the next call finds it again.
            cloud.delete_resource(resource)

    left = leftovers(cloud, environment_id)
    for phase in PHASES:
        now = [resource for resource in left if resource.noun in phase]
        if now:
            in_parallel(delete, now)
            left = leftovers(cloud, environment_id)
            if any(resource.noun in phase for resource in left):
                break  # The next phase would be refused.
    return left
