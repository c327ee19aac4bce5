"""`python -m bench`: every figure of the cloud that is up, in one table; but for what changes it, which has to be named."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import openstack

from bench import (
    api,
    balancer,
    bounds,
    cluster,
    flood,
    idle,
    image,
    many,
    memory,
    push,
    server,
    up,
    upgrade,
)
from bench.measure import Figure, show

OF_CLOUD = ("server", "image", "balancer", "push", "many")
OF_STATE: dict[str, Callable[[str, str], list[Figure]]] = {
    "memory": memory.figures,
    "idle": idle.figures,
}
WHEN_ASKED: dict[str, Callable[[str, str], list[Figure]]] = {  # They change the cloud.
    "upgrade": upgrade.figures,
}
OF_NOTHING: dict[str, Callable[[], list[Figure]]] = {  # Each makes what it measures.
    "api": api.figures,
    "flood": flood.figures,
    "bounds": bounds.figures,
    "cluster": cluster.figures,
    "up": up.figures,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--name", default="kumoi", help="the cloud, as in clouds.yaml")
    parser.add_argument("--state-dir", default="/var/lib/kumoi")
    parser.add_argument("--only", choices=(*OF_STATE, *OF_CLOUD, *OF_NOTHING, *WHEN_ASKED))
    args = parser.parse_args()
    found: list[Figure] = []
    for name, of_state in OF_STATE.items():
        if args.only in (None, name):
            found += of_state(args.name, args.state_dir)
    if args.only in (None, *OF_CLOUD):
        found += _of_cloud(args.name, args.state_dir, args.only)
    for name, figures in OF_NOTHING.items():
        if args.only in (None, name):
            found += figures()
    if args.only in WHEN_ASKED:
        found += WHEN_ASKED[args.only](args.name, args.state_dir)
    show(found)
    return 0 if all(figure.is_met is not False for figure in found) else 1


def _of_cloud(name: str, state_dir: str, only: str | None) -> list[Figure]:
    """As its user sees it."""
    found: list[Figure] = []
    with openstack.connect(cloud=name, compute_default_microversion="2.96") as cloud:
        if only in (None, "server"):
            found += server.figures(cloud)
        if only in (None, "image"):
            found += image.figures(cloud)
        if only in (None, "balancer"):
            found += balancer.figures(cloud, state_dir)
        if only in (None, "push"):
            found += push.figures(cloud, name, state_dir)
        if only in (None, "many"):
            found += many.figures(cloud, name, state_dir)
    return found


if __name__ == "__main__":
    sys.exit(main())
