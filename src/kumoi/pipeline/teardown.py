"""Delete all that an environment has in the cloud, whatever state its build reached.

Level-driven: `teardown` lists what carries the environment's name, deletes what can be deleted now
and returns what is left; its caller, the flow in deletion.py, repeats it until nothing is. The
sweeper in expire.py lists likewise.
"""

from __future__ import annotations

from kumoi.pipeline.build import PHASES, delete, list_existing
from kumoi.pipeline.cloud import Cloud, CloudResource


def teardown(cloud: Cloud, environment_id: str) -> list[CloudResource]:
    """Delete what can be deleted now. What is left is listed anew after each phase, so an empty
    answer means that the cloud has nothing of the environment.
    """
    left = list_existing(cloud, environment_id)
    for phase in PHASES:
        now = [resource for resource in left if resource.noun in phase]
        if now:
            delete(cloud, now)
            left = list_existing(cloud, environment_id)
            if any(resource.noun in phase for resource in left):
                break  # The next phase would be refused.
    return left
