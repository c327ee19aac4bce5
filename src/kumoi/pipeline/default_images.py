"""The images that files name where nobody thought of others, in a cloud that may not have them.

Called by `kumoi pipeline serve` when it starts, as the user of clouds.yaml. A cloud of ours brings its
own; any other needs one image with cloud-init and Debian's packages, which serves runners as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from kumoi.base.errors import Invalid
from kumoi.pipeline.environment import SERVER_IMAGE
from kumoi.pipeline.openstack_cloud import OpenStack

FORMATS = {".qcow2": "qcow2", ".img": "qcow2", ".raw": "raw", ".vmdk": "vmdk", ".iso": "iso"}
SOURCE = "https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-genericcloud-amd64.qcow2"
HOW = (
    f"curl -LO {SOURCE}",
    f"openstack image create --disk-format qcow2 --file {SOURCE.rpartition('/')[2]} {SERVER_IMAGE}",
)


def provide(cloud: OpenStack, uploads: Mapping[str, Path]) -> Iterator[str]:
    """Upload what is missing and has a file; says for people what it did and what they must do."""
    for name, file in uploads.items():
        if cloud.find_image(name) is not None:
            yield f"image {name} is there"
            continue
        yield f"image {name} is uploaded from {file}"
        cloud.upload_image(name, file, format_of(file))
    if SERVER_IMAGE not in uploads and cloud.find_image(SERVER_IMAGE) is None:
        yield f"image {SERVER_IMAGE} is missing: files that name it cannot be built. To add it:"
        yield from (f"    {line}" for line in HOW)


def format_of(file: Path) -> str:
    """What Glance calls it. Raises Invalid."""
    found = FORMATS.get(file.suffix)
    if found is None:
        raise Invalid(f"{file}: expected an image file called {', '.join(FORMATS)}", field="image")
    return found
