"""The runner's user data: runner.py with the three facts that it cannot know. Called by the build."""

from __future__ import annotations

import json
from pathlib import Path

from kumoi.base.errors import Bug
from kumoi.config import CloudSettings, HostSettings

SOURCE = Path(__file__).parent / "runner.py"
MARK = "CONFIG: dict[str, str] = {}"
# Run at cloud-init's first stage with a network, seconds before plain scripts are.
EARLY = "#cloud-boothook\n"


def user_data(cloud: CloudSettings, host: HostSettings, token: str) -> str:
    """A script that cloud-init runs as root while the server starts."""
    ca = (host.pki_dir / "ca.crt").read_text()
    facts = {"url": cloud.pipeline_url, "ca": ca, "token": token}
    source = SOURCE.read_text()
    if source.count(MARK) != 1:
        raise Bug("runner.py has no place for its configuration")
    return EARLY + source.replace(MARK, f"CONFIG: dict[str, str] = {json.dumps(facts)}")
