"""The runner's user data: the text of runner.py with the pipeline's URL, its CA and a token filled
in.

The script of this release is stored when a run begins (store/script.py); `user_data` is made of the
stored one. Called by run.py and serve.py.
"""

from __future__ import annotations

import json
from pathlib import Path

from kumoi.base.errors import Bug
from kumoi.config import CloudSettings, HostSettings

SOURCE = Path(__file__).parent / "runner.py"
MARK = "CONFIG: dict[str, str] = {}"
# Run at cloud-init's first stage with a network, seconds before plain scripts are.
EARLY = "#cloud-boothook\n"


def this_release() -> str:
    """The script's text, read once when the pipeline starts: its file may be replaced meanwhile."""
    return SOURCE.read_text()


def user_data(cloud: CloudSettings, host: HostSettings, source: str, token: str) -> str:
    """A script that cloud-init runs as root while the server starts."""
    ca = (host.pki_dir / "ca.crt").read_text()
    facts = {"url": cloud.pipeline_url, "ca": ca, "token": token}
    if source.count(MARK) != 1:
        raise Bug("the runner's script has no place for its configuration")
    return EARLY + source.replace(MARK, f"CONFIG: dict[str, str] = {json.dumps(facts)}")
