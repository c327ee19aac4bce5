"""Delete all that an environment has, whoever made it and however far it came.

Level-driven: `teardown` looks at what is there under the environment's name, deletes what can be
deleted now and says what is left; whoever calls it does so until nothing is. The flow of deletion
and the sweeper share it.
"""

from __future__ import annotations

from kumoi.base.errors import Transient
from kumoi.pipeline.build import each, prefix
from kumoi.pipeline.cloud import Cloud, CloudResource, Noun

# Servers hold ports, floating IPs are on ports, routers are on networks: outside in.
PHASES = (
    (Noun.SERVER, Noun.FLOATING_IP, Noun.KEYPAIR),
    (Noun.ROUTER, Noun.PORT),
    (Noun.NETWORK, Noun.SECURITY_GROUP),
)


def leftovers(cloud: Cloud, environment_id: str) -> list[CloudResource]:
    """Everything there is of it, sorted."""
    name = prefix(environment_id)
    listed = each(lambda noun: cloud.list_things(noun, name), list(Noun))
    return sorted(thing for things in listed for thing in things)


def teardown(cloud: Cloud, environment_id: str) -> list[CloudResource]:
    """Delete what can be; what is left. An empty answer is from looking, not from hoping."""
    left = leftovers(cloud, environment_id)
    for phase in PHASES:
        now = [thing for thing in left if thing.noun in phase]
        if now:
            each(lambda thing: _delete(cloud, thing), now)
            left = leftovers(cloud, environment_id)
            if any(thing.noun in phase for thing in left):
                break  # The next phase would be refused.
    return left


def _delete(cloud: Cloud, thing: CloudResource) -> None:
    try:
        cloud.delete_thing(thing)
    except Transient:
        return  # Still in use; the next call finds it again.
